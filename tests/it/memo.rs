//! The core over the embedded store: two handles on one store are two nodes of a cluster. Time is paused.

mod attempts;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tower_memolock::store::{Lock, Release, Token};
use tower_memolock::{Address, Error, ErrorKind, Key, Limits, MemoLock, MemoryStore, Store, Tag};

use super::support::{is_from_here, is_remote};

const LEASE: Duration = Duration::from_secs(2);

fn node(store: &MemoryStore) -> MemoLock {
    MemoLock::new(store.clone(), "likes").lease(LEASE)
}

fn address(id: &str) -> Address {
    Address::new(&Tag::new("likes").unwrap(), &Key::new(id).unwrap())
}

/// A computation that counts its runs and ends when it is let go.
#[derive(Clone, Default)]
struct Work {
    runs: Arc<AtomicUsize>,
    started: Arc<Notify>,
    gate: Arc<Notify>,
}

impl Work {
    async fn run(self, value: &'static str) -> Result<Bytes, Infallible> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.started.notify_one();
        self.gate.notified().await;
        Ok(value.into())
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

fn ask(memo: &MemoLock, work: &Work, value: &'static str) -> tokio::task::JoinHandle<Result<Bytes, Error>> {
    let (memo, work) = (memo.clone(), work.clone());
    tokio::spawn(async move { memo.get_or_compute("a", move || work.run(value)).await })
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_on_two_nodes_cost_one_computation() {
    let store = MemoryStore::new();
    let nodes = [node(&store), node(&store)];
    let work = Work::default();
    let callers: Vec<_> = (0..200).map(|i| ask(&nodes[i % 2], &work, "one")).collect();
    work.started.notified().await;
    settle().await;
    work.gate.notify_one();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "one");
    }
    assert_eq!(work.runs(), 1);
    assert_eq!(nodes[0].stats().led + nodes[1].stats().led, 1);
    assert_eq!(nodes[0].stats().followed + nodes[1].stats().followed, 199);
    assert_eq!(nodes[0].in_flight() + nodes[1].in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_computed_again_once_its_ttl_is_over() {
    let memo = node(&MemoryStore::new()).ttl(Duration::from_secs(10));
    let work = Work::default();
    for (pause, runs) in [(0, 1), (9, 1), (2, 2)] {
        tokio::time::advance(Duration::from_secs(pause)).await;
        work.gate.notify_one();
        ask(&memo, &work, "x").await.unwrap().unwrap();
        assert_eq!(work.runs(), runs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ttl_of_its_own_is_respected_and_zero_stores_nothing() {
    let memo = node(&MemoryStore::new());
    let compute = || async { Ok::<_, Infallible>(Bytes::from("v")) };
    let with = |ttl| memo.clone().ttl(ttl);
    let kept = with(Duration::from_secs(600)).get_or_compute("kept", compute).await;
    assert_eq!(kept.unwrap(), "v");
    let passing = with(Duration::ZERO).get_or_compute("passing", compute).await;
    assert_eq!(passing.unwrap(), "v");
    tokio::time::advance(Duration::from_secs(500)).await;
    assert_eq!(memo.get("kept").await.unwrap().unwrap(), "v");
    assert_eq!(memo.get("passing").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_error_goes_to_all_callers_that_waited_and_is_not_stored() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store));
    let gate = Arc::new(Notify::new());
    let (started, has_started) = oneshot::channel();
    let leader = {
        let (memo, gate) = (here.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let compute = move || async move {
                let _ = started.send(());
                gate.notified().await;
                Err::<Bytes, String>("no database".into())
            };
            memo.get_or_compute("a", compute).await
        })
    };
    has_started.await.unwrap();
    let follow = |memo: &MemoLock| {
        let memo = memo.clone();
        tokio::spawn(async move {
            memo.get_or_compute("a", || async { Ok::<Bytes, String>("never".into()) })
                .await
        })
    };
    let (beside, elsewhere) = (follow(&here), follow(&there));
    settle().await;
    gate.notify_one();
    for local in [leader, beside] {
        assert!(matches!(local.await.unwrap(), Err(e) if is_from_here(&e, "no database")));
    }
    assert!(matches!(elsewhere.await.unwrap(), Err(e) if is_remote(&e, "no database")));
    assert_eq!(here.get("a").await.unwrap(), None);
    let again = here
        .get_or_compute("a", || async { Ok::<Bytes, String>("better".into()) })
        .await;
    assert_eq!(again.unwrap(), "better");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_for_all_callers_and_not_a_hang() {
    let memo = node(&MemoryStore::new());
    let gate = Arc::new(Notify::new());
    let (started, has_started) = oneshot::channel();
    let leader = {
        let (memo, gate) = (memo.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let compute = move || async move {
                let _ = started.send(());
                gate.notified().await;
                panic!("on purpose");
                #[allow(unreachable_code)]
                Ok::<Bytes, Infallible>(Bytes::new())
            };
            memo.get_or_compute("a", compute).await
        })
    };
    has_started.await.unwrap();
    let follower = ask(&memo, &Work::default(), "never");
    settle().await;
    gate.notify_one();
    assert!(matches!(leader.await.unwrap(), Err(error) if error.kind() == ErrorKind::Panicked));
    assert!(matches!(follower.await.unwrap(), Err(error) if error.kind() == ErrorKind::Panicked));
    let next = memo
        .get_or_compute("a", || async { Ok::<Bytes, Infallible>("fine".into()) })
        .await;
    assert_eq!(next.unwrap(), "fine");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hangs_up_takes_no_other_with_it() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store));
    let work = Work::default();
    let leader = ask(&here, &work, "kept");
    work.started.notified().await;
    let followers = [ask(&here, &work, "no"), ask(&there, &work, "no")];
    settle().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    work.gate.notify_one();
    for follower in followers {
        assert_eq!(follower.await.unwrap().unwrap(), "kept");
    }
    assert_eq!(work.runs(), 1);
    assert_eq!(here.get("a").await.unwrap().unwrap(), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_computation_of_many_leases_keeps_its_lease() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store));
    let work = Work::default();
    let leader = ask(&here, &work, "slow");
    work.started.notified().await;
    let follower = ask(&there, &work, "no");
    tokio::time::sleep(LEASE * 5).await;
    work.gate.notify_one();
    assert_eq!(leader.await.unwrap().unwrap(), "slow");
    assert_eq!(follower.await.unwrap().unwrap(), "slow");
    assert_eq!(work.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_too_long_is_told_so_and_the_others_are_answered() {
    let memo = node(&MemoryStore::new());
    let work = Work::default();
    let leader = ask(&memo, &work, "late");
    work.started.notified().await;
    let hasty = memo.clone().wait_timeout(Duration::from_millis(100));
    let result = ask(&hasty, &work, "no").await.unwrap();
    assert!(matches!(result, Err(error) if error.kind() == ErrorKind::WaitTimeout));
    work.gate.notify_one();
    assert_eq!(leader.await.unwrap().unwrap(), "late");
    assert_eq!(memo.stats().wait_timeouts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_computation_does_not_commit_and_later_callers_compute_anew() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store));
    let (old, new) = (Work::default(), Work::default());
    let leader = ask(&here, &old, "old");
    old.started.notified().await;
    let waiting = ask(&there, &new, "new");
    settle().await;
    there.invalidate("a").await.unwrap();
    // The caller that waited takes over, at once.
    new.started.notified().await;
    let later = ask(&here, &new, "new");
    settle().await;
    old.gate.notify_one();
    assert_eq!(
        leader.await.unwrap().unwrap(),
        "old",
        "its own caller asked before the invalidation"
    );
    settle().await;
    assert_eq!(here.get("a").await.unwrap(), None, "a stale commit");
    new.gate.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap(), "new");
    assert_eq!(later.await.unwrap().unwrap(), "new");
    assert_eq!(new.runs(), 1);
    assert_eq!(here.stats().fenced, 1);
}

#[tokio::test(start_paused = true)]
async fn when_all_callers_leave_nothing_is_left() {
    let store = MemoryStore::new();
    let other = Token::random();
    store.acquire(&address("a"), other, LEASE).await.unwrap();
    let memo = node(&store);
    let work = Work::default();
    let callers: Vec<_> = (0..10).map(|_| ask(&memo, &work, "no")).collect();
    settle().await;
    assert_eq!(memo.in_flight(), 1);
    callers.iter().for_each(|caller| caller.abort());
    settle().await;
    assert_eq!(memo.in_flight(), 0);
    assert!(
        store.renew(&address("a"), other, LEASE).await.unwrap().is_held(),
        "the lock is not theirs to give back"
    );
    assert_eq!(work.runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_before_it_can_lead_gives_the_lock_back() {
    let store = MemoryStore::new();
    let memo = node(&store);
    let work = Work::default();
    // Polled once: the flight has begun, its keeper has not.
    let mut caller = Box::pin(memo.get_or_compute("a", {
        let work = work.clone();
        move || work.run("no")
    }));
    assert!(futures_util::poll!(&mut caller).is_pending());
    drop(caller);
    settle().await;
    assert_eq!(work.runs(), 0);
    let next = store.acquire(&address("a"), Token::random(), LEASE).await.unwrap();
    assert_eq!(next.lock, Lock::Granted);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_cannot_be_a_key_is_refused() {
    let memo = node(&MemoryStore::new());
    let compute = || pending::<Result<Bytes, Infallible>>();
    assert!(matches!(memo.get_or_compute("", compute).await, Err(error) if error.kind() == ErrorKind::Key));
    assert!(matches!(
        memo.get_or_compute("x".repeat(2000), compute).await,
        Err(error) if error.kind() == ErrorKind::Key
    ));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_ends_can_wait_until_its_results_are_stored() {
    let store = MemoryStore::new();
    let memo = node(&store);
    memo.drained().await;
    let work = Work::default();
    let caller = ask(&memo, &work, "kept");
    work.started.notified().await;
    // The caller goes, and with it every reason to stay but one.
    caller.abort();
    let mut drained = Box::pin(memo.drained());
    settle().await;
    assert!(futures_util::poll!(&mut drained).is_pending());
    work.gate.notify_one();
    drained.await;
    assert_eq!(
        store
            .peek(&address("a"), tokio::time::Instant::now())
            .map(|value| value.bytes().unwrap()),
        Some("kept".into())
    );
}
