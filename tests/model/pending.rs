//! Invalidations that Redis does not take at that moment, as a model: nodes that share a Redis and one value, each with a
//! caller that calls it in, a reader, a leader, and a follower of a leader elsewhere.
//!
//! What the value is made of changes, and the node that knows calls the value in. Redis takes that, or the node owes it from
//! then on, until Redis has taken it. A fault cuts a node off, and what was on its way may have got there or not; or it lets
//! one answer be an error, or takes a lease away.
//!
//! # What holds
//!
//! - A read, or a wait, that begins after an invalidation was acknowledged gives nothing older, on whichever node. After one
//!   that is pending, this is so on the node that owes it; once it is made good, on all.
//! - As long as a node owes it, nothing older is given there, to whichever caller, and a node does not store what it has been
//!   told is out of date.
//! - What is owed is made good, if what can happen for ever happens sooner or later.
//!
//! # What does not hold
//!
//! Other nodes give what is out of date until it is made good.
//!
//! # What is left out
//!
//! Labels and whole tags, whose debts cover what has a stamp instead of an address: they end in a new generation, as this
//! ends in a deletion. A runtime that ends, with which debts are lost.
//!
//! The names in parentheses are those of `RedisStore` and its `Backlog`.

mod steps;

use super::explore::Model;

pub(crate) const NODES: usize = 2;

/// How often what the value is made of changes.
const CHANGES: u8 = 2;

pub(crate) struct Pending {
    pub(crate) variant: Variant,
    pub(crate) faults: u8,
}

/// The store, and what it would be without one of its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Sound,
    /// What is owed is looked at before a read, and not after it.
    ChecksBefore,
    /// What is owed is looked at after a read, and not before it.
    ChecksAfter,
    /// A commit goes on whatever is owed.
    CommitIgnores,
    /// What was acknowledged is forgotten although it was added again meanwhile.
    DropsAgain,
    /// A watch gives what it hears whatever is owed.
    WatchDelivers,
    /// What was lost on its way is not sent again.
    SendsOnce,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The version of what the value is made of.
    truth: u8,
    /// The version that is stored.
    value: Option<u8>,
    lock: Option<u8>,
    /// The newest version of which an invalidation was acknowledged.
    acknowledged: u8,
    nodes: [Node; NODES],
    faults: u8,
    flaw: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    connected: bool,
    /// The number under which the debt was added last.
    debt: Option<u8>,
    last: u8,
    /// The newest version whose invalidation this node was left to make good.
    owed: u8,
    /// A caller's invalidation for this version (`deliver`).
    call: Option<Sent>,
    /// The debt on its way (`pay_off`), with the version it is for.
    payment: Option<(u8, Sent)>,
    /// Whether one was on its way before.
    has_paid: bool,
    reader: Reader,
    leader: Leader,
    /// The oldest version that a waiter may get, and what is on its way to it.
    watch: Option<(u8, Option<u8>)>,
}

/// A command on its way, or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sent {
    version: u8,
    executed: bool,
}

/// The oldest version that it may get, and then what it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    Asked(u8),
    Answered(u8, Option<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Leader {
    Idle,
    Computing(u8),
    /// With whether the node had been told that it is out of date.
    Committing(u8, bool),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// A change, and the invalidation that it is the reason of.
    Invalidate(usize),
    Executed(usize),
    Acknowledged(usize),
    Pay(usize),
    PaymentExecuted(usize),
    Paid(usize),
    Read(usize),
    Get(usize),
    Give(usize),
    Lead(usize),
    Commit(usize),
    CommitExecuted(usize),
    CommitLost(usize),
    Watch(usize),
    Receive(usize),
    Leave(usize),
    Connect(usize),
    Cut(usize),
    /// A caller's invalidation is answered with an error, or not in time.
    Refuse(usize),
    LeaseEnds,
}

impl Node {
    const fn new() -> Self {
        Self {
            connected: true,
            debt: None,
            last: 0,
            owed: 0,
            call: None,
            payment: None,
            has_paid: false,
            reader: Reader::Idle,
            leader: Leader::Idle,
            watch: None,
        }
    }
}

impl Pending {
    fn node_actions(&self, state: &State, n: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[n];
        self.actions_of_any_node(state, n, actions);
        match node.connected {
            true => self.actions_of_a_connected_node(state, n, actions),
            false => actions.push(Action::Connect(n)),
        }
    }

    /// What a node does whatever has become of its connection.
    fn actions_of_any_node(&self, state: &State, n: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[n];
        if state.truth < CHANGES && node.call.is_none() {
            actions.push(Action::Invalidate(n));
        }
        if let Leader::Committing(..) = node.leader {
            // On its way, whatever has become of the connection.
            actions.extend([Action::CommitExecuted(n), Action::CommitLost(n)]);
        }
        if node.leader != Leader::Idle && !matches!(node.leader, Leader::Committing(..)) {
            actions.push(Action::Commit(n));
        }
        if let Reader::Answered(..) = node.reader {
            actions.push(Action::Give(n));
        }
        if let Some((_, mail)) = node.watch {
            actions.push(if mail.is_some() {
                Action::Receive(n)
            } else {
                Action::Leave(n)
            });
        }
    }

    fn actions_of_a_connected_node(&self, state: &State, n: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[n];
        if let Some(call) = node.call {
            actions.push(if call.executed {
                Action::Acknowledged(n)
            } else {
                Action::Executed(n)
            });
        }
        match node.payment {
            Some((_, sent)) if sent.executed => actions.push(Action::Paid(n)),
            Some(_) => actions.push(Action::PaymentExecuted(n)),
            None if self.variant == Variant::SendsOnce && node.has_paid => {}
            None if node.debt.is_some() => actions.push(Action::Pay(n)),
            None => {}
        }
        let is_refused = node.debt.is_some();
        // They do not meet each other, so one at a time shows all that one can be given.
        let is_observed = state
            .nodes
            .iter()
            .any(|n| n.reader != Reader::Idle || n.watch.is_some());
        match node.reader {
            Reader::Idle if is_refused && self.variant != Variant::ChecksAfter => {}
            Reader::Idle if is_observed => {}
            Reader::Idle => actions.push(Action::Read(n)),
            Reader::Asked(_) => actions.push(Action::Get(n)),
            Reader::Answered(..) => {}
        }
        // Both come after an acquire, which is refused as a read is.
        if !is_refused && node.leader == Leader::Idle && state.lock.is_none() && state.value.is_none() {
            actions.push(Action::Lead(n));
        }
        if !is_refused && !is_observed && state.lock.is_some_and(|holder| holder != n as u8) {
            actions.push(Action::Watch(n));
        }
        if state.faults > 0 {
            actions.push(Action::Cut(n));
            if node.call.is_some() {
                actions.push(Action::Refuse(n));
            }
        }
    }
}

impl Model for Pending {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State {
            truth: 0,
            value: None,
            lock: None,
            acknowledged: 0,
            nodes: [const { Node::new() }; NODES],
            faults: self.faults,
            flaw: None,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for n in 0..NODES {
            self.node_actions(state, n, actions);
        }
        if state.faults > 0 && state.lock.is_some() {
            actions.push(Action::LeaseEnds);
        }
    }

    fn step(&self, state: &State, action: Action) -> State {
        let mut state = state.clone();
        let oldest = |n| state.oldest(n);
        match action {
            Action::Read(n) => state.nodes[n].reader = Reader::Asked(oldest(n)),
            Action::Watch(n) => state.nodes[n].watch = Some((oldest(n), None)),
            Action::Invalidate(n) => state.invalidate(n),
            Action::Executed(n) => {
                state.delete();
                state.nodes[n].call.iter_mut().for_each(|call| call.executed = true);
            }
            Action::Acknowledged(n) => {
                let call = state.nodes[n].call.take();
                let version = call.map_or(0, |call| call.version);
                state.acknowledged = state.acknowledged.max(version);
            }
            Action::Pay(n) => {
                let node = &mut state.nodes[n];
                let (version, executed) = (node.owed, false);
                node.payment = node.debt.map(|number| (number, Sent { version, executed }));
                node.has_paid = true;
            }
            Action::PaymentExecuted(n) => {
                state.delete();
                state.nodes[n]
                    .payment
                    .iter_mut()
                    .for_each(|(_, sent)| sent.executed = true);
            }
            Action::Paid(n) => state.paid(n, self.variant),
            Action::Get(n) => {
                if let Reader::Asked(oldest) = state.nodes[n].reader {
                    state.nodes[n].reader = Reader::Answered(oldest, state.value);
                }
            }
            Action::Give(n) => state.give_read(n, self.variant),
            Action::Lead(n) => {
                state.lock = Some(n as u8);
                state.nodes[n].leader = Leader::Computing(state.truth);
            }
            Action::Commit(n) => state.commit(n, self.variant),
            Action::CommitExecuted(n) => state.commit_executed(n),
            Action::CommitLost(n) => state.nodes[n].leader = Leader::Idle,
            Action::Receive(n) => state.receive(n, self.variant),
            Action::Leave(n) => state.nodes[n].watch = None,
            Action::Connect(n) => state.nodes[n].connected = true,
            Action::Cut(n) => state.cut(n),
            Action::Refuse(n) => state.refuse(n),
            Action::LeaseEnds => {
                state.faults -= 1;
                state.lock = None;
            }
        }
        state
    }

    fn flaw(&self, state: &State) -> Option<String> {
        state.flaw.map(str::to_owned)
    }

    fn fair(&self, action: Action) -> Option<u32> {
        let (kind, n) = match action {
            Action::Executed(n) => (0, n),
            Action::Acknowledged(n) => (1, n),
            Action::Pay(n) => (2, n),
            Action::PaymentExecuted(n) => (3, n),
            Action::Paid(n) => (4, n),
            Action::Connect(n) => (5, n),
            _ => return None,
        };
        u32::try_from(kind * NODES + n).ok()
    }

    fn is_fair_by_number(&self) -> bool {
        true
    }

    /// An invalidation is not made good yet.
    fn waiting(&self, state: &State) -> bool {
        state
            .nodes
            .iter()
            .any(|node| node.debt.is_some() || node.call.is_some())
    }
}
