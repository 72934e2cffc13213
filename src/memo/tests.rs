//! The core over a store that does not answer. Time is paused.

mod invalidated;
mod lossy;
mod unanswered;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};

use crate::error::Error;
use crate::key::{Address, Key, Tag};
use crate::memo::MemoLock;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(3);

fn address() -> Address {
    Address::new(&Tag::new("t").unwrap(), &Key::new("a").unwrap())
}

/// One caller, whose computation ends when it is let go.
struct Caller {
    gate: Arc<Notify>,
    answer: JoinHandle<Result<Bytes, Error>>,
}

impl Caller {
    /// Returns once it computes or waits.
    async fn ask(memo: &MemoLock, value: &'static str) -> Self {
        let (memo, gate) = (memo.clone(), Arc::new(Notify::new()));
        let open = Arc::clone(&gate);
        let compute = move || async move {
            open.notified().await;
            Ok::<_, Infallible>(Bytes::from(value))
        };
        let answer = tokio::spawn(async move { memo.get_or_compute("a", compute).await });
        settle().await;
        Self { gate, answer }
    }

    /// Lets it compute, and waits for what it gets.
    async fn answer(self) -> Bytes {
        self.gate.notify_one();
        self.answer.await.unwrap().unwrap()
    }
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}
