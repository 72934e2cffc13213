//! The protocol of a promise that a worker resolves, as a model: nodes that share a Redis, one caller each.
//!
//! The worker may die, store without publishing, or publish without storing. A node may crash or be left by its caller, lose
//! what was on its way to it, or have its lock taken away; and a value may expire.
//!
//! # What holds
//!
//! - A waiter is answered once there is a stored value; without one, the waiter is told so at its wait timeout, which
//!   is the only way to end once all attempts are used up and no worker works.
//! - A node starts no more work once it has seen as many starts as may be: its own, those it was told of, and the start
//!   whose lock it found held. A node that comes after a lease has ended and before the next start knows of neither, and
//!   counts from one.
//! - A lock does not outlast its promise: it is given back or expires.
//!
//! The names in parentheses are those of `keeper.rs` and its modules.

mod steps;

use super::explore::Model;

pub(crate) const NODES: usize = 2;
const MOST: u8 = 2;

pub(crate) struct External {
    pub(crate) variant: Variant,
    pub(crate) faults: u8,
}

/// The protocol, and what it would be without one of its rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Sound,
    /// A start that was only seen, as a lock that was never given back, does not count.
    Uncounted,
    /// A caller that waits does not read again when a lease ends.
    NeverReads,
    /// Nothing is started again.
    KeepsLock,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    value: bool,
    lock: Option<u8>,
    /// How many work on it.
    workers: u8,
    nodes: [Node; NODES],
    faults: u8,
    flaw: Option<&'static str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    phase: Phase,
    hears: bool,
    mail: Vec<Notice>,
    starts: u8,
    announced: bool,
    /// The lock was held when it was last seen, and no notice has said that it was given back.
    held: bool,
    /// How many starts it could have known of, whatever it counts.
    seen: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Phase {
    /// About to ask for the value and the lock (`ask`).
    #[default]
    Seeking,
    /// Waits for another caller's promise (`listen_for`).
    Listening,
    /// Has the lock, and is about to have the work started (`lead`).
    Leading,
    /// The work is started, and others are not told yet (`attend`).
    Started,
    /// Keeps the lock of a promise (`keep_promise`).
    Promising,
    /// The same, and no caller waits for it here.
    Caretaking,
    /// All attempts are used up (`look_on`).
    LookingOn,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Notice {
    Stored,
    /// Released or invalidated.
    Freed,
    /// The watch is in effect, or is again.
    Reread,
    Deferred(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Ask(usize),
    Start(usize),
    Defer(usize),
    Receive(usize),
    /// A timer of a caller that waits for the lease's end.
    Timer(usize),
    /// The same, of a node that looks on.
    Look(usize),
    GiveUp(usize),
    Expire,
    Resolve,
    StoreOnly,
    PublishOnly,
    Die,
    Crash(usize),
    Leave(usize),
    Disconnect(usize),
    DeleteLock,
    ValueExpires,
}

impl Model for External {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        State {
            value: false,
            lock: None,
            workers: 0,
            nodes: Default::default(),
            faults: self.faults,
            flaw: None,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let may = state.faults > 0;
        for (n, node) in state.nodes.iter().enumerate() {
            match node.phase {
                Phase::Seeking => actions.push(Action::Ask(n)),
                Phase::Leading => actions.push(Action::Start(n)),
                Phase::Started => actions.push(Action::Defer(n)),
                Phase::Listening | Phase::Promising | Phase::Caretaking => actions.push(Action::Timer(n)),
                Phase::LookingOn => {
                    actions.push(Action::Look(n));
                    if state.workers == 0 && !state.value {
                        actions.push(Action::GiveUp(n));
                    }
                }
                Phase::Done => {}
            }
            let reads = !matches!(node.phase, Phase::Seeking | Phase::Done);
            if reads && !node.mail.is_empty() {
                actions.push(Action::Receive(n));
            }
            if may && node.phase != Phase::Done {
                actions.push(Action::Crash(n));
                if matches!(node.phase, Phase::Listening | Phase::Promising | Phase::LookingOn) {
                    actions.push(Action::Leave(n));
                }
                if node.hears {
                    actions.push(Action::Disconnect(n));
                }
            }
        }
        let keeps = |n: u8| matches!(state.nodes[usize::from(n)].phase, Phase::Leading | Phase::Started);
        if state.lock.is_some_and(|holder| !keeps(holder)) {
            actions.push(Action::Expire);
        }
        if state.workers > 0 {
            actions.push(Action::Resolve);
            if may {
                actions.extend([Action::StoreOnly, Action::PublishOnly, Action::Die]);
            }
        }
        if may && state.lock.is_some() {
            actions.push(Action::DeleteLock);
        }
        if may && state.value {
            actions.push(Action::ValueExpires);
        }
    }

    fn step(&self, state: &State, action: Action) -> State {
        let mut state = state.clone();
        match action {
            Action::Ask(n) => state.ask(n, self.variant),
            Action::Start(n) => {
                state.workers += 1;
                state.nodes[n].phase = Phase::Started;
            }
            Action::Defer(n) => state.defer(n),
            Action::Receive(n) => state.receive(n),
            Action::Timer(n) => state.timer(n, self.variant),
            Action::Look(n) => {
                if state.value && self.variant != Variant::NeverReads {
                    state.end(n);
                }
            }
            Action::GiveUp(n) => state.end(n),
            Action::Expire => state.lock = None,
            Action::Resolve => {
                state.workers -= 1;
                state.value = true;
                state.publish(Notice::Stored);
            }
            fault => state.fault(fault),
        }
        state
    }

    fn flaw(&self, state: &State) -> Option<String> {
        state.flaw.map(str::to_owned)
    }

    fn fair(&self, action: Action) -> Option<u32> {
        let (kind, n) = match action {
            Action::Ask(n) => (0, n),
            Action::Start(n) => (1, n),
            Action::Defer(n) => (2, n),
            Action::Receive(n) => (3, n),
            Action::Timer(n) => (4, n),
            Action::Look(n) => (5, n),
            Action::GiveUp(n) => (6, n),
            Action::Expire => (7, 0),
            Action::Resolve => (8, 0),
            _ => return None,
        };
        u32::try_from(kind * NODES + n).ok()
    }

    fn is_fair_by_number(&self) -> bool {
        true
    }

    fn waiting(&self, state: &State) -> bool {
        state.lock.is_some() || state.nodes.iter().any(|node| node.phase != Phase::Done)
    }
}
