//! Near copies in a Redis Cluster as a model: a value on one node, the set and the channel of its tag on another, and a process
//! with a copy under the leases of both.
//!
//! What a lease is, and what keeps an answer out that was on its way, is modelled in `near.rs`. Here a node gives a sign of life
//! once all that it had to tell is heard. A fault is a connection that a node has closed, of which the process learns when it
//! learns of it; a home that has moved to where neither the set nor the subscription is; or a slot that is given to another node,
//! of which the first tells nothing but that its map is another one.
//!
//! # What holds
//!
//! - Whatever could be served was the value in Redis no longer ago than the lag.
//! - Once an invalidation is over, nothing from before it could be served.
//! - An invalidation is over at some time.

mod steps;

use super::explore::Model;

/// In ticks.
const LAG: u8 = 2;
const VERSIONS: usize = 2;

pub(crate) struct NearCluster {
    pub(crate) variant: Variant,
    pub(crate) faults: u8,
}

/// The protocol, and what it would be without one of its rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Sound,
    /// A copy is served under the lease of the node that it came from.
    OneLease,
    /// The home is told before the change is made.
    TellsFirst,
    /// A home that has just moved is believed like any other.
    TrustsHome,
    /// A sign of life says nothing of the map.
    IgnoresMap,
    /// An answer is kept, whichever node it came from.
    KeepsAll,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// What is in Redis, by number.
    stored: Option<u8>,
    /// How long ago each version ended.
    ended: [Option<u8>; VERSIONS],
    versions: u8,
    /// Another node has the slot of the value.
    given: bool,
    /// How long ago the home moved.
    moved: Option<u8>,
    /// Of the node with the value, and of the home.
    connections: [Connection; 2],
    in_set: bool,
    process: Process,
    invalidation: Invalidation,
    /// No version before this one may be served once the invalidation is over.
    first_after: u8,
    faults: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Connection {
    open: bool,
    /// Something is on its way to the process: a change of the value, or the notice.
    tells: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Process {
    copy: Option<u8>,
    placeholder: bool,
    /// A `GET` that was answered or not, and whether by the node that is tracked.
    asked: Option<Option<(Option<u8>, bool)>>,
    /// The map that the node with the value had at its last sign of life says that the slot is given away.
    knows: bool,
    /// What is left of the two leases.
    left: [u8; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Invalidation {
    None,
    /// The first of its two steps is done.
    Half,
    /// Both are, and processes that may have copies are waited for.
    Waiting {
        since: u8,
        acknowledged: bool,
        expected: bool,
    },
    Over,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Tick,
    /// A foreign program writes.
    Write,
    Ask,
    AnswerGet,
    TakeAnswer,
    Hear(usize),
    SignOfLife(usize),
    Invalidate,
    Settle,
    Close(usize),
    LearnOfClose(usize),
    HomeMoves,
    GiveSlot,
}

const VALUE: usize = 0;
const HOME: usize = 1;

impl Model for NearCluster {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        let connection = Connection {
            open: true,
            tells: false,
        };
        State {
            stored: Some(0),
            ended: [None; VERSIONS],
            versions: 1,
            given: false,
            moved: None,
            connections: [connection.clone(), connection],
            in_set: true,
            process: Process::default(),
            invalidation: Invalidation::None,
            first_after: 0,
            faults: self.faults,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let process = &state.process;
        let mut can = |action, so| {
            if so {
                actions.push(action);
            }
        };
        can(Action::Tick, true);
        can(Action::Write, (state.versions as usize) < VERSIONS);
        can(
            Action::Ask,
            process.asked.is_none() && process.copy.is_none() && state.connections[VALUE].open,
        );
        can(Action::AnswerGet, process.asked == Some(None));
        can(Action::TakeAnswer, matches!(process.asked, Some(Some(_))));
        for (at, connection) in state.connections.iter().enumerate() {
            can(Action::Hear(at), connection.tells);
            can(Action::SignOfLife(at), connection.open && !connection.tells);
            can(Action::Close(at), state.faults > 0 && connection.open);
            can(Action::LearnOfClose(at), !connection.open);
        }
        can(
            Action::Invalidate,
            matches!(state.invalidation, Invalidation::None | Invalidation::Half),
        );
        let over = match state.invalidation {
            Invalidation::Waiting {
                since,
                acknowledged,
                expected,
            } => acknowledged || !expected || since >= LAG,
            _ => false,
        };
        can(Action::Settle, over);
        can(Action::HomeMoves, state.faults > 0 && state.moved.is_none());
        can(Action::GiveSlot, state.faults > 0 && !state.given);
    }

    fn step(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        match action {
            Action::Tick => next.tick(),
            Action::Write => {
                let version = next.versions;
                next.versions += 1;
                next.change(Some(version));
            }
            Action::Ask => {
                next.process.asked = Some(None);
                next.process.placeholder = true;
            }
            Action::AnswerGet => next.process.asked = Some(Some((next.stored, !next.given))),
            Action::TakeAnswer => next.take_answer(self.variant),
            Action::Hear(at) => next.hear(at),
            Action::SignOfLife(at) => {
                if at == VALUE && next.given && !next.process.knows && self.variant != Variant::IgnoresMap {
                    next.process.knows = true;
                    next.forget();
                }
                next.process.left[at] = LAG;
            }
            Action::Invalidate => match next.invalidation {
                Invalidation::None if self.variant != Variant::TellsFirst => {
                    next.invalidate();
                    next.invalidation = Invalidation::Half;
                }
                _ => next.tell(self.variant),
            },
            Action::Settle => {
                if self.variant == Variant::TellsFirst {
                    next.invalidate();
                }
                next.invalidation = Invalidation::Over;
            }
            Action::Close(at) => {
                next.faults -= 1;
                next.connections[at].open = false;
            }
            Action::LearnOfClose(at) => next.connect_again(at),
            Action::HomeMoves => {
                next.faults -= 1;
                next.moved = Some(0);
                (next.connections[HOME].open, next.in_set) = (false, false);
            }
            Action::GiveSlot => {
                next.faults -= 1;
                next.given = true;
            }
        }
        next
    }

    fn flaw(&self, state: &State) -> Option<String> {
        let served = state.served(self.variant)?;
        if state.ended[served as usize].is_some_and(|ended| ended > LAG) {
            return Some("older than the lag".to_owned());
        }
        let is_over = state.invalidation == Invalidation::Over;
        (is_over && served < state.first_after).then(|| "from before an invalidation".to_owned())
    }

    fn fair(&self, action: Action) -> Option<u32> {
        match action {
            Action::Tick => Some(0),
            Action::Settle => Some(1),
            Action::Invalidate => Some(2),
            _ => None,
        }
    }

    fn is_fair_by_number(&self) -> bool {
        true
    }

    fn waiting(&self, state: &State) -> bool {
        matches!(state.invalidation, Invalidation::Half | Invalidation::Waiting { .. })
    }
}
