//! [`World`]: where a task runs, as a simulation sees it.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
#[cfg(feature = "redis")]
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

#[cfg(feature = "redis")]
use tokio::io::DuplexStream;
use tokio::task::AbortHandle;

use super::Planted;

thread_local! {
    static HERE: RefCell<Option<Arc<dyn World>>> = const { RefCell::new(None) };
}

/// One node of a simulation.
pub trait World: Send + Sync {
    /// The next random number.
    fn random(&self) -> u64;

    /// The time of day.
    fn now(&self) -> SystemTime;

    /// A task was started. A world that has ended aborts it.
    fn started(&self, task: AbortHandle);

    /// A connection to that server, where the simulation has one. Defaults to `None`: the system's network is asked.
    #[cfg(feature = "redis")]
    fn connect(&self, host: &str, port: u16) -> Option<io::Result<DuplexStream>> {
        let _ = (host, port);
        None
    }

    /// Pending while the node stands still: the world wakes the task once the node runs again. Defaults to `Ready`.
    fn poll_runs(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Whether the code of this node has that fault. Defaults to `false`.
    fn has(&self, fault: Planted) -> bool {
        let _ = fault;
        false
    }
}

/// The world of the task that runs.
pub(crate) fn here() -> Option<Arc<dyn World>> {
    HERE.with_borrow(Clone::clone)
}

/// Tells the world of a task that was started in it.
pub(crate) fn started(task: AbortHandle) {
    if let Some(world) = here() {
        world.started(task);
    }
}

/// Runs `future` in `world`, and drops it there.
pub fn within<F: Future>(world: Arc<dyn World>, future: F) -> InWorld<F> {
    InWorld {
        world: Some(world),
        future: Some(Box::pin(future)),
    }
}

/// What [`within`] returns.
pub struct InWorld<F> {
    world: Option<Arc<dyn World>>,
    future: Option<Pin<Box<F>>>,
}

impl<F> InWorld<F> {
    /// The same in the world of the task that runs, if it is in one.
    pub(crate) fn inherited(future: F) -> Self {
        Self {
            world: here(),
            future: Some(Box::pin(future)),
        }
    }
}

impl<F: Future> Future for InWorld<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { world, future } = &mut *self;
        if let Some(world) = world {
            ready!(world.poll_runs(cx));
        }
        let _there = There::enter(world.clone());
        match future {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for InWorld<F> {
    fn drop(&mut self) {
        let _there = There::enter(self.world.clone());
        self.future = None;
    }
}

impl<F> fmt::Debug for InWorld<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InWorld").finish_non_exhaustive()
    }
}

/// In a world until it is dropped, and then where it was before.
struct There(Option<Arc<dyn World>>);

impl There {
    fn enter(world: Option<Arc<dyn World>>) -> Self {
        Self(HERE.replace(world))
    }
}

impl Drop for There {
    fn drop(&mut self) {
        let there = HERE.replace(self.0.take());
        drop(there);
    }
}
