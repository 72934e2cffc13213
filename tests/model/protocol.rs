//! What can happen. The actions bear the names of the functions that implement them.

mod variant;

pub(crate) use self::variant::Variant;
use super::explore::Model;
use super::queue::Notice;
use super::registry::Subscription;
use super::state::{Caller, Flaw, Keeper, Lease, Lock, NODES, Node, SLOTS, State, Token};
use super::steps::Outcome;

/// How many keepers there can be.
const TOKENS: usize = NODES * SLOTS;

/// How many kinds of actions there are.
pub(crate) const KINDS: usize = 28;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// `Shared::look_up` and `Shared::obtain`: a caller of a node comes.
    Lookup(usize, usize),
    /// `Shared::obtain`: a caller that was late looks the value up, and joins again.
    LookAgain(usize, usize),
    /// A caller goes, or its wait timeout ends.
    Leave(usize, usize),
    /// `Store::acquire`, the `SET NX`.
    Acquire(Token),
    /// `Store::acquire`, the `GET` and the `PTTL`.
    AcquireRead(Token),
    /// `Store::acquire` fails, and whether it took the lock is unknown, or will take it.
    AcquireUnanswered(Token),
    /// It takes it, or finds it taken.
    AcquireLate(Token),
    /// `Keeper::seek` with the answer, where it does not lead.
    Seek(Token),
    /// `Keeper::lead`: the caller takes the lead.
    Lead(Token, usize),
    /// `Keeper::listen`.
    Listen(Token),
    /// `Successor::prepare`: a second watch begins.
    Succeed(Token),
    /// `Hearing::next`: it takes the place of the first.
    Swap(Token),
    /// The timeout in `Keeper::seek`: the lease has ended, as far as this node knows.
    LeaseEnd(Token),
    /// `Keeper::renew` of a lease that is no more. Of one that is held it changes nothing in a model in which a
    /// lease does not end by itself.
    Renew(Token),
    /// The computation ends: `Keeper::commit`, `Store::commit`.
    Commit(Token),
    /// `Landing::land` with the answer to the commit.
    Land(Token),
    /// The computation is given up.
    Abandon(Token),
    /// `Keeper::release`, `Store::release`.
    Release(Token),
    /// A connection is there, and `SUBSCRIBE` or a fence has been executed.
    Subscribe(usize),
    /// A subscription without watches ends, at once or once it has lingered.
    Unsubscribe(usize),
    /// `Hub::receive`: `Registry::confirm`, `Registry::pass_fence` or `Registry::deliver`.
    Receive(usize),
    /// A notification is lost, and no node notices.
    Lose(usize),
    /// `Registry::disconnect`.
    Disconnect(usize),
    /// `Shared::invalidate`, `Store::invalidate`.
    Invalidate(usize),
    /// A lease runs out while its holder is frozen. Thawed, or any time before, the holder goes on where it was: any
    /// run in which it takes no step for a while is one in which it is frozen.
    Expire,
    /// The lease of a holder that crashed runs out.
    ExpireOrphaned,
    Crash(usize),
    /// Redis starts again, empty.
    Restart,
}

/// What is explored.
pub(crate) struct Protocol {
    pub(crate) variant: Variant,
    /// How many faults may come, of any kind.
    pub(crate) faults: u8,
    pub(crate) never: &'static [Flaw],
    /// Whether states that differ in the names of the nodes alone are one. The nodes of a trace change names then.
    pub(crate) symmetric: bool,
    /// How many callers each node will see.
    pub(crate) callers: [usize; NODES],
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        let nodes = self.callers.map(|callers| {
            let mut node = Node::default();
            node.callers[..callers].fill(Caller::Expected);
            node
        });
        State {
            value: None,
            lock: Lock::Free,
            era: 0,
            nodes,
            faults: self.faults,
            lossy: false,
            due: 1,
            flaws: 0,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let may = state.faults > 0;
        for (n, node) in state.nodes.iter().enumerate() {
            for (c, caller) in node.callers.iter().enumerate() {
                match caller {
                    Caller::Expected => actions.push(Action::Lookup(n, c)),
                    Caller::Late { .. } => actions.push(Action::LookAgain(n, c)),
                    Caller::Waiting { .. } if may => actions.push(Action::Leave(n, c)),
                    _ => {}
                }
            }
            for slot in 0..SLOTS {
                self.keeper_actions(state, node, Token { node: n, slot }, actions);
            }
            match node.subscription {
                Subscription::Wanted | Subscription::WantedAgain => actions.push(Action::Subscribe(n)),
                Subscription::Off | Subscription::Subscribing | Subscription::Confirmed => {}
            }
            if node.lingers() {
                actions.push(Action::Unsubscribe(n));
            }
            if may && !matches!(node.subscription, Subscription::Off | Subscription::Wanted) {
                actions.push(Action::Disconnect(n));
            }
            if let Some(message) = node.pipe.first() {
                actions.push(Action::Receive(n));
                if message != Notice::Subscribed && may {
                    actions.push(Action::Lose(n));
                }
            }
            if may {
                actions.push(Action::Invalidate(n));
            }
            if may && *node != Node::default() {
                actions.push(Action::Crash(n));
            }
        }
        match state.lock {
            Lock::Held(_) if may => actions.push(Action::Expire),
            Lock::Orphaned if self.variant != Variant::AcquireWithoutPx => actions.push(Action::ExpireOrphaned),
            _ => {}
        }
        if may {
            actions.push(Action::Restart);
        }
    }

    fn step(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        match action {
            Action::Lookup(n, c) | Action::LookAgain(n, c) => next.lookup(n, c),
            Action::Leave(n, c) => next.leave(n, c),
            Action::Acquire(token) => next.acquire(token, self.variant),
            Action::AcquireRead(token) => next.acquire_read(token, self.variant),
            Action::AcquireUnanswered(token) => {
                next.fail_open(token);
            }
            Action::AcquireLate(token) => next.acquire_late(token),
            Action::Seek(token) => next.seek(token, self.variant),
            Action::Lead(token, c) => next.lead(token, c),
            Action::Listen(token) => next.listen(token, self.variant),
            Action::Succeed(token) => next.succeed(token, self.variant),
            Action::Swap(token) => next.swap(token),
            Action::LeaseEnd(token) => next.acquire(token, self.variant),
            Action::Renew(token) => next.land(token, Outcome::Again, self.variant),
            Action::Commit(token) => next.commit(token, self.variant),
            Action::Land(token) => next.settle(token, self.variant),
            Action::Abandon(token) => next.abandon(token),
            Action::Release(token) => next.release(token, self.variant),
            Action::Subscribe(n) => {
                next.nodes[n].subscription = Subscription::Subscribing;
                next.nodes[n].pipe.push(Notice::Subscribed);
            }
            Action::Unsubscribe(n) => next.nodes[n].unsubscribe(),
            Action::Receive(n) => next.receive(n, self.variant),
            Action::Lose(n) => {
                next.lossy = true;
                next.nodes[n].pipe.pop();
            }
            Action::Disconnect(n) => {
                next.nodes[n].disconnect();
            }
            Action::Invalidate(n) => next.invalidate(n, self.variant),
            Action::Expire => {
                next.due += 1;
                next.lock = Lock::Expired;
            }
            Action::ExpireOrphaned => next.lock = Lock::Expired,
            Action::Crash(n) => next.crash(n),
            Action::Restart => next.restart(),
        }
        let is_fault = !matches!(
            action,
            Action::Lookup(..) | Action::AcquireLate(_) | Action::Unsubscribe(_)
        );
        if self.fair(action).is_none() && is_fault {
            next.faults -= 1;
        }
        next.nodes.iter_mut().for_each(Node::rest);
        if self.symmetric {
            next.sort();
        }
        next
    }

    fn flaw(&self, state: &State) -> Option<String> {
        let unfenced = self.variant == Variant::CommitUnfenced;
        let may_commit = |token: &Token| unfenced || state.lock == Lock::Held(*token);
        let two = state.leaders().filter(may_commit).count() > 1;
        let slept = !state.lossy && state.sleeps_through();
        let flaws = state.flaws | u8::from(two) << Flaw::TwoLeaders as u8 | u8::from(slept) << Flaw::SleptThrough as u8;
        let flaw = self.never.iter().find(|flaw| flaws & 1 << **flaw as u8 != 0);
        flaw.map(|flaw| format!("{flaw:?}"))
    }

    fn fair(&self, action: Action) -> Option<u32> {
        let label = match action {
            Action::Acquire(token) => token.number(),
            Action::AcquireRead(token) => TOKENS + token.number(),
            Action::Seek(token) => 2 * TOKENS + token.number(),
            Action::Lead(token, _) => 3 * TOKENS + token.number(),
            Action::Listen(token) => 4 * TOKENS + token.number(),
            Action::LeaseEnd(token) => 5 * TOKENS + token.number(),
            Action::Renew(token) => 6 * TOKENS + token.number(),
            Action::Commit(token) => 7 * TOKENS + token.number(),
            Action::Land(token) => 8 * TOKENS + token.number(),
            Action::Release(token) => 9 * TOKENS + token.number(),
            Action::Succeed(token) => 10 * TOKENS + token.number(),
            Action::Swap(token) => 11 * TOKENS + token.number(),
            Action::Subscribe(n) => 12 * TOKENS + n,
            Action::Receive(n) => 12 * TOKENS + NODES + n,
            Action::LookAgain(n, c) => 12 * TOKENS + (2 + c) * NODES + n,
            Action::ExpireOrphaned => 12 * TOKENS + 4 * NODES,
            Action::Lookup(..)
            | Action::Leave(..)
            | Action::AcquireUnanswered(_)
            | Action::AcquireLate(_)
            | Action::Unsubscribe(_)
            | Action::Abandon(_)
            | Action::Lose(_)
            | Action::Disconnect(_)
            | Action::Invalidate(_)
            | Action::Expire
            | Action::Crash(_)
            | Action::Restart => return None,
        };
        u32::try_from(label).ok()
    }

    fn is_fair_by_number(&self) -> bool {
        !self.symmetric
    }

    fn waiting(&self, state: &State) -> bool {
        let mut callers = state.nodes.iter().flat_map(|node| node.callers);
        callers.any(|caller| !matches!(caller, Caller::Expected | Caller::Done))
    }
}

impl Protocol {
    fn keeper_actions(&self, state: &State, node: &Node, token: Token, actions: &mut Vec<Action>) {
        let may = state.faults > 0;
        let flight = &node.flights[token.slot];
        if flight.keeper.has_sent() {
            actions.push(Action::AcquireLate(token));
        }
        match flight.keeper {
            Keeper::None => {}
            Keeper::Seeking => {
                actions.push(Action::Acquire(token));
                if may {
                    actions.push(Action::AcquireUnanswered(token));
                }
            }
            Keeper::Acquiring(_) => {
                actions.push(Action::AcquireRead(token));
                if may {
                    actions.push(Action::AcquireUnanswered(token));
                }
            }
            Keeper::Acquired { lease, value } => match (lease, value) {
                (Lease::Refused, _) => actions.push(Action::Seek(token)),
                // The lock is given back, and the value taken.
                (_, Some(_)) => actions.push(Action::Release(token)),
                (_, None) => {
                    let waiters = (0..node.callers.len()).filter(|&c| node.callers[c].waits_in(token.slot));
                    actions.extend(waiters.map(|c| Action::Lead(token, c)));
                }
            },
            Keeper::Listening => {
                if !flight.watch.mailbox.is_empty() {
                    actions.push(Action::Listen(token));
                } else if !flight.successor.mailbox.is_empty() {
                    actions.push(Action::Swap(token));
                }
                let late = |caller: &Caller| caller.waits_in(token.slot) && caller.is_behind();
                if !flight.successor.exists() && node.callers.iter().any(late) {
                    actions.push(Action::Succeed(token));
                }
                if self.variant != Variant::NoLeaseEnd {
                    actions.push(Action::LeaseEnd(token));
                }
            }
            Keeper::Leading(lease) => {
                actions.push(Action::Commit(token));
                if matches!(lease, Lease::Held(_)) && state.lock != Lock::Held(token) {
                    actions.push(Action::Renew(token));
                }
                if may {
                    actions.push(Action::Abandon(token));
                }
            }
            Keeper::Committed { .. } => actions.push(Action::Land(token)),
            Keeper::Abandoned | Keeper::Deserted => actions.push(Action::Release(token)),
        }
    }
}
