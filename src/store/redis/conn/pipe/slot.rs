//! The place of an answer: the connection has the [`ReplySlot`], its caller the [`Awaited`] reply.
//!
//! A cell for one answer, which also tells the caller if the answer does not come soon. So a caller needs no timer as
//! long as answers come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::closed;
use crate::store::redis::conn::reply::GetReply;
use crate::store::redis::resp::{Command, Push, PushKind, RedisError, RedisResult, Reply};

/// The place of the answer to one command, or to several.
pub(super) enum ReplySlot {
    One(ReplySender<Reply>),
    Get(ReplySender<GetReply>),
    Several {
        replies: Vec<Reply>,
        expected: usize,
        to: ReplySender<Vec<Reply>>,
    },
    /// Of a command about a subscription. Its caller may not wait for the answer.
    Confirmed {
        by: Confirmation,
        to: Option<ReplySender<Reply>>,
    },
}

/// The push by which the server confirms a command about a channel.
#[derive(Clone)]
pub(super) struct Confirmation {
    kind: PushKind,
    channel: Vec<u8>,
}

impl Confirmation {
    /// Of a command about one channel.
    pub(super) fn of(command: &Command) -> Self {
        let mut args = command.args();
        let kind = args.next().map_or(PushKind::Other, PushKind::read);
        debug_assert!(kind.is_confirmation(), "no command about a subscription");
        Self {
            kind,
            channel: args.next().unwrap_or_default().to_vec(),
        }
    }
}

/// The sending end of an answer. Dropped before the answer, it tells the caller that the connection is closed.
pub(super) struct ReplySender<T>(Arc<AnswerCell<T>>);

/// The caller's end of an answer. Dropping it gives the answer up.
pub(crate) struct Awaited<T>(Arc<AnswerCell<T>>);

struct AnswerCell<T>(Mutex<AnswerState<T>>);

struct AnswerState<T> {
    answer: Option<RedisResult<T>>,
    caller: Option<Waker>,
    /// Whether there is an answer, or was.
    is_told: bool,
    is_late: bool,
    /// Whether the caller is there still.
    is_awaited: bool,
}

fn cell<T>() -> (ReplySender<T>, Awaited<T>) {
    let cell = Arc::new(AnswerCell(Mutex::new(AnswerState {
        answer: None,
        caller: None,
        is_told: false,
        is_late: false,
        is_awaited: true,
    })));
    (ReplySender(Arc::clone(&cell)), Awaited(cell))
}

impl ReplySlot {
    pub(super) fn one() -> (Self, Awaited<Reply>) {
        let (to, answer) = cell();
        (Self::One(to), answer)
    }

    pub(super) fn get() -> (Self, Awaited<GetReply>) {
        let (to, answer) = cell();
        (Self::Get(to), answer)
    }

    pub(super) fn several(expected: usize) -> (Self, Awaited<Vec<Reply>>) {
        let (to, answer) = cell();
        let replies = Vec::with_capacity(expected);
        (Self::Several { replies, expected, to }, answer)
    }

    /// The place of the answer to a command about a subscription.
    pub(super) fn confirmed(by: Confirmation) -> (Self, Awaited<Reply>) {
        let (to, answer) = cell();
        (Self::Confirmed { by, to: Some(to) }, answer)
    }

    /// The same, and an answer that is there as soon as the command is taken.
    pub(super) fn told(by: Confirmation) -> (Self, Awaited<Reply>) {
        let (to, answer) = cell();
        to.0.tell(Ok(Reply::Okay));
        (Self::Confirmed { by, to: None }, answer)
    }

    /// Whether this is the answer, where it is to come as a push.
    pub(super) fn is_confirmed_by(&self, push: &Push) -> bool {
        match (self, push.data.first()) {
            (Self::Confirmed { by, .. }, Some(Reply::BulkString(channel))) => {
                by.kind == push.kind && by.channel == *channel
            }
            _ => false,
        }
    }

    /// Whether there can be such an answer.
    pub(super) fn takes(&self, reply: &GetReply) -> bool {
        !matches!(self, Self::Confirmed { .. }) || matches!(reply, GetReply::Other(Reply::ServerError(_)))
    }

    /// Sends the answer, of which this is the last reply.
    pub(super) fn fill(self, reply: GetReply) {
        match self {
            Self::One(to) => to.0.tell(Ok(reply.into())),
            Self::Get(to) => to.0.tell(Ok(reply)),
            Self::Several { mut replies, to, .. } => {
                replies.push(reply.into());
                to.0.tell(Ok(replies));
            }
            Self::Confirmed { to, .. } => {
                if let Some(to) = to {
                    to.0.tell(Ok(reply.into()));
                }
            }
        }
    }

    pub(super) fn fail(self, error: RedisError) {
        match self {
            Self::One(to) => to.0.tell(Err(error)),
            Self::Get(to) => to.0.tell(Err(error)),
            Self::Several { to, .. } => to.0.tell(Err(error)),
            Self::Confirmed { to, .. } => {
                if let Some(to) = to {
                    to.0.tell(Err(error));
                }
            }
        }
    }

    /// Whether the caller is there still.
    pub(super) fn is_awaited(&self) -> bool {
        match self {
            Self::One(to) => to.0.state().is_awaited,
            Self::Get(to) => to.0.state().is_awaited,
            Self::Several { to, .. } => to.0.state().is_awaited,
            Self::Confirmed { to, .. } => to.as_ref().is_none_or(|to| to.0.state().is_awaited),
        }
    }

    /// Tells the caller that the answer does not come soon. Returns the waker to wake.
    pub(super) fn delay(&self) -> Option<Waker> {
        match self {
            Self::One(to) => to.0.delay(),
            Self::Get(to) => to.0.delay(),
            Self::Several { to, .. } => to.0.delay(),
            Self::Confirmed { to, .. } => to.as_ref()?.0.delay(),
        }
    }
}

impl<T> AnswerCell<T> {
    fn state(&self) -> MutexGuard<'_, AnswerState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delay(&self) -> Option<Waker> {
        let mut state = self.state();
        match std::mem::replace(&mut state.is_late, true) {
            true => None,
            false => state.caller.clone(),
        }
    }

    fn tell(&self, answer: RedisResult<T>) {
        let mut state = self.state();
        state.is_told = true;
        state.answer = Some(answer);
        let caller = state.caller.take();
        drop(state);
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

impl<T> Drop for ReplySender<T> {
    fn drop(&mut self) {
        if !self.0.state().is_told {
            self.0.tell(Err(closed()));
        }
    }
}

impl<T> Awaited<T> {
    pub(super) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<RedisResult<T>> {
        let mut state = self.0.state();
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => Self::wait(state, cx),
        }
    }

    /// The answer, or nothing if it does not come soon.
    pub(super) fn poll_soon(&self, cx: &mut Context<'_>) -> Poll<Option<RedisResult<T>>> {
        let mut state = self.0.state();
        match state.answer.take() {
            None if !state.is_late => Self::wait(state, cx),
            answer => Poll::Ready(answer),
        }
    }

    fn wait<U>(mut state: MutexGuard<'_, AnswerState<T>>, cx: &mut Context<'_>) -> Poll<U> {
        let is_known = state.caller.as_ref().is_some_and(|caller| caller.will_wake(cx.waker()));
        let former = match is_known {
            true => None,
            false => state.caller.replace(cx.waker().clone()),
        };
        // A waker is dropped outside of the lock.
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_awaited = false;
        let unread = (state.answer.take(), state.caller.take());
        drop(state);
        drop(unread);
    }
}
