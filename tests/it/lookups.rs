//! Many look-ups of one process are collapsed, and no caller gets what was looked up before they came.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower_memolock::store::{Acquire, MemoryWatch, Release, Renewed, Token, Value};
use tower_memolock::{Address, Error, MemoLock, MemoryStore, Store, StoreError};

/// A store elsewhere: it counts look-ups, and each of them waits for a permit before it reads.
#[derive(Clone)]
struct Elsewhere {
    store: MemoryStore,
    looks: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Elsewhere {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            looks: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

impl Store for Elsewhere {
    type Watch = MemoryWatch;

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        if address.id().starts_with("crowd") {
            std::future::pending::<()>().await;
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("an open gate").forget();
        self.store.lookup(address).await
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        self.store.acquire(address, token, lease).await
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        self.store.renew(address, token, lease).await
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        self.store.commit(address, token, value, ttl).await
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        self.store.release(address, token, reason).await
    }

    fn invalidate(&self, address: &Address) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.store.invalidate(address)
    }

    fn watch(&self, address: &Address) -> MemoryWatch {
        self.store.watch(address)
    }
}

fn ask(memo: &MemoLock, value: &'static str) -> JoinHandle<Result<Bytes, Error>> {
    let memo = memo.clone();
    tokio::spawn(async move {
        memo.get_or_compute("a", move || async move { Ok::<_, Infallible>(value.into()) })
            .await
    })
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// A value that is stored, and a process that is busy with so many look-ups of others that it collapses them.
async fn stored(value: &'static str) -> (Elsewhere, MemoLock, Crowd) {
    let store = Elsewhere::new();
    let memo = MemoLock::new(store.clone(), "t");
    store.gate.add_permits(1);
    assert_eq!(ask(&memo, value).await.unwrap().unwrap(), value);
    let crowd = Crowd::new(&memo).await;
    store.looks.store(0, Ordering::SeqCst);
    (store, memo, crowd)
}

/// Look-ups that are under way until this is dropped.
struct Crowd(Vec<JoinHandle<()>>);

impl Crowd {
    async fn new(memo: &MemoLock) -> Self {
        let look = |n: usize| {
            let memo = memo.clone();
            tokio::spawn(async move { drop(memo.get(format!("crowd {n}")).await) })
        };
        let crowd = Self((0..64).map(look).collect());
        settle().await;
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_hits_at_once_are_two_look_ups() {
    let (store, memo, _crowd) = stored("kept").await;
    let callers: Vec<_> = (0..100).map(|_| ask(&memo, "no")).collect();
    settle().await;
    assert_eq!(store.looks(), 1, "the others came later, and wait for the next");
    store.gate.add_permits(2);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "kept");
    }
    assert_eq!(store.looks(), 2);
    assert_eq!(memo.stats().hits, 100);
}

#[tokio::test(start_paused = true)]
async fn hits_one_after_the_other_are_a_look_up_each() {
    let (store, memo, _crowd) = stored("kept").await;
    for n in 1..=5 {
        store.gate.add_permits(1);
        assert_eq!(ask(&memo, "no").await.unwrap().unwrap(), "kept");
        assert_eq!(store.looks(), n);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_an_invalidation_does_not_get_what_was_read_before_it() {
    let (store, memo, _crowd) = stored("old").await;
    let early = ask(&memo, "new");
    settle().await;
    // The early look-up has been sent; whatever it brings may be from before this.
    memo.invalidate("a").await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&memo, "new")).collect();
    settle().await;
    assert_eq!(store.looks(), 1);
    store.gate.add_permits(1);
    settle().await;
    assert_eq!(store.looks(), 2, "one of their own, and for all of them");
    store.gate.add_permits(10);
    for caller in late {
        assert_eq!(caller.await.unwrap().unwrap(), "new");
    }
    assert!(early.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_in_the_middle_of_a_look_up_leaves_no_caller_waiting() {
    let (store, memo, _crowd) = stored("kept").await;
    let first = ask(&memo, "no");
    settle().await;
    let second = ask(&memo, "no");
    settle().await;
    let third = ask(&memo, "no");
    settle().await;
    // The first looks up for itself, the second is about to for both, and both leave.
    first.abort();
    settle().await;
    second.abort();
    settle().await;
    store.gate.add_permits(3);
    assert_eq!(third.await.unwrap().unwrap(), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_does_not_keep_the_others_waiting() {
    let (store, memo, _crowd) = stored("kept").await;
    let mut parked = Box::pin(memo.get("a"));
    assert!(futures_util::poll!(&mut parked).is_pending());
    let other = ask(&memo, "no");
    store.gate.add_permits(2);
    assert_eq!(other.await.unwrap().unwrap(), "kept");
    assert_eq!(parked.await.unwrap().unwrap(), "kept");
}
