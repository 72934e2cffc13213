//! Computations that come to nothing, and callers that wait for the next.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_succeeded_by_exactly_one_at_the_end_of_its_lease() {
    let store = MemoryStore::new();
    // A holder that will never be heard of again.
    let held = store.acquire(&address("a"), Token::random(), LEASE).await.unwrap();
    assert_eq!(held.lock, Lock::Granted);
    let nodes = [node(&store), node(&store), node(&store)];
    let work = Work::default();
    let started = tokio::time::Instant::now();
    let callers: Vec<_> = (0..30).map(|i| ask(&nodes[i % 3], &work, "second")).collect();
    work.started.notified().await;
    let waited = started.elapsed();
    assert!(
        waited >= LEASE && waited < LEASE + Duration::from_millis(150),
        "{waited:?}"
    );
    work.gate.notify_one();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "second");
    }
    assert_eq!(work.runs(), 1);
    assert_eq!(nodes.iter().map(|node| node.stats().taken_over).sum::<u64>(), 1);
}

/// Each computation takes longer than others wait for it, so each comes to nothing for the waiters.
#[tokio::test(start_paused = true)]
async fn who_has_waited_for_two_computations_in_vain_computes_for_itself() {
    const CALLERS: u64 = 8;
    let store = MemoryStore::new();
    let nodes =
        [node(&store), node(&store)].map(|node| node.limits(Limits::new().max_computation(Duration::from_secs(1))));
    let runs = Arc::new(AtomicUsize::new(0));
    let begun = tokio::time::Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|i| {
            let (memo, runs) = (nodes[i as usize % 2].clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                let value = memo.get_or_compute("a", move || async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    Ok::<_, Infallible>("late".into())
                });
                (value.await, tokio::time::Instant::now())
            })
        })
        .collect();
    for caller in callers {
        let (value, at) = caller.await.unwrap();
        assert_eq!(value.unwrap(), "late");
        // The first after its own time, the second a second later, and the rest another second later.
        assert!(at - begun < Duration::from_millis(12_500), "{:?}", at - begun);
    }
    assert_eq!(runs.load(Ordering::SeqCst), CALLERS as usize);
}

/// A holder that gives up, twice, keeps no caller from the value.
#[tokio::test(start_paused = true)]
async fn a_value_is_there_for_each_caller_however_many_give_up() {
    for release in [Release::Broken { failures: 2 }, Release::Declined { attempts: 2 }] {
        let store = MemoryStore::new();
        let node = node(&store);
        let token = Token::random();
        let lock = store.acquire(&address("a"), token, LEASE).await.unwrap().lock;
        assert_eq!(lock, Lock::Granted);
        let callers: Vec<_> = (0..4)
            .map(|i| {
                let node = node.clone();
                tokio::spawn(async move {
                    let own = move || async move { Ok::<_, Infallible>(format!("own {i}").into()) };
                    node.get_or_compute("a", own).await
                })
            })
            .collect();
        settle().await;
        assert!(store.release(&address("a"), token, release.clone()).await.unwrap());
        for (i, caller) in callers.into_iter().enumerate() {
            assert_eq!(caller.await.unwrap().unwrap(), format!("own {i}"), "{release:?}");
        }
    }
}

/// Followers that attempts of other nodes leave without a value. Each attempt claims to be the first. Returns how many
/// followers compute after that.
async fn left_by_first_attempts(attempts: usize, release: Release) -> usize {
    const CALLERS: usize = 6;
    let store = MemoryStore::new();
    let node = node(&store);
    let mut holder = Token::random();
    let lock = store.acquire(&address("a"), holder, LEASE).await.unwrap().lock;
    assert_eq!(lock, Lock::Granted);
    let runs = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (node, runs) = (node.clone(), Arc::clone(&runs));
            tokio::spawn(async move {
                let own = move || async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    Ok::<_, Infallible>("own".into())
                };
                node.get_or_compute("a", own).await
            })
        })
        .collect();
    settle().await;
    for at in 1..=attempts {
        assert!(store.release(&address("a"), holder, release.clone()).await.unwrap());
        if at < attempts {
            // Asks for the lock before it hears of the attempt before, and before the followers ask.
            holder = Token::random();
            let lock = store.acquire(&address("a"), holder, LEASE).await.unwrap().lock;
            assert_eq!(lock, Lock::Granted);
        }
        settle().await;
    }
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "own", "{release:?}");
    }
    runs.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_leader_knew_of_none_before_is_not_the_last_that_is_waited_for() {
    for release in [Release::Broken { failures: 1 }, Release::Declined { attempts: 1 }] {
        for attempts in 1..=4 {
            assert_eq!(left_by_first_attempts(attempts, release.clone()).await, 1, "{attempts}");
        }
        // No follower waits without end for leaders that know of nothing.
        assert_eq!(left_by_first_attempts(5, release).await, 6);
    }
}
