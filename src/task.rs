//! Futures behind pointers, and tasks that run them.
//!
//! A future is compiled wherever its type is known, and so is all that tokio needs to run it. A future behind a
//! [`BoxFuture`], made by a function that is no `async fn`, is compiled in that function alone: once, rather than
//! several times in each program.

use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "redis")]
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};

/// A future whose type is not known.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs `future` in a task of its own.
pub(crate) fn spawn(future: BoxFuture<'static, ()>) -> JoinHandle<()> {
    spawn_of(future)
}

/// The same, on that runtime.
#[cfg(feature = "redis")]
pub(crate) fn spawn_on(runtime: &Handle, future: BoxFuture<'static, ()>) {
    let _there = runtime.enter();
    drop(spawn(future));
}

/// As [`spawn`], for a future that is no [`BoxFuture`].
pub(crate) fn spawn_of<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let task = tokio::spawn(inherited(future));
    #[cfg(feature = "test-util")]
    crate::simulation::started(task.abort_handle());
    task
}

/// Futures that are waited for at once, by one task.
#[cfg(feature = "redis")]
pub(crate) struct AllAtOnce<'a, T>(Vec<BoxFuture<'a, T>>);

#[cfg(feature = "redis")]
impl<'a, T> AllAtOnce<'a, T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, future: BoxFuture<'a, T>) {
        self.0.push(future);
    }

    /// The output of the next one that is ready; `None` where none is left.
    pub(crate) async fn next(&mut self) -> Option<T> {
        if self.0.is_empty() {
            return None;
        }
        std::future::poll_fn(|cx| {
            for at in 0..self.0.len() {
                if let Poll::Ready(output) = self.0[at].as_mut().poll(cx) {
                    drop(self.0.swap_remove(at));
                    return Poll::Ready(Some(output));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Aborts a task when it is dropped, unless it is [disarmed](Self::disarm) before.
pub(crate) struct AbortOnDrop(Option<AbortHandle>);

impl AbortOnDrop {
    pub(crate) fn new(task: AbortHandle) -> Self {
        Self(Some(task))
    }

    /// Lets the task run on.
    #[cfg(feature = "http")]
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// As [`spawn`], unless there is no runtime: for work that a `drop` leaves to be done.
pub(crate) fn spawn_if_any(future: BoxFuture<'static, ()>) {
    if Handle::try_current().is_ok() {
        drop(spawn(future));
    }
}

/// The future itself. A simulation takes care that a new task is on the node of the one that starts it.
#[cfg(not(feature = "test-util"))]
pub(crate) fn inherited<F: Future>(future: F) -> F {
    future
}

/// `future` on the node of the task that runs.
#[cfg(feature = "test-util")]
pub(crate) fn inherited<F: Future>(future: F) -> crate::simulation::InWorld<F> {
    crate::simulation::InWorld::inherited(future)
}
