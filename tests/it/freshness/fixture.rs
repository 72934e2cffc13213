//! Two nodes over one store, and callers that ask them.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tower_memolock::{Error, MemoLock, MemoryStore};

use super::gated::Gated;

pub(super) type Caller = JoinHandle<Result<Bytes, Error>>;

/// Two nodes, one of which has a slow way to the store.
pub(super) fn nodes() -> (MemoLock, Gated, MemoLock) {
    let store = MemoryStore::new();
    let slow = Gated::new(&store);
    (MemoLock::new(slow.clone(), "t"), slow, MemoLock::new(store, "t"))
}

pub(super) async fn answer(caller: Caller) -> Bytes {
    caller.await.unwrap().unwrap()
}

/// A leader that has begun, and ends when it is told to.
pub(super) struct Leader {
    caller: Caller,
    end: Arc<Notify>,
}

impl Leader {
    pub(super) async fn start(memo: &MemoLock, value: &'static str) -> Self {
        let (memo, end) = (memo.clone(), Arc::new(Notify::new()));
        let (started, has_started) = oneshot::channel();
        let ended = Arc::clone(&end);
        let compute = move || async move {
            let _ = started.send(());
            ended.notified().await;
            Ok::<_, Infallible>(value.into())
        };
        let caller = tokio::spawn(async move { memo.get_or_compute("a", compute).await });
        has_started.await.unwrap();
        Self { caller, end }
    }

    pub(super) fn end(&self) {
        self.end.notify_one();
    }

    pub(super) async fn finish(self) -> Bytes {
        self.end();
        answer(self.caller).await
    }
}

/// Lets every task run that can.
pub(super) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
