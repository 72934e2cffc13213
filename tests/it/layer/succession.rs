//! How often a failing computation is handed on, and what happens then.

use tower::Layer;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::failures::key;
use super::fixture::{Broken, Failure, Gate, Inner, answer, fresh, get, pair, send, send_many, settle};
use crate::freshness::gated::Gated;
use crate::support::within;

/// An inner service whose first `failures` calls fail, each once the gate lets it.
fn failing(gate: &Gate, failures: usize) -> Inner {
    Inner::gated(gate, move |_, call| {
        if call <= failures {
            Err(Broken("on purpose"))
        } else {
            Ok(fresh(call.to_string()))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_waiter_tries_and_then_all_at_once() {
    const REQUESTS: usize = 12;
    let gate = Gate::new();
    let inner = failing(&gate, usize::MAX);
    let [node, _] = pair(&inner, |layer| layer);
    let asked: Vec<_> = (0..REQUESTS).map(|_| send(&node, get("/"))).collect();
    for leader in 1..=2 {
        gate.reached_by(leader).await;
        settle().await;
        assert_eq!(gate.reached(), leader, "exactly one takes over");
        gate.let_go(1);
    }
    gate.reached_by(REQUESTS).await;
    gate.open();
    for asked in asked {
        let answer = within("an answer", asked).await.expect("no panic");
        assert!(matches!(answer, Err(Failure::Call(Broken("on purpose")))));
    }
    assert_eq!(inner.calls(), REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn failures_on_two_nodes_are_handed_on_one_at_a_time() {
    const REQUESTS: usize = 20;
    const FAILURES: usize = 1;
    let gate = Gate::new();
    let inner = failing(&gate, FAILURES);
    let nodes = pair(&inner, |layer| layer);
    let asked = send_many(&nodes, REQUESTS, || get("/"));
    for leader in 1..=FAILURES + 1 {
        gate.reached_by(leader).await;
        settle().await;
        assert_eq!(gate.reached(), leader, "exactly one takes over");
        gate.let_go(1);
    }
    let mut failed = 0;
    for asked in asked {
        match within("an answer", asked).await.expect("no panic") {
            Ok(answer) => assert_eq!(answer.body, (FAILURES + 1).to_string()),
            Err(_) => failed += 1,
        }
    }
    assert_eq!((failed, inner.calls()), (FAILURES, FAILURES + 1));
}

#[tokio::test(start_paused = true)]
async fn failures_on_two_nodes_without_end_leave_no_request_without_an_answer() {
    const REQUESTS: usize = 20;
    let gate = Gate::new();
    let inner = failing(&gate, usize::MAX);
    let nodes = pair(&inner, |layer| layer);
    let asked = send_many(&nodes, REQUESTS, || get("/"));
    gate.open();
    for asked in asked {
        assert!(within("an answer", asked).await.expect("no panic").is_err());
    }
    assert_eq!(inner.calls(), REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn who_goes_directly_after_failures_gets_a_response_that_is_not_stored() {
    const REQUESTS: usize = 8;
    let gate = Gate::new();
    let inner = failing(&gate, 2);
    gate.open();
    let [node, _] = pair(&inner, |layer| layer);
    let asked: Vec<_> = (0..REQUESTS).map(|_| send(&node, get("/"))).collect();
    let mut answered = Vec::new();
    for asked in asked {
        if let Ok(answer) = within("an answer", asked).await.expect("no panic") {
            answered.push(answer.body);
        }
    }
    answered.sort();
    assert_eq!(answered, ["3", "4", "5", "6", "7", "8"]);
    assert_eq!(answer(send(&node, get("/"))).await.body, "9");
}

/// A keeper asks again after an acquire without an answer, and an invalidation takes the lock away. The first acquire is
/// executed only then, and must not give the lock back to the computation that takes over.
#[tokio::test(start_paused = true)]
async fn an_acquire_that_is_executed_late_gives_no_lock_back() {
    let gate = Gate::new();
    let inner = failing(&gate, 1);
    let store = MemoryStore::new();
    let slow = Gated::new(&store);
    let here = MemoLockLayer::new(slow.clone(), "layer");
    let there = MemoLockLayer::new(store, "layer");
    let (node, other) = (here.layer(inner.clone()), there.layer(inner.clone()));
    slow.gates.acquire_times_out.close();
    slow.gates.overtaken.close();
    let asked = [send(&node, get("/")), send(&node, get("/"))];
    gate.reached_by(1).await;
    slow.gates.acquire_times_out.open();
    gate.let_go(1);
    gate.reached_by(2).await;
    assert_eq!(here.handle().stats().failed_open, 1, "the second has the lock");
    there.handle().invalidate(&key("/")).await.expect("invalidated");
    slow.gates.overtaken.open();
    settle().await;
    gate.open();
    for asked in asked {
        let _ = within("an answer", asked).await.expect("no panic");
    }
    settle().await;
    assert_eq!(answer(send(&other, get("/"))).await.body, "3");
}
