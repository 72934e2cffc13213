//! The wait timeout bounds waiting for the work of others, and nothing else. Time is paused.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tower_memolock::store::{Lock, Token};
use tower_memolock::{Address, Error, ErrorKind, Key, Lease, MemoLock, MemoryStore, Store, Tag};

use super::fixture::{Gate, Inner, answer, fresh, get, pair_over, send, settle};
use super::slow::Slow;

const BRIEF: Duration = Duration::from_millis(40);
const SLOW: Duration = Duration::from_millis(60);
const WORK: Duration = Duration::from_millis(500);

fn memo(store: &Slow) -> MemoLock {
    MemoLock::new(store.clone(), "t").wait_timeout(BRIEF)
}

async fn compute(memo: &MemoLock, value: &'static str) -> Result<Bytes, Error> {
    memo.get_or_compute("a", move || async move {
        sleep(WORK).await;
        Ok::<_, Infallible>(value.into())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_lone_caller_leads_and_stores_however_slow_the_store_is_to_say_so() {
    for timeout in [Duration::ZERO, Duration::from_nanos(1), BRIEF] {
        let store = Slow::new(SLOW);
        let memo = memo(&store).wait_timeout(timeout);
        assert_eq!(compute(&memo, "mine").await.unwrap(), "mine");
        assert_eq!(memo.get("a").await.unwrap().unwrap(), "mine", "{timeout:?}");
        assert_eq!((memo.stats().led, memo.stats().wait_timeouts), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_renewable_computation_and_a_lone_request_count_for_nothing_either() {
    let store = Slow::new(SLOW);
    let memo = memo(&store);
    let renewable = || async {
        let _lease = Lease::take().await;
        sleep(WORK).await;
        Ok::<_, Infallible>("mine".into())
    };
    let value: Result<Bytes, Error> = memo.get_or_compute("a", renewable).await;
    assert_eq!(value.unwrap(), "mine");

    let worker = MemoLock::new(store.store.clone(), "t");
    let request = move || {
        let worker = worker.clone();
        async move {
            // Longer than the caller waits for others: this is its own.
            sleep(SLOW).await;
            tokio::spawn(async move {
                sleep(BRIEF / 2).await;
                worker.resolve("b", "theirs".into(), WORK).await
            });
            Ok::<_, Infallible>(())
        }
    };
    assert_eq!(memo.get_or_request("b", request).await.unwrap(), "theirs");
    let begun = Instant::now();
    let unresolved = memo.get_or_request("c", || async { Ok::<_, Infallible>(()) }).await;
    assert!(matches!(unresolved, Err(error) if error.kind() == ErrorKind::WaitTimeout));
    assert!(begun.elapsed() >= SLOW + BRIEF && begun.elapsed() < SLOW + BRIEF * 2);
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_those_who_follow_starts_when_another_leads() {
    let store = Slow::new(SLOW);
    let memo = memo(&store);
    let begun = Instant::now();
    let leader = tokio::spawn({
        let memo = memo.clone();
        async move { compute(&memo, "mine").await }
    });
    settle().await;
    let other = compute(&memo, "no").await;
    assert!(matches!(other, Err(error) if error.kind() == ErrorKind::WaitTimeout));
    assert!(begun.elapsed() >= SLOW + BRIEF && begun.elapsed() < SLOW + BRIEF * 2);
    assert_eq!(leader.await.unwrap().unwrap(), "mine");

    // Another process: the store says so.
    let elsewhere = MemoLock::new(store.clone(), "t").wait_timeout(BRIEF);
    elsewhere.invalidate("a").await.unwrap();
    let leader = tokio::spawn(async move { compute(&memo, "mine").await });
    sleep(SLOW * 2).await;
    let begun = Instant::now();
    assert!(matches!(compute(&elsewhere, "no").await, Err(error) if error.kind() == ErrorKind::WaitTimeout));
    assert!(begun.elapsed() >= SLOW + BRIEF && begun.elapsed() < SLOW + BRIEF * 2);
    assert_eq!(leader.await.unwrap().unwrap(), "mine");
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_time_is_over_while_the_store_is_asked_again_takes_over() {
    let store = Slow::new(SLOW);
    let lease = Duration::from_millis(100);
    let address = Address::new(&Tag::new("t").unwrap(), &Key::new("a").unwrap());
    let dead = store
        .store
        .acquire(&address, Token::random(), lease + SLOW)
        .await
        .unwrap();
    assert_eq!(dead.lock, Lock::Granted);
    // It ends just before the caller has waited long enough, and the store takes longer than what is left.
    let memo = memo(&store).lease(lease).wait_timeout(lease + BRIEF);
    assert_eq!(compute(&memo, "mine").await.unwrap(), "mine");
    assert_eq!(memo.stats().wait_timeouts, 0);
}

#[tokio::test(start_paused = true)]
async fn with_zero_no_request_waits_for_another() {
    let store = Slow::new(SLOW);
    let nodes = [memo(&store), memo(&store)].map(|memo| memo.wait_timeout(Duration::ZERO));
    let begun = Instant::now();
    let callers: Vec<_> = (0..6)
        .map(|i| {
            let memo = nodes[i % 2].clone();
            tokio::spawn(async move { compute(&memo, "mine").await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap(), "mine");
    }
    assert!(begun.elapsed() < SLOW + WORK + BRIEF, "{:?}", begun.elapsed());
    assert_eq!(nodes[0].stats().led + nodes[1].stats().led, 1);
    assert_eq!(nodes[0].get("a").await.unwrap().unwrap(), "mine");
}

#[tokio::test(start_paused = true)]
async fn a_layer_with_a_timeout_shorter_than_the_store_stores_what_it_leads() {
    for timeout in [Duration::ZERO, BRIEF] {
        let inner = Inner::replying(|call| fresh(call.to_string()));
        let store = Slow::new(SLOW);
        let nodes = pair_over([store.clone(), store], &inner, |layer| layer.wait_timeout(timeout));
        assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "1");
        settle().await;
        assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "1", "{timeout:?}");
        assert_eq!(inner.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_never_wait_go_to_the_inner_service_while_one_leads() {
    let gate = Gate::new();
    let inner = Inner::new({
        let gate = gate.clone();
        move |_, call| {
            let gate = gate.clone();
            async move {
                if call == 1 {
                    gate.pass().await;
                }
                Ok(fresh(call.to_string()))
            }
        }
    });
    let store = MemoryStore::new();
    let nodes = pair_over([store.clone(), store], &inner, |layer| {
        layer.wait_timeout(Duration::ZERO)
    });
    let leader = send(&nodes[0], get("/"));
    settle().await;
    for node in &nodes {
        let direct = answer(send(node, get("/"))).await;
        assert_ne!(direct.body, "1");
    }
    gate.open();
    assert_eq!(answer(leader).await.body, "1");
    settle().await;
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "1");
    assert_eq!(inner.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_defers_has_the_clock_start_with_its_own_answer() {
    use http::{Response, StatusCode};
    use tower_memolock::middleware::MemoControl;

    use super::fixture::text;

    let inner = Inner::new(|_, _| async {
        sleep(SLOW).await;
        let mut response: Response<_> = text("later");
        *response.status_mut() = StatusCode::ACCEPTED;
        response.extensions_mut().insert(MemoControl::new().deferred());
        Ok(response)
    });
    let store = Slow::new(SLOW);
    let nodes = pair_over([store.clone(), store], &inner, |layer| {
        layer.wait_timeout(BRIEF).may_defer()
    });
    let begun = Instant::now();
    let own = answer(send(&nodes[0], get("/"))).await;
    assert_eq!((own.status.as_u16(), inner.calls()), (202, 1));
    assert!(begun.elapsed() >= SLOW * 2 + BRIEF && begun.elapsed() < SLOW * 2 + BRIEF * 2);
}
