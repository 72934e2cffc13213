//! A hundred thousand callers of one key at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower_memolock::{AtLimit, ErrorKind, Limits, MemoLock, MemoryStore, Stats};

use crate::support::within;

const CALLERS: usize = 100_000;

/// What became of a crowd.
struct Outcome {
    answered: usize,
    refused: usize,
    /// How often a caller computed.
    runs: usize,
    stats: Stats,
}

/// All ask at once, and no computation ends before all have asked.
async fn gather(memo: &MemoLock) -> Outcome {
    let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (memo, runs, gate) = (memo.clone(), Arc::clone(&runs), Arc::clone(&gate));
        callers.spawn(async move {
            let compute = move || async move {
                runs.fetch_add(1, Ordering::SeqCst);
                let _permit = gate.acquire().await;
                Ok::<_, Infallible>(Bytes::from_static(b"value"))
            };
            memo.get_or_compute("a", compute).await
        });
    }
    let settled = |stats: Stats| {
        let limited = usize::try_from(stats.limited_waiters).expect("a number");
        usize::try_from(stats.waiting).expect("a number") + limited == CALLERS - 1
    };
    within("all callers waiting", async {
        while !settled(memo.stats()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.add_permits(CALLERS);
    let (mut answered, mut refused) = (0, 0);
    while let Some(caller) = within("an answer", callers.join_next()).await {
        match caller.expect("no panic") {
            Ok(value) => answered += usize::from(value == "value"),
            Err(error) if matches!(error.kind(), ErrorKind::AtLimit(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    Outcome {
        answered,
        refused,
        runs: runs.load(Ordering::SeqCst),
        stats: memo.stats(),
    }
}

fn memo() -> MemoLock {
    MemoLock::new(MemoryStore::new(), "crowd")
}

#[tokio::test]
async fn a_crowd_within_the_limit_costs_one_computation() {
    let crowd = gather(&memo().limits(Limits::new().max_waiters(CALLERS))).await;
    assert_eq!((crowd.answered, crowd.runs), (CALLERS, 1));
    assert_eq!(crowd.stats.followed, CALLERS as u64 - 1);
    assert_eq!((crowd.stats.limited_waiters, crowd.stats.waiting), (0, 0));
}

#[tokio::test]
async fn of_a_crowd_over_the_limit_as_many_wait_as_may() {
    const MAY: usize = 65_536;
    let crowd = gather(&memo()).await;
    assert_eq!((crowd.answered, crowd.refused), (CALLERS, 0));
    // The leader may or may not have been among those that waited by then.
    assert!(
        (CALLERS - MAY..=CALLERS - MAY + 1).contains(&crowd.runs),
        "{}",
        crowd.runs
    );
    assert_eq!(crowd.stats.limited_waiters, crowd.runs as u64 - 1);
}

#[tokio::test]
async fn of_a_crowd_over_the_limit_the_rest_is_refused_where_it_says_so() {
    let refuse = AtLimit::Refuse {
        retry_after: std::time::Duration::from_secs(1),
    };
    let crowd = gather(&memo().limits(Limits::new().max_waiters(1000).at_limit(refuse))).await;
    assert_eq!((crowd.answered + crowd.refused, crowd.runs), (CALLERS, 1));
    assert!((1000..=1001).contains(&crowd.answered), "{}", crowd.answered);
}
