//! [`Replying`]: the answer to a command, whether the command was taken at once or has to wait for room.

use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use super::Refusal;
use super::slot::Awaited;
use crate::store::redis::resp::RedisResult;
use crate::task::BoxFuture;

/// The answer of the server, once it comes.
pub(crate) enum Replying<'a, T> {
    Awaited(Awaited<T>),
    /// Where a command was not taken at once.
    Boxed(BoxFuture<'a, RedisResult<T>>),
}

impl<'a, T: Send + 'a> Replying<'a, T> {
    pub(super) fn of(
        added: Result<Awaited<T>, Refusal>,
        later: impl FnOnce() -> BoxFuture<'a, RedisResult<T>>,
    ) -> Self {
        match added {
            Ok(answer) => Self::Awaited(answer),
            Err(Refusal::Closed(error)) => Self::Boxed(Box::pin(ready(Err(error)))),
            Err(Refusal::Full) => Self::Boxed(later()),
        }
    }
}

impl<T> Replying<'_, T> {
    /// The answer, if it comes within `soon`, or where it `is_swept` [soon](SOON).
    pub(crate) async fn soon(&mut self, soon: Duration, is_swept: bool) -> Option<RedisResult<T>> {
        match self {
            Self::Awaited(answer) if is_swept => poll_fn(|cx| answer.poll_soon(cx)).await,
            // Boxed, because most need no timer.
            other => Box::pin(timeout(soon, other)).await.ok(),
        }
    }
}

impl<T> Future for Replying<'_, T> {
    type Output = RedisResult<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RedisResult<T>> {
        match self.get_mut() {
            Self::Awaited(answer) => answer.poll_answer(cx),
            Self::Boxed(answer) => answer.as_mut().poll(cx),
        }
    }
}
