//! A shutdown of the core, without HTTP and in one process.

use super::*;

/// A computation that counts its runs and ends when it is let go.
#[derive(Clone)]
struct Work {
    runs: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Work {
    fn new() -> Self {
        Self {
            runs: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    fn ask(&self, memo: &MemoLock, value: &'static str) -> JoinHandle<Result<Bytes, Error>> {
        let (memo, work) = (memo.clone(), self.clone());
        let compute = move || async move {
            work.runs.fetch_add(1, Ordering::SeqCst);
            work.gate.acquire().await.expect("never closed").forget();
            Ok::<_, Infallible>(Bytes::from(value))
        };
        tokio::spawn(async move { memo.get_or_compute("a", compute).await })
    }

    async fn started(&self, runs: usize) {
        eventually("a computation", || self.runs.load(Ordering::SeqCst) >= runs).await;
    }

    fn let_go(&self) {
        self.gate.add_permits(1);
    }
}

fn memo(store: &MemoryStore) -> MemoLock {
    MemoLock::new(store.clone(), "t").lease(LEASE).wait_timeout(LEASE * 2)
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_leases_back_and_serves_hits_and_computes_without_the_store() {
    let store = MemoryStore::new();
    let (here, there) = (memo(&store), memo(&store));
    let found = || async { Ok::<_, Infallible>(Bytes::from("found")) };
    here.get_or_compute("stored", found).await.expect("a value");
    let (old, new, late) = (Work::new(), Work::new(), Work::new());
    let leader = old.ask(&here, "old");
    old.started(1).await;
    let follower = old.ask(&here, "no");
    let elsewhere = new.ask(&there, "new");
    eventually("one who waits", || there.stats().waiting == 1).await;

    let told = tokio::time::Instant::now();
    here.shutdown(Duration::ZERO).await;
    new.started(1).await;
    assert!(told.elapsed() < LEASE / 3, "{:?}", told.elapsed());
    assert_eq!(here.stats().given_back, 1);

    assert_eq!(here.get("stored").await.expect("a key").expect("a hit"), "found");
    new.let_go();
    assert_eq!(elsewhere.await.expect("no panic").expect("a value"), "new");
    old.let_go();
    for answered in [leader, follower] {
        assert_eq!(answered.await.expect("no panic").expect("a value"), "old");
    }
    assert_eq!(here.get("a").await.expect("a key").expect("the successor's"), "new");

    there.invalidate("a").await.expect("a store");
    let crowd: Vec<_> = (0..10).map(|_| late.ask(&here, "late")).collect();
    eventually("all but the leader waiting", || here.stats().waiting == 9).await;
    late.let_go();
    for caller in crowd {
        assert_eq!(caller.await.expect("no panic").expect("a value"), "late");
    }
    assert_eq!(late.runs.load(Ordering::SeqCst), 1);
    assert_eq!(here.get("a").await.expect("a key"), None, "nothing is stored any more");
    let stats = here.stats();
    assert_eq!((stats.failed_open, stats.given_back, stats.fenced), (0, 1, 0));
    // Once is enough.
    here.shutdown(Duration::ZERO).await;
    here.drained().await;
}

#[tokio::test(start_paused = true)]
async fn within_its_grace_a_process_finishes_what_it_leads_and_is_done_then() {
    let store = MemoryStore::new();
    let (here, there) = (memo(&store), memo(&store));
    let (work, late) = (Work::new(), Work::new());
    let leader = work.ask(&here, "value");
    work.started(1).await;
    let elsewhere = work.ask(&there, "no");
    eventually("one who waits", || there.stats().waiting == 1).await;
    let grace = LEASE * 10;
    let told = tokio::time::Instant::now();
    let leaving = tokio::spawn({
        let here = here.clone();
        async move { here.shutdown(grace).await }
    });
    // Longer than the lease, which is renewed.
    tokio::time::sleep(LEASE * 2 - Duration::from_secs(1)).await;
    assert_eq!((here.stats().given_back, work.runs.load(Ordering::SeqCst)), (0, 1));
    // A caller that still comes is served as ever.
    let (memo, compute) = (here.clone(), late.clone());
    let newcomer = tokio::spawn(async move {
        let compute = move || async move {
            compute.gate.acquire().await.expect("never closed").forget();
            Ok::<_, Infallible>(Bytes::from("late"))
        };
        memo.get_or_compute("b", compute).await
    });
    eventually("one more", || here.in_flight() == 2).await;
    work.let_go();
    assert_eq!(leader.await.expect("no panic").expect("a value"), "value");
    assert_eq!(elsewhere.await.expect("no panic").expect("a value"), "value");
    assert!(!leaving.is_finished());
    late.let_go();
    assert_eq!(newcomer.await.expect("no panic").expect("a value"), "late");
    leaving.await.expect("no panic");
    assert!(told.elapsed() < grace / 2, "{:?}", told.elapsed());
    for id in ["a", "b"] {
        assert!(there.get(id).await.expect("a key").is_some(), "{id} is stored");
    }
    // And that was that: nothing is led with a lease any more.
    let value = || async { Ok::<_, Infallible>(Bytes::from("c")) };
    here.get_or_compute("c", value).await.expect("a value");
    assert_eq!(there.get("c").await.expect("a key"), None);
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_the_grace_is_taken_over_and_a_second_word_cuts_it_short() {
    for cut in [false, true] {
        let store = MemoryStore::new();
        let (here, there) = (memo(&store), memo(&store));
        let (old, new) = (Work::new(), Work::new());
        let leader = old.ask(&here, "old");
        old.started(1).await;
        let elsewhere = new.ask(&there, "new");
        eventually("one who waits", || there.stats().waiting == 1).await;
        let grace = LEASE / 2;
        let told = tokio::time::Instant::now();
        let second = async {
            if cut {
                here.shutdown(Duration::ZERO).await;
            }
        };
        tokio::join!(here.shutdown(grace), second);
        assert_eq!((told.elapsed() < grace, here.stats().given_back), (cut, 1));
        new.started(1).await;
        new.let_go();
        assert_eq!(elsewhere.await.expect("no panic").expect("a value"), "new");
        old.let_go();
        assert_eq!(leader.await.expect("no panic").expect("a value"), "old");
    }
}

#[tokio::test(start_paused = true)]
async fn a_promise_keeps_its_lease_within_the_grace() {
    let store = MemoryStore::new();
    let (here, there) = (memo(&store), memo(&store));
    let starts = Arc::new(AtomicUsize::new(0));
    let asked: Vec<_> = [here.clone(), there.clone()]
        .into_iter()
        .map(|memo| {
            let starts = Arc::clone(&starts);
            tokio::spawn(async move {
                let start = move || {
                    starts.fetch_add(1, Ordering::SeqCst);
                    async { Ok::<_, Infallible>(()) }
                };
                memo.get_or_request("a", start).await
            })
        })
        .collect();
    eventually("a promise", || here.stats().deferred + there.stats().deferred == 1).await;
    let leaving = tokio::spawn({
        let (here, there) = (here.clone(), there.clone());
        async move { tokio::join!(here.shutdown(LEASE * 10), there.shutdown(LEASE * 10)) }
    });
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    here.resolve("a", "given".into(), LEASE).await.expect("a store");
    for asked in asked {
        assert_eq!(asked.await.expect("no panic").expect("a value"), "given");
    }
    within("the end of the shutdown", leaving).await.expect("no panic");
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_an_invalidation_took_is_not_given_back_and_no_caller_gets_what_is_stale() {
    let store = MemoryStore::new();
    let (here, there) = (memo(&store), memo(&store));
    let (old, new) = (Work::new(), Work::new());
    let leader = old.ask(&here, "old");
    old.started(1).await;
    let follower = new.ask(&here, "new");
    eventually("one who waits", || here.stats().waiting == 1).await;
    there.invalidate("a").await.expect("a store");
    here.shutdown(Duration::ZERO).await;
    new.started(1).await;
    old.let_go();
    new.let_go();
    assert_eq!(leader.await.expect("no panic").expect("a value"), "old");
    assert_eq!(follower.await.expect("no panic").expect("a value"), "new");
    assert_eq!((here.stats().fenced, here.stats().given_back), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_another_process_goes_on_waiting_and_takes_no_lease_over() {
    let store = MemoryStore::new();
    let address = Address::new(&Tag::new("t").expect("a tag"), &Key::new("a").expect("a key"));
    let held = store.acquire(&address, Token::random(), LEASE).await.expect("a store");
    assert_eq!(held.lock, Lock::Granted);
    let (memo, work) = (memo(&store), Work::new());
    let follower = work.ask(&memo, "mine");
    eventually("one who waits", || memo.stats().waiting == 1).await;
    memo.shutdown(Duration::ZERO).await;
    assert_eq!(work.runs.load(Ordering::SeqCst), 0);
    // The holder never comes back.
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    work.started(1).await;
    let free = store.acquire(&address, Token::random(), LEASE).await.expect("a store");
    assert_eq!(free.lock, Lock::Granted);
    work.let_go();
    assert_eq!(follower.await.expect("no panic").expect("a value"), "mine");
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_a_process_that_lives_is_answered_by_it_after_a_shutdown() {
    let store = MemoryStore::new();
    let (theirs, ours, work) = (memo(&store), memo(&store), Work::new());
    let leader = work.ask(&theirs, "theirs");
    work.started(1).await;
    let follower = work.ask(&ours, "ours");
    eventually("one who waits", || ours.stats().waiting == 1).await;
    ours.shutdown(Duration::ZERO).await;
    // Longer than the lease that the follower knows of, and not than it waits.
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    assert_eq!(work.runs.load(Ordering::SeqCst), 1);
    work.let_go();
    assert_eq!(leader.await.expect("no panic").expect("a value"), "theirs");
    assert_eq!(follower.await.expect("no panic").expect("a value"), "theirs");
}

#[test]
fn a_shutdown_does_not_wait_for_a_runtime_that_is_gone() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
    };
    let (gone, here) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
    let memo = memo(&MemoryStore::new());
    let work = Work::new();
    let caller = {
        let _entered = gone.enter();
        work.ask(&memo, "never")
    };
    gone.block_on(work.started(1));
    gone.shutdown_background();
    here.block_on(within("the end of a shutdown", async {
        memo.shutdown(Duration::ZERO).await;
        memo.drained().await;
        assert!(caller.await.is_err());
    }));
}
