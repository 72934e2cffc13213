//! Two nodes over one store, and those who ask them.

use bytes::Bytes;
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

/// Lets every task run that can.
pub(super) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
