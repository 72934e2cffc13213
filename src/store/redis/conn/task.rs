//! Tasks that end with their owner.

use tokio::task::JoinHandle;

use crate::task::spawn;

/// Ends the task when dropped.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    /// Starts a task on the runtime of the caller.
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(spawn(Box::pin(future)))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
