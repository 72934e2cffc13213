//! Computations that extend their leases themselves, over the embedded store. Time is paused.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower_memolock::{BoxError, Error, Lease, LeaseError, Limits, MemoLock, MemoryStore};

use super::support::{is_from_here, is_remote};

const LEASE: Duration = Duration::from_secs(5);

/// A little more than a lease that was not given back can last.
const SLACK: Duration = Duration::from_millis(150);

fn node(store: &MemoryStore) -> MemoLock {
    MemoLock::new(store.clone(), "likes").lease(LEASE)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Asks on a task, and returns once the computation runs.
async fn lead<F, Fut, E>(memo: &MemoLock, compute: F) -> JoinHandle<Result<Bytes, Error>>
where
    F: FnOnce(Lease) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let memo = memo.clone();
    let (started, has_started) = oneshot::channel();
    let caller = tokio::spawn(async move {
        let compute = || async {
            let lease = Lease::take().await;
            let _ = started.send(());
            compute(lease).await
        };
        memo.get_or_compute("a", compute).await
    });
    has_started.await.expect("the computation runs");
    caller
}

/// Asks for the same, with another value. Counts how often that is computed.
fn follow(memo: &MemoLock, runs: &Arc<AtomicUsize>) -> JoinHandle<(Result<Bytes, Error>, Instant)> {
    let (memo, runs) = (memo.clone(), Arc::clone(runs));
    tokio::spawn(async move {
        let compute = move || async move {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>("another".into())
        };
        (memo.get_or_compute("a", compute).await, Instant::now())
    })
}

#[tokio::test(start_paused = true)]
async fn a_computation_that_extends_its_lease_keeps_it() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store));
    let runs = Arc::default();
    let leader = lead(&here, |lease| async move {
        assert_eq!(lease.remaining(), LEASE);
        sleep(secs(4)).await;
        lease.extend(secs(10)).await?;
        assert_eq!(lease.remaining(), secs(10));
        // Nothing takes away what was given.
        lease.extend(secs(1)).await?;
        assert_eq!(lease.remaining(), secs(10));
        sleep(secs(9)).await;
        Ok::<_, LeaseError>("slow".into())
    })
    .await;
    let followers = [follow(&here, &runs), follow(&there, &runs)];
    assert_eq!(leader.await.unwrap().unwrap(), "slow");
    for follower in followers {
        assert_eq!(follower.await.unwrap().0.unwrap(), "slow");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert_eq!(there.get("a").await.unwrap().unwrap(), "slow");
}

#[tokio::test(start_paused = true)]
async fn nothing_renews_the_lease_but_the_computation() {
    let store = MemoryStore::new();
    let nodes = [node(&store), node(&store)];
    for there in [&nodes[0], &nodes[1]] {
        let runs = Arc::default();
        let begun = Instant::now();
        let (extended, has_extended) = oneshot::channel();
        let leader = lead(&nodes[0], |lease| async move {
            sleep(secs(6)).await;
            assert_eq!(lease.remaining(), Duration::ZERO);
            let lost = lease.extend(secs(10)).await;
            extended
                .send(lost.as_ref().map_err(ToString::to_string).copied())
                .unwrap();
            lost.map(|()| "too late".into())
        })
        .await;
        let (value, at) = follow(there, &runs).await.unwrap();
        assert_eq!(value.unwrap(), "another");
        let waited = at - begun;
        assert!(waited >= LEASE && waited < LEASE + SLACK, "{waited:?}");
        let told = has_extended.await.unwrap().unwrap_err();
        assert!(told.contains("another caller takes over"), "{told}");
        let result = leader.await.unwrap();
        assert!(matches!(result, Err(e) if matches!(e.cause(), Some(LeaseError::Lost))));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(there.get("a").await.unwrap().unwrap(), "another");
        there.invalidate("a").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_computed_after_the_lease_goes_to_its_own_caller_alone() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store).ttl(secs(2)), node(&store).ttl(secs(2)));
    let runs = Arc::default();
    let leader = lead(&here, |_lease| async move {
        sleep(secs(8)).await;
        Ok::<_, LeaseError>("late".into())
    })
    .await;
    let followers = [follow(&here, &runs), follow(&there, &runs)];
    for follower in followers {
        assert_eq!(follower.await.unwrap().0.unwrap(), "another");
    }
    assert_eq!(leader.await.unwrap().unwrap(), "late");
    settle().await;
    assert_eq!(there.get("a").await.unwrap(), None, "a commit without a lease");
    assert_eq!(here.stats().fenced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_away_cannot_be_extended() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store));
    let (go, may_go) = oneshot::channel::<()>();
    let leader = lead(&here, |lease| async move {
        may_go.await.expect("a word");
        assert!(lease.remaining() > Duration::ZERO, "its end has not been said");
        lease.extend(secs(10)).await.map(|()| "old".into())
    })
    .await;
    there.invalidate("a").await.unwrap();
    go.send(()).unwrap();
    let result = leader.await.unwrap();
    assert!(matches!(result, Err(e) if matches!(e.cause(), Some(LeaseError::Lost))));
    assert_eq!(there.get("a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_computation_stores_nothing_and_ends_the_wait() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store));
    let runs = Arc::default();
    let gate = Arc::new(Notify::new());
    let open = Arc::clone(&gate);
    let leader = lead(&here, |lease| async move {
        lease.extend(secs(100)).await.expect("held");
        open.notified().await;
        Err::<Bytes, _>("no database")
    })
    .await;
    let follower = follow(&there, &runs);
    settle().await;
    gate.notify_one();
    assert!(matches!(leader.await.unwrap(), Err(e) if is_from_here(&e, "no database")));
    assert!(matches!(follower.await.unwrap().0, Err(e) if is_remote(&e, "no database")));
    assert_eq!(here.get("a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_computation_whose_lease_was_given_back_goes_on_for_those_who_wait_here() {
    let store = MemoryStore::new();
    let here = node(&store);
    let (go, may_go) = oneshot::channel::<()>();
    let leader = lead(&here, |lease| async move {
        may_go.await.expect("a word");
        assert_eq!(lease.remaining(), Duration::MAX);
        sleep(LEASE * 3).await;
        lease.extend(secs(1)).await.map(|()| "kept to ourselves".into())
    })
    .await;
    here.shutdown(Duration::ZERO).await;
    go.send(()).unwrap();
    assert_eq!(leader.await.unwrap().unwrap(), "kept to ourselves");
    assert_eq!(here.get("a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_outlives_the_computation_extends_nothing() {
    let here = node(&MemoryStore::new());
    let (sender, lease) = oneshot::channel();
    let leader = lead(&here, |lease| async move {
        sender.send(lease).expect("a task that takes it");
        Ok::<_, Infallible>("done".into())
    })
    .await;
    leader.await.unwrap().unwrap();
    settle().await;
    let lease = lease.await.unwrap();
    assert_eq!(lease.remaining(), Duration::ZERO);
    assert!(matches!(lease.extend(secs(1)).await, Err(LeaseError::Lost)));
}

#[tokio::test(start_paused = true)]
async fn a_caller_at_a_limit_computes_with_a_lease_that_does_not_end() {
    let here = node(&MemoryStore::new()).limits(Limits::new().max_in_flight(0));
    let alone = lead(&here, |lease| async move {
        assert_eq!(lease.remaining(), Duration::MAX);
        lease.extend(secs(1)).await.map(|()| "alone".into())
    })
    .await;
    assert_eq!(alone.await.unwrap().unwrap(), "alone");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_taken_late_lasts_as_it_was_renewed_last_and_is_one_for_all_who_take_it() {
    let store = MemoryStore::new();
    let (here, there) = (node(&store), node(&store).wait_timeout(secs(100)));
    let runs = Arc::default();
    let begun = Instant::now();
    let (started, has_started) = oneshot::channel();
    let memo = here.clone();
    let leader = tokio::spawn(async move {
        let compute = || async {
            let _ = started.send(());
            // The process renews it as ever.
            sleep(LEASE * 3).await;
            let lease = Lease::take().await;
            let remaining = lease.remaining();
            assert!(remaining > LEASE / 2 && remaining <= LEASE, "{remaining:?}");
            let (one, two) = tokio::join!(Lease::take(), Lease::take());
            one.extend(secs(20)).await.expect("held");
            assert_eq!([one.remaining(), two.remaining(), lease.remaining()], [secs(20); 3]);
            drop((lease, one, two));
            // From here on neither does.
            sleep(secs(60)).await;
            Ok::<_, Infallible>("late".into())
        };
        memo.get_or_compute("a", compute).await
    });
    has_started.await.unwrap();
    let (value, at) = follow(&there, &runs).await.unwrap();
    assert_eq!(value.unwrap(), "another");
    let waited = at - begun;
    let ends = LEASE * 3 + secs(20);
    assert!(waited >= ends && waited < ends + SLACK, "{waited:?}");
    assert_eq!(leader.await.unwrap().unwrap(), "late");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_known_in_the_task_of_its_computation_alone() {
    let here = node(&MemoryStore::new());
    assert_eq!(Lease::take().await.remaining(), Duration::MAX);
    let inner = here.clone();
    let value = here.get_or_compute("a", || async move {
        let elsewhere = tokio::spawn(async { Lease::take().await.remaining() }).await;
        assert_eq!(elsewhere.expect("no panic"), Duration::MAX);
        let compute = || async {
            let lease = Lease::take().await;
            lease.extend(secs(30)).await.expect("its own");
            Ok::<_, Infallible>("inner".into())
        };
        let value = inner.get_or_compute("b", compute).await?;
        assert_eq!(Lease::take().await.remaining(), LEASE, "not that of the inner one");
        Ok::<_, Error>(value)
    });
    assert_eq!(value.await.unwrap(), "inner");
}

#[tokio::test(start_paused = true)]
async fn a_computation_with_its_lease_in_hand_takes_as_long_as_it_extends_it() {
    let store = MemoryStore::new();
    let (here, there) = (
        node(&store).limits(Limits::new().max_computation(secs(10))),
        node(&store),
    );
    let runs = Arc::default();
    let leader = lead(&here, |lease| async move {
        for _ in 0..10 {
            lease.extend(secs(5)).await?;
            sleep(secs(4)).await;
        }
        Ok::<_, LeaseError>("long".into())
    })
    .await;
    let follower = follow(&there.wait_timeout(secs(100)), &runs);
    assert_eq!(leader.await.unwrap().unwrap(), "long");
    assert_eq!(follower.await.unwrap().0.unwrap(), "long");
}
