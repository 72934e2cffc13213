//! Near copies as a model: a node with a copy and a lease, a Redis that tells of changes at the end of each turn of its event
//! loop, a foreign program that writes, and a process that invalidates.
//!
//! Time goes in ticks, and may go at any moment, so that a node that does nothing stands still. Only how long ago something
//! was counts, and only up to the lag, so there is no end to it. A fault is a connection that
//! Redis has closed, of which the node learns when it learns of it, or a `FLUSHALL`.
//!
//! # What holds
//!
//! - Whatever could be served was the value in Redis no longer ago than the lag.
//! - Once an invalidation is over, nothing from before it could be served.
//! - An invalidation is over at some time.
//!
//! # What does not hold
//!
//! A connection that was closed and a set that was lost, both within the lag before an invalidation by a process that knows
//! of neither. With one fault there is only one of them.

mod steps;

use super::explore::Model;

/// In ticks.
const LAG: u8 = 2;
const VERSIONS: usize = 2;

pub(crate) struct Near {
    pub(crate) variant: Variant,
    pub(crate) faults: u8,
}

/// The protocol, and what it would be without one of its rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Sound,
    /// The lease counts from the `PING` that was answered last.
    OnePing,
    /// The lease counts from when the answer came.
    FromAnswer,
    /// An answer is kept, whatever was heard while it was on its way.
    NoPlaceholder,
    /// An invalidation is over once Redis has done it.
    NoWait,
    /// Only processes that stand in the set are waited for.
    SetOnly,
    /// Only processes that hear the notice are waited for.
    CountOnly,
    /// A lost connection ends no copies, and the next one goes on with them.
    KeepsCopies,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// What is in Redis, by number.
    stored: Option<u8>,
    /// How long ago each version ended.
    ended: [Option<u8>; VERSIONS],
    versions: u8,
    /// The key has changed in this turn.
    changed: bool,
    /// The node's `PING` of this turn was answered: the next one was sent after that.
    answered: bool,
    /// Whether Redis has the connection, with its subscriptions.
    open: bool,
    in_set: bool,
    /// What is on its way to the node.
    feed: Vec<Push>,
    node: Node,
    invalidation: Invalidation,
    faults: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    copy: Option<u8>,
    placeholder: bool,
    /// A `GET` that Redis has answered or not.
    asked: Option<Option<Option<u8>>>,
    /// The `PING` without an answer, by how long ago it was sent.
    ping: Option<u8>,
    pinged: bool,
    /// The last that was answered.
    before: Option<u8>,
    /// What is left of the lease.
    left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Push {
    Changed,
    Pong,
    Notice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Invalidation {
    None,
    /// Done in Redis, and waited for.
    Waiting {
        since: u8,
        first_after: u8,
        acknowledged: bool,
        expected: bool,
    },
    Over {
        first_after: u8,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Tick,
    /// A foreign program writes.
    Write,
    TurnEnds,
    Ask,
    AnswerGet,
    TakeAnswer,
    SendPing,
    AnswerPing,
    Deliver,
    Invalidate,
    Settle,
    Close,
    LearnOfClose,
    Flush,
}

impl Model for Near {
    type State = State;
    type Action = Action;

    /// The connection is there, and the node in the set: copies begin after that.
    fn initial(&self) -> State {
        State {
            stored: Some(0),
            ended: [None; VERSIONS],
            versions: 1,
            changed: false,
            answered: false,
            open: true,
            in_set: true,
            feed: Vec::new(),
            node: Node::default(),
            invalidation: Invalidation::None,
            faults: self.faults,
        }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let node = &state.node;
        let mut can = |action, so| {
            if so {
                actions.push(action);
            }
        };
        can(Action::Tick, true);
        can(Action::Write, (state.versions as usize) < VERSIONS);
        can(Action::TurnEnds, state.changed || state.answered);
        can(Action::Ask, node.asked.is_none() && node.copy.is_none() && state.open);
        can(Action::AnswerGet, node.asked == Some(None));
        can(Action::TakeAnswer, matches!(node.asked, Some(Some(_))));
        can(Action::SendPing, node.ping.is_none() && state.open);
        can(
            Action::AnswerPing,
            node.ping.is_some() && !node.pinged && !state.answered && state.open,
        );
        can(Action::Deliver, !state.feed.is_empty());
        can(Action::Invalidate, state.invalidation == Invalidation::None);
        let over = match state.invalidation {
            Invalidation::Waiting {
                since,
                acknowledged,
                expected,
                ..
            } => acknowledged || !expected || since >= LAG,
            _ => false,
        };
        can(Action::Settle, over);
        can(Action::Close, state.faults > 0 && state.open);
        can(Action::LearnOfClose, !state.open);
        can(Action::Flush, state.faults > 0);
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
            Action::TurnEnds => {
                if std::mem::take(&mut next.changed) && next.open {
                    next.feed.push(Push::Changed);
                }
                next.answered = false;
            }
            Action::Ask => {
                next.node.asked = Some(None);
                next.node.placeholder = true;
            }
            Action::AnswerGet => next.node.asked = Some(Some(next.stored)),
            Action::TakeAnswer => next.take_answer(self.variant),
            Action::SendPing => next.node.ping = Some(0),
            Action::AnswerPing => {
                (next.node.pinged, next.answered) = (true, true);
                next.feed.push(Push::Pong);
            }
            Action::Deliver => {
                let push = next.feed.remove(0);
                next.deliver(push, self.variant);
            }
            Action::Invalidate => next.invalidate(self.variant),
            Action::Settle => {
                if let Invalidation::Waiting { first_after, .. } = next.invalidation {
                    next.invalidation = Invalidation::Over { first_after };
                }
            }
            Action::Close => {
                next.faults -= 1;
                next.open = false;
            }
            Action::LearnOfClose => next.connect_again(self.variant),
            Action::Flush => {
                next.faults -= 1;
                next.change(None);
                next.in_set = false;
            }
        }
        next
    }

    fn flaw(&self, state: &State) -> Option<String> {
        let served = state.served()?;
        if state.ended[served as usize].is_some_and(|ended| ended > LAG) {
            return Some("older than the lag".to_owned());
        }
        match state.invalidation {
            Invalidation::Over { first_after } if served < first_after => {
                Some("from before an invalidation".to_owned())
            }
            _ => None,
        }
    }

    fn fair(&self, action: Action) -> Option<u32> {
        match action {
            Action::Tick => Some(0),
            Action::Settle => Some(1),
            _ => None,
        }
    }

    fn is_fair_by_number(&self) -> bool {
        true
    }

    fn waiting(&self, state: &State) -> bool {
        matches!(state.invalidation, Invalidation::Waiting { .. })
    }
}
