//! Futures behind pointers, and tasks that run them.
//!
//! A future is compiled wherever its type is known, and so is all that tokio needs to run it. What is behind a
//! [`BoxFuture`], made by a function that is no `async fn`, is compiled there alone: once, rather than in each program and
//! several times.

use std::future::Future;
use std::pin::Pin;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A future whose type is not known.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs `future` in a task of its own.
pub(crate) fn spawn(future: BoxFuture<'static, ()>) -> JoinHandle<()> {
    tokio::spawn(future)
}

/// The same, unless there is no runtime: for what a `drop` leaves to be done.
pub(crate) fn spawn_if_any(future: BoxFuture<'static, ()>) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(future);
    }
}
