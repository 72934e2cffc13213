//! Many look-ups of one process are collapsed, and no caller gets what was looked up before they came.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower_memolock::store::{Acquire, MemoryWatch, Release, Renewed, Token, Value};
use tower_memolock::{Address, Error, MemoLock, MemoryStore, Store, StoreError};

/// A store elsewhere: it counts look-ups, and each of them reads at once and waits for a permit before it answers.
#[derive(Clone)]
struct Elsewhere {
    store: MemoryStore,
    looks: Arc<AtomicUsize>,
    /// So many look-ups come to no end.
    stuck: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Elsewhere {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            looks: Arc::default(),
            stuck: Arc::default(),
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
        if self.looks.fetch_add(1, Ordering::SeqCst) < self.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let found = self.store.lookup(address).await;
        self.gate.acquire().await.expect("an open gate").forget();
        found
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

/// A value that is stored, and a process that has not looked since.
async fn stored(value: &'static str) -> (Elsewhere, MemoLock) {
    let store = Elsewhere::new();
    let memo = MemoLock::new(store.clone(), "t");
    store.gate.add_permits(1);
    assert_eq!(ask(&memo, value).await.unwrap().unwrap(), value);
    store.looks.store(0, Ordering::SeqCst);
    (store, memo)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_hits_at_once_are_two_look_ups() {
    let (store, memo) = stored("kept").await;
    let callers: Vec<_> = (0..100).map(|_| ask(&memo, "no")).collect();
    settle().await;
    assert_eq!(
        store.looks(),
        2,
        "that of the first, and one that began after all others came"
    );
    store.gate.add_permits(2);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "kept");
    }
    assert_eq!(store.looks(), 2);
    assert_eq!(memo.stats().hits, 100);
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_look_up_are_those_who_came_before_it_was_sent() {
    let (store, memo) = stored("kept").await;
    let mut callers = vec![ask(&memo, "no"), ask(&memo, "no")];
    settle().await;
    assert_eq!(store.looks(), 2);
    for _ in 0..10 {
        callers.push(ask(&memo, "no"));
        settle().await;
    }
    assert_eq!(
        store.looks(),
        2,
        "both were sent before the others came, who wait for the next"
    );
    store.gate.add_permits(1);
    settle().await;
    assert_eq!(store.looks(), 2, "the lone one has ended, the shared one has not");
    store.gate.add_permits(1);
    settle().await;
    assert_eq!(store.looks(), 3);
    store.gate.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "kept");
    }
    assert_eq!(store.looks(), 3);
}

#[tokio::test(start_paused = true)]
async fn hits_one_after_the_other_are_a_look_up_each() {
    let (store, memo) = stored("kept").await;
    for n in 1..=5 {
        store.gate.add_permits(1);
        assert_eq!(ask(&memo, "no").await.unwrap().unwrap(), "kept");
        assert_eq!(store.looks(), n);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_an_invalidation_does_not_get_what_was_read_before_it() {
    let (store, memo) = stored("old").await;
    let early = [ask(&memo, "new"), ask(&memo, "new")];
    settle().await;
    // The early look-ups have been sent; whatever they bring may be from before this.
    memo.invalidate("a").await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&memo, "new")).collect();
    settle().await;
    assert_eq!(store.looks(), 2);
    store.gate.add_permits(2);
    settle().await;
    assert_eq!(store.looks(), 3, "one of their own, and for all of them");
    store.gate.add_permits(1);
    for caller in late {
        assert_eq!(caller.await.unwrap().unwrap(), "new");
    }
    for caller in early {
        assert_eq!(caller.await.unwrap().unwrap(), "old");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_in_the_middle_of_a_look_up_leaves_no_caller_waiting() {
    let (store, memo) = stored("kept").await;
    let first = ask(&memo, "no");
    settle().await;
    let second = ask(&memo, "no");
    settle().await;
    let third = ask(&memo, "no");
    settle().await;
    // The first looks up for itself, the second has had a shared look-up begun, and both leave.
    first.abort();
    second.abort();
    settle().await;
    store.gate.add_permits(2);
    assert_eq!(third.await.unwrap().unwrap(), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_does_not_keep_the_others_waiting() {
    let (store, memo) = stored("kept").await;
    let mut lone = Box::pin(memo.get("a"));
    assert!(futures_util::poll!(&mut lone).is_pending());
    let mut sharing = Box::pin(memo.get("a"));
    assert!(futures_util::poll!(&mut sharing).is_pending());
    let before = Instant::now();
    let other = ask(&memo, "no");
    store.gate.add_permits(3);
    assert_eq!(other.await.unwrap().unwrap(), "kept");
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(sharing.await.unwrap().unwrap(), "kept");
    assert_eq!(lone.await.unwrap().unwrap(), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_without_end_holds_up_no_other_caller_for_long() {
    let (store, memo) = stored("kept").await;
    store.stuck.store(2, Ordering::SeqCst);
    let _stuck = [ask(&memo, "no"), ask(&memo, "no")];
    settle().await;
    let other = ask(&memo, "no");
    settle().await;
    assert_eq!(store.looks(), 2);
    // The second caller looks for itself as well.
    store.gate.add_permits(2);
    assert_eq!(other.await.unwrap().unwrap(), "kept");
}

#[tokio::test(start_paused = true)]
async fn callers_whose_value_is_computed_meanwhile_look_no_more() {
    let (store, compute) = (Elsewhere::new(), Arc::new(Semaphore::new(0)));
    let memo = MemoLock::new(store.clone(), "t");
    let (first, gate) = (memo.clone(), Arc::clone(&compute));
    let value = move || async move {
        gate.acquire().await.expect("an open gate").forget();
        Ok::<_, Infallible>("new".into())
    };
    let first = tokio::spawn(async move { first.get_or_compute("a", value).await });
    let mut callers = vec![first, ask(&memo, "no")];
    settle().await;
    callers.extend((0..10).map(|_| ask(&memo, "no")));
    settle().await;
    // Both look-ups find nothing, and the first caller computes before the others look.
    store.gate.add_permits(2);
    settle().await;
    assert_eq!((store.looks(), memo.stats().waiting), (2, 11));
    compute.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_shared_by_another_node_reaches_those_who_were_looking_when_the_watch_began() {
    let store = Elsewhere::new();
    let [leader, follower] = [(); 2].map(|()| MemoLock::new(store.clone(), "t").ttl(Duration::ZERO));
    let (computing, compute) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (reached, gate) = (Arc::clone(&computing), Arc::clone(&compute));
    store.gate.add_permits(1);
    let led = tokio::spawn(async move {
        let value = move || async move {
            reached.add_permits(1);
            gate.acquire().await.expect("an open gate").forget();
            Ok::<_, Infallible>("theirs".into())
        };
        leader.get_or_compute("a", value).await
    });
    computing.acquire().await.expect("an open gate").forget();
    let mut callers = vec![ask(&follower, "ours"), ask(&follower, "ours")];
    settle().await;
    callers.extend((0..3).map(|_| ask(&follower, "ours")));
    settle().await;
    // The first caller finds nothing, and its flight listens by the time that the others learn that.
    store.gate.add_permits(1);
    settle().await;
    assert_eq!(follower.in_flight(), 1);
    store.gate.add_permits(1);
    settle().await;
    // What is shared here is not stored: a caller that is not told will compute.
    compute.add_permits(1);
    assert_eq!(led.await.unwrap().unwrap(), "theirs");
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "theirs");
    }
}
