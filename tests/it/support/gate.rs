//! [`Gate`]: where a test holds calls back.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use super::within;

/// Where calls of the inner service wait until the test lets them go.
#[derive(Clone)]
pub(crate) struct Gate {
    inside: watch::Sender<usize>,
    door: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            inside: watch::Sender::new(0),
            door: Arc::new(Semaphore::new(0)),
        }
    }

    pub(crate) async fn pass(&self) {
        self.inside.send_modify(|inside| *inside += 1);
        self.door.acquire().await.expect("never closed").forget();
    }

    /// Waits until `count` calls have come, those let go included.
    pub(crate) async fn reached_by(&self, count: usize) {
        let mut inside = self.inside.subscribe();
        let reached = inside.wait_for(|inside| *inside >= count);
        within("calls at the gate", reached).await.expect("never closed");
    }

    /// How many calls have come, those let go included.
    pub(crate) fn reached(&self) -> usize {
        *self.inside.borrow()
    }

    pub(crate) fn let_go(&self, count: usize) {
        self.door.add_permits(count);
    }

    /// A call that has not come yet is not let go.
    pub(crate) fn take_back(&self) {
        self.door.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open(&self) {
        self.let_go(Semaphore::MAX_PERMITS / 2);
    }
}
