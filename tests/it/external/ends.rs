//! Callers, processes and promises that end before the work does, and promises that meet computations.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_takes_no_other_with_it() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let leader = world.ask(&here);
    world.started.notified().await;
    settle().await;
    let follower = world.ask(&there);
    settle().await;
    leader.abort();
    settle().await;
    assert!(world.is_locked().await, "the work goes on");
    assert_eq!(here.in_flight(), 0);
    here.drained().await;
    world.at(secs(2)).await;
    there.resolve("a", "kept".into(), secs(1)).await.unwrap();
    assert_eq!(follower.await.unwrap().0.unwrap(), "kept");
    assert_eq!(world.starts(), 1);
    settle().await;
    assert!(!world.is_locked().await, "nobody waits, and still it is given back");
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_has_the_work_started_again() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let callers = vec![world.ask(&here), world.ask(&there), world.ask(&there)];
    world.started.notified().await;
    settle().await;
    world.at(secs(1)).await;
    there.invalidate("a").await.unwrap();
    settle().await;
    assert_eq!(world.starts(), 2);
    here.resolve("a", "new".into(), secs(60)).await.unwrap();
    for (value, at) in all(callers).await {
        assert_eq!(value.unwrap(), "new");
        assert_eq!(at, secs(1));
    }
    assert!(!world.is_locked().await);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_the_lease_back_and_another_process_starts_again() {
    let world = World::new();
    let (here, there) = (world.node(), world.node());
    let first = world.ask(&here);
    world.started.notified().await;
    settle().await;
    let second = world.ask(&there);
    settle().await;
    world.at(secs(1)).await;
    here.shutdown(Duration::ZERO).await;
    settle().await;
    assert_eq!(world.starts(), 2);
    assert_eq!((here.stats().given_back, there.stats().deferred), (1, 1));
    there.resolve("a", "after all".into(), secs(60)).await.unwrap();
    for (value, at) in all(vec![first, second]).await {
        assert_eq!(value.unwrap(), "after all");
        assert_eq!(at, secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_at_a_limit_is_told_so() {
    let world = World::new();
    let memo = world.node().limits(Limits::new().max_in_flight(0));
    assert!(matches!(world.ask(&memo).await.unwrap().0, Err(error) if matches!(error.kind(), ErrorKind::AtLimit(_))));
    assert_eq!(world.starts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_may_step_down_at_its_own_limit() {
    let world = World::new();
    let memo = world.node().limits(Limits::new().max_waiters(1));
    let caller = world.ask(&memo);
    world.started.notified().await;
    settle().await;
    memo.resolve("a", "one".into(), secs(60)).await.unwrap();
    assert_eq!(caller.await.unwrap().0.unwrap(), "one");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_computes_is_offered_the_lead_of_what_was_requested() {
    let world = World::new();
    let memo = world.node();
    let requested = world.ask(&memo);
    world.started.notified().await;
    settle().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let computing: Vec<_> = (0..3)
        .map(|_| {
            let (memo, runs) = (memo.clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                let compute = move || async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    sleep(secs(20)).await;
                    Ok::<_, String>("computed".into())
                };
                memo.get_or_compute("a", compute).await
            })
        })
        .collect();
    settle().await;
    // At the lease's end the caller that waits longest has the work started again. Then it leaves.
    world.at(LEASE + SLACK).await;
    assert_eq!((world.starts(), runs.load(Ordering::SeqCst)), (2, 0));
    requested.abort();
    for caller in computing {
        assert_eq!(caller.await.unwrap().unwrap(), "computed");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
