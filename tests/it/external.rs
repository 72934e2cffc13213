//! Promises that others resolve, over the embedded store: two handles on one store are two nodes. Time is paused.

mod ends;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tower_memolock::store::{Lock, Token};
use tower_memolock::{Address, Error, ErrorKind, Key, Limits, MemoLock, MemoryStore, ResolveError, Store, Tag};

use super::support::{is_from_here, is_remote};

const LEASE: Duration = Duration::from_secs(15);
const WAIT: Duration = Duration::from_secs(70);

/// A little more than a lease that was not given back can last.
const SLACK: Duration = Duration::from_millis(150);

type Answer = (Result<Bytes, Error>, Duration);

/// Where the clock stands still until every caller waits.
struct World {
    store: MemoryStore,
    begun: Instant,
    /// When the work was started.
    starts: Arc<std::sync::Mutex<Vec<Duration>>>,
    started: Arc<Notify>,
}

impl World {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            begun: Instant::now(),
            starts: Arc::default(),
            started: Arc::default(),
        }
    }

    fn node(&self) -> MemoLock {
        MemoLock::new(self.store.clone(), "report")
            .lease(LEASE)
            .wait_timeout(WAIT)
    }

    fn ask(&self, memo: &MemoLock) -> JoinHandle<Answer> {
        self.ask_with(memo, |_| Ok(()))
    }

    /// Asks for the value. `request` knows how many have started work before.
    fn ask_with(
        &self,
        memo: &MemoLock,
        request: impl Fn(usize) -> Result<(), String> + Send + Sync + 'static,
    ) -> JoinHandle<Answer> {
        let (memo, begun) = (memo.clone(), self.begun);
        let (starts, started) = (Arc::clone(&self.starts), Arc::clone(&self.started));
        let request = move || {
            let before = {
                let mut starts = starts.lock().unwrap();
                starts.push(begun.elapsed());
                starts.len() - 1
            };
            started.notify_one();
            let result = request(before);
            async move { result }
        };
        tokio::spawn(async move { (memo.get_or_request("a", request).await, begun.elapsed()) })
    }

    fn starts(&self) -> usize {
        self.starts.lock().unwrap().len()
    }

    /// Waits until that long after the beginning.
    async fn at(&self, time: Duration) {
        sleep_until(self.begun + time).await;
    }

    async fn is_locked(&self) -> bool {
        let token = Token::random();
        let acquired = self.store.acquire(&address(), token, Duration::from_nanos(1)).await;
        acquired.unwrap().lock != Lock::Granted
    }
}

fn address() -> Address {
    Address::new(&Tag::new("report").unwrap(), &Key::new("a").unwrap())
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn all(callers: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.expect("no panic"));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn every_caller_gets_what_a_worker_resolves_at_once() {
    let world = World::new();
    let nodes = [world.node(), world.node(), world.node()];
    let callers: Vec<_> = (0..60).map(|i| world.ask(&nodes[i % 3])).collect();
    world.at(secs(3)).await;
    world.node().resolve("a", "rendered".into(), secs(60)).await.unwrap();
    for (value, at) in all(callers).await {
        assert_eq!(value.unwrap(), "rendered");
        assert_eq!(at, secs(3));
    }
    assert_eq!(world.starts(), 1);
    assert!(!world.is_locked().await, "the lock outlasts the promise");
    let stats = nodes.map(|node| node.stats());
    assert_eq!(stats.iter().map(|stats| stats.deferred).sum::<u64>(), 1);
    assert_eq!(stats.iter().map(|stats| stats.resolved).sum::<u64>(), 1);
    assert_eq!(stats.iter().map(|stats| stats.followed).sum::<u64>(), 60);
    assert_eq!(stats.iter().map(|stats| stats.unresolved).sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_be_faster_than_the_request() {
    let world = World::new();
    let memo = world.node();
    // Published and not stored, while the request still runs.
    let worker = memo.clone();
    let request = move || {
        let worker = worker.clone();
        async move {
            worker.resolve("a", "quick".into(), Duration::ZERO).await.unwrap();
            sleep(secs(8)).await;
            Ok::<_, String>(())
        }
    };
    let value = memo.get_or_request("a", request).await.unwrap();
    assert_eq!(value, "quick");
    assert_eq!(world.begun.elapsed(), Duration::ZERO);
    assert_eq!(memo.get("a").await.unwrap(), None);
    settle().await;
    assert!(!world.is_locked().await);
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_is_the_failure_of_all_and_gives_the_lock_back() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let gate = Arc::new(Notify::new());
    let slow = Arc::clone(&gate);
    let leader = {
        let here = here.clone();
        tokio::spawn(async move {
            let request = move || {
                let slow = Arc::clone(&slow);
                async move {
                    slow.notified().await;
                    Err::<(), String>("no queue".into())
                }
            };
            here.get_or_request("a", request).await
        })
    };
    settle().await;
    let (beside, elsewhere) = (world.ask(&here), world.ask(&there));
    settle().await;
    gate.notify_one();
    assert!(matches!(leader.await.unwrap(), Err(e) if is_from_here(&e, "no queue")));
    assert!(matches!(beside.await.unwrap().0, Err(e) if is_from_here(&e, "no queue")));
    assert!(matches!(elsewhere.await.unwrap().0, Err(e) if is_remote(&e, "no queue")));
    assert!(!world.is_locked().await);
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_panics_is_an_error_and_not_a_hang() {
    let memo = World::new().node();
    let request = || async {
        if true {
            panic!("on purpose");
        }
        Ok::<(), String>(())
    };
    assert!(matches!(memo.get_or_request("a", request).await, Err(error) if error.kind() == ErrorKind::Panicked));
}

#[tokio::test(start_paused = true)]
async fn the_work_is_started_again_when_its_lease_ends_but_not_for_ever() {
    let world = World::new();
    let nodes = [world.node(), world.node()];
    let callers: Vec<_> = (0..20).map(|i| world.ask(&nodes[i % 2])).collect();
    // The worker was only slow: every caller that has not given up gets what it made.
    world.at(secs(65)).await;
    let starts = world.starts.lock().unwrap().clone();
    assert_eq!(starts.len(), 3, "{starts:?}");
    for (n, start) in starts.iter().enumerate() {
        let due = LEASE * u32::try_from(n).unwrap();
        let most = due + SLACK * u32::try_from(n).unwrap();
        assert!(*start >= due && *start <= most, "{starts:?}");
    }
    nodes[1].resolve("a", "at last".into(), secs(60)).await.unwrap();
    for (value, at) in all(callers).await {
        assert_eq!(value.unwrap(), "at last");
        assert_eq!(at, secs(65));
    }
    let unresolved: u64 = nodes.iter().map(|node| node.stats().unresolved).sum();
    assert_eq!(unresolved, 3);
    assert!(!world.is_locked().await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_for_a_worker_that_died_is_told_so_in_time() {
    let world = World::new();
    let nodes = [world.node(), world.node().limits(Limits::new().max_attempts(1))];
    let callers: Vec<_> = (0..6).map(|i| world.ask(&nodes[i % 2])).collect();
    for (value, at) in all(callers).await {
        assert!(
            matches!(&value, Err(error) if error.kind() == ErrorKind::WaitTimeout),
            "{value:?}"
        );
        assert_eq!(at, WAIT);
    }
    assert!(world.starts() <= 3, "{:?}", world.starts);
    settle().await;
    for node in nodes {
        node.drained().await;
        assert_eq!(node.in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_come_later_have_attempts_of_their_own() {
    let world = World::new();
    let memo = world
        .node()
        .limits(Limits::new().max_attempts(1))
        .wait_timeout(secs(40));
    let first = world.ask(&memo);
    // There is always a caller that waits, so the flight never ends.
    let mut others = Vec::new();
    for n in 1..7 {
        world.at(secs(n * 9)).await;
        others.push(world.ask(&memo));
    }
    assert!(matches!(first.await.unwrap().0, Err(error) if error.kind() == ErrorKind::WaitTimeout));
    world.at(secs(56)).await;
    let starts = world.starts.lock().unwrap().clone();
    assert_eq!(starts.len(), 2, "{starts:?}");
    // A caller that came before the first lease ended has been told.
    assert!(starts[1] >= LEASE + secs(40), "{starts:?}");
    memo.resolve("a", "then".into(), secs(9)).await.unwrap();
    assert_eq!(others.pop().unwrap().await.unwrap().0.unwrap(), "then");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_comes_too_late_to_hear_of_a_start_has_seen_one() {
    let world = World::new();
    let (here, there) = (
        world.node().limits(Limits::new().max_attempts(1)),
        world.node().limits(Limits::new().max_attempts(1)),
    );
    let first = world.ask(&here);
    world.started.notified().await;
    world.at(secs(1)).await;
    let later = world.ask(&there);
    world.at(secs(69)).await;
    assert_eq!(world.starts(), 1);
    assert!(!world.is_locked().await);
    there.resolve("a", "late".into(), secs(9)).await.unwrap();
    for (value, _) in all(vec![first, later]).await {
        assert_eq!(value.unwrap(), "late");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_resolved_is_believed_where_everything_is_stamped() {
    let world = World::new();
    let memo = world.node().stamped(true);
    let caller = world.ask(&memo);
    settle().await;
    memo.resolve("a", "stamped".into(), secs(60)).await.unwrap();
    assert_eq!(caller.await.unwrap().0.unwrap(), "stamped");
    assert_eq!(memo.get("a").await.unwrap().unwrap(), "stamped");
    memo.invalidate_all().await.unwrap();
    assert_eq!(memo.get("a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_resolved_is_an_error() {
    let memo = World::new().node();
    let result = memo.resolve("", "x".into(), secs(1)).await;
    assert!(matches!(result, Err(ResolveError::Key { .. })));
}
