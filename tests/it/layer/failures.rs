//! What goes wrong with one request, and what the others see of it: nothing.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::Response;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{HeadKey, KeyExtractor, UriKey};
use tower_memolock::{Key, MemoLockLayer, MemoryStore};

use super::fixture::{
    Broken, Failure, Gate, Inner, Node, TestBody, answer, bodies, by_hand, data, fresh, get, pair, parts, read, send,
    send_many, settle, streamed, with,
};
use crate::support::within;

/// What one client got.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Got {
    Body(String),
    Error,
    BrokenBody,
    Panic,
}

/// Sends ten requests at once, and returns what they got, sorted.
async fn ten(nodes: &[Node; 2]) -> Vec<Got> {
    let mut got = Vec::new();
    for asked in send_many(nodes, 10, || get("/")) {
        got.push(match within("an answer", asked).await {
            Ok(Ok(answer)) => Got::Body(String::from_utf8(answer.body.into()).expect("UTF-8")),
            Ok(Err(Failure::Call(Broken(_)))) => Got::Error,
            Ok(Err(Failure::Body(_))) => Got::BrokenBody,
            Err(error) => {
                let panic = error.into_panic();
                assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
                Got::Panic
            }
        });
    }
    got.sort();
    got
}

/// Nine clients got the second call's response, which is stored; one got the first call's.
async fn one_takes_over(first: Got, inner: Inner) {
    let nodes = pair(&inner, |layer| layer);
    let mut expected: Vec<_> = (0..9).map(|_| Got::Body("whole".into())).collect();
    expected.push(first);
    expected.sort();
    assert_eq!(ten(&nodes).await, expected);
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "whole");
    assert_eq!(inner.calls(), 2);
}

/// Fails the first call in `how`, once every caller waits for it.
fn failing_first(how: impl Fn() -> Result<Response<TestBody>, Broken> + Clone + Send + Sync + 'static) -> Inner {
    Inner::new(move |_, call| {
        let how = how.clone();
        async move {
            settle().await;
            if call == 1 { how() } else { Ok(fresh("whole")) }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_error_goes_to_the_leaders_client_and_one_waiter_takes_over() {
    one_takes_over(Got::Error, failing_first(|| Err(Broken("on purpose")))).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_goes_to_the_leaders_client_and_one_waiter_takes_over() {
    one_takes_over(Got::Panic, failing_first(|| panic!("on purpose"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_call_itself_is_like_one_in_its_future() {
    let inner = Inner::new(|_, call| {
        assert!(call > 1, "on purpose");
        std::future::ready(Ok(fresh("whole")))
    });
    one_takes_over(Got::Panic, inner).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_body_breaks_the_leaders_body_off_and_one_waiter_takes_over() {
    let inner = failing_first(|| {
        let body = stream::iter(0..2).map(|part| {
            assert!(part == 0, "on purpose");
            data("wh")
        });
        Ok(with(streamed(body), "cache-control", "max-age=60"))
    });
    one_takes_over(Got::BrokenBody, inner).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_neither_stored_nor_shared() {
    let inner = failing_first(|| {
        let body = parts([data("wh"), Err(Broken("on purpose"))]);
        Ok(with(body, "cache-control", "max-age=60"))
    });
    one_takes_over(Got::BrokenBody, inner).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_another_length_than_declared_is_neither_stored_nor_shared() {
    for (body, declared) in [
        ("wh", "5"),
        ("whole and more", "5"),
        ("", "5"),
        ("five?", "5, 6"),
        ("wh", "two"),
    ] {
        let inner = failing_first(move || {
            Ok(with(
                with(parts([data(body)]), "cache-control", "max-age=60"),
                "content-length",
                declared,
            ))
        });
        one_takes_over(Got::Body(body.into()), inner).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_before_the_head_stops_nothing() {
    for others in [0, 9] {
        let gate = Gate::new();
        let inner = Inner::gated(&gate, move |_, call| Ok(fresh(call.to_string())));
        let nodes = pair(&inner, |layer| layer);
        let leader = send(&nodes[0], get("/"));
        gate.reached_by(1).await;
        let asked = send_many(&nodes, others, || get("/"));
        settle().await;
        leader.abort();
        settle().await;
        gate.open();
        assert_eq!(bodies(asked).await, vec!["1"; others]);
        settle().await;
        assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_in_the_middle_of_the_body_stops_nothing() {
    for others in [0, 9] {
        let (body, rest) = by_hand();
        let body_parts = std::sync::Mutex::new(Some(rest));
        let inner = Inner::replying(move |_| {
            let body = body_parts.lock().expect("no panic").take().expect("one call");
            with(streamed(body), "cache-control", "max-age=60")
        });
        let nodes = pair(&inner, |layer| layer);
        let leader = within("a head", nodes[0].clone().oneshot(get("/")))
            .await
            .expect("a response");
        let asked = send_many(&nodes, others, || get("/"));
        body.send(data("be")).expect("a reader");
        settle().await;
        drop(leader);
        settle().await;
        body.send(data("gun")).expect("still a reader");
        drop(body);
        assert_eq!(bodies(asked).await, vec!["begun"; others]);
        settle().await;
        assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "begun");
        assert_eq!(inner.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_that_hang_up_take_no_other_with_them() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| {
        if call == 1 {
            Err(Broken("on purpose"))
        } else {
            Ok(fresh("whole"))
        }
    });
    let nodes = pair(&inner, |layer| layer);
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    let mut asked = send_many(&nodes, 20, || get("/"));
    settle().await;
    // The first to wait are the first to be asked to take over.
    for gone in asked.drain(..16) {
        gone.abort();
    }
    gate.open();
    assert!(within("an answer", leader).await.expect("no panic").is_err());
    assert_eq!(bodies(asked).await, ["whole"; 4]);
    assert_eq!(inner.calls(), 2);
}

/// An inner service whose first call waits at the gate.
fn slow_first(gate: &Gate) -> Inner {
    let gate = gate.clone();
    Inner::new(move |_, call| {
        let gate = gate.clone();
        async move {
            if call == 1 {
                gate.pass().await;
            }
            Ok(fresh(call.to_string()))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_too_long_calls_directly_and_stores_nothing() {
    let gate = Gate::new();
    let inner = slow_first(&gate);
    let nodes = pair(&inner, |layer| layer.wait_timeout(Duration::from_secs(10)));
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    let start = tokio::time::Instant::now();

    let mut direct = bodies(send_many(&nodes, 2, || get("/"))).await;

    direct.sort();
    assert_eq!(direct, ["2", "3"]);
    assert!(
        (10.0..10.1).contains(&start.elapsed().as_secs_f64()),
        "{:?}",
        start.elapsed()
    );
    assert!(!leader.is_finished());
    gate.open();
    assert_eq!(answer(leader).await.body, "1");
    settle().await;
    assert_eq!(bodies(send_many(&nodes, 2, || get("/"))).await, ["1"; 2]);
}

pub(super) fn key(path: &str) -> Key {
    match UriKey::new().head_key(&get(path)) {
        HeadKey::Key(key) => key,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn invalidating_keeps_a_computation_under_way_from_storing() {
    for elsewhere in [false, true] {
        let gate = Gate::new();
        let inner = slow_first(&gate);
        let store = MemoryStore::new();
        let layers = [store.clone(), store].map(|store| MemoLockLayer::new(store, "layer"));
        let nodes = [&layers[0], &layers[1]].map(|layer| layer.layer(inner.clone()));
        let leader = send(&nodes[0], get("/"));
        gate.reached_by(1).await;
        let before = send_many(&nodes, 4, || get("/"));
        settle().await;

        layers[usize::from(elsewhere)]
            .handle()
            .invalidate(&key("/"))
            .await
            .expect("invalidated");
        let after = send_many(&nodes, 4, || get("/"));
        // They do not wait for the outdated computation, once its node knows that it is.
        assert_eq!(bodies(after).await, ["2"; 4], "{elsewhere}");
        gate.open();

        assert_eq!(answer(leader).await.body, "1");
        // A client that asked before may have either.
        for body in bodies(before).await {
            assert!(["1", "2"].contains(&body.as_str()), "{body}");
        }
        assert_eq!(bodies(send_many(&nodes, 4, || get("/"))).await, ["2"; 4], "{elsewhere}");
        assert_eq!(inner.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_after_an_invalidation_never_gets_what_was_computed_before() {
    let gate = Gate::new();
    let inner = slow_first(&gate);
    let store = MemoryStore::new();
    let layers = [store.clone(), store].map(|store| MemoLockLayer::new(store, "layer"));
    let nodes = [&layers[0], &layers[1]].map(|layer| layer.layer(inner.clone()));
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    layers[1].handle().invalidate(&key("/")).await.expect("invalidated");
    // The node that computes does not know yet.
    let after: Vec<_> = (0..4).map(|_| send(&nodes[0], get("/"))).collect();
    settle().await;
    assert_eq!(inner.calls(), 1);
    gate.open();
    assert_eq!(answer(leader).await.body, "1");
    assert_eq!(bodies(after).await, ["2"; 4]);
}

#[tokio::test(start_paused = true)]
async fn invalidating_removes_what_is_stored() {
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let node = layer.layer(inner);
    for path in ["/a", "/b"] {
        answer(send(&node, get(path))).await;
    }
    layer.handle().invalidate(&key("/a")).await.expect("invalidated");
    assert_eq!(answer(send(&node, get("/a"))).await.body, "3");
    assert_eq!(answer(send(&node, get("/b"))).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_broke_off_says_why() {
    let inner = Inner::replying(|_| parts([data("wh"), Err(Broken("the disk is full"))]));
    let [node, _] = pair(&inner, |layer| layer);
    let response = within("a head", node.oneshot(get("/"))).await.expect("a response");
    let error = within("an end", read(response)).await.expect_err("an error");
    assert_eq!(error.downcast_ref(), Some(&Broken("the disk is full")));
}
