//! What one request alone has provoked is its own, and a failure is shared once a second request has failed too.

mod over_redis;

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::Layer;
use tower_memolock::middleware::{Failures, Freshness, MemoControl, StreamFollowers, Unconfirmed};
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{
    Answer, Asked, Broken, Failure, Gate, Inner, Node, Reply, TestBody, answer, fresh, get, get_with, pair, send,
    send_many, settle, text, with,
};
use crate::support::{RedisServer, eventually, within};

const REQUESTS: usize = 20;

/// What belongs to its own client, unless it says something else.
const OWN: [u16; 18] = [
    201, 302, 303, 307, 400, 401, 403, 406, 408, 413, 421, 425, 429, 431, 451, 500, 503, 599,
];

fn status(status: u16, call: usize) -> Response<TestBody> {
    let mut reply = text(call.to_string());
    *reply.status_mut() = StatusCode::from_u16(status).expect("a status");
    reply
}

fn gated(gate: &Gate, reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Inner {
    let gate = gate.clone();
    Inner::new(move |_, call| {
        let (gate, reply) = (gate.clone(), reply(call));
        async move {
            gate.pass().await;
            reply
        }
    })
}

/// Lets the next call go once all are there that are to come.
async fn next(gate: &Gate, calls: usize) {
    gate.reached_by(calls).await;
    settle().await;
    assert_eq!(gate.reached(), calls, "exactly one asks next");
    gate.let_go(1);
}

async fn answers(asked: Vec<Asked>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(answer(asked).await);
    }
    answers
}

fn count(answers: &[Answer], body: &str) -> usize {
    answers.iter().filter(|answer| answer.body == body).count()
}

#[tokio::test(start_paused = true)]
async fn what_one_request_provokes_is_its_own_and_one_who_waits_asks_next() {
    for own in OWN {
        for field in [None, Some(("cache-control", "no-store")), Some(("set-cookie", "id=1"))] {
            let gate = Gate::new();
            let inner = gated(&gate, move |call| match (call, field) {
                (1, None) => Ok(status(own, call)),
                (1, Some((name, value))) => Ok(with(status(own, call), name, value)),
                _ => Ok(fresh(call.to_string())),
            });
            let nodes = pair(&inner, |layer| layer);
            let asked = send_many(&nodes, REQUESTS, || get("/"));
            next(&gate, 1).await;
            next(&gate, 2).await;
            let answers = answers(asked).await;
            assert_eq!(
                (count(&answers, "1"), count(&answers, "2")),
                (1, REQUESTS - 1),
                "{own} {field:?}"
            );
            assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "2", "{own} {field:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_failure_is_for_all_followers_and_no_later_request() {
    for (first, second) in [(500, 500), (503, 502), (599, 504)] {
        let gate = Gate::new();
        let inner = gated(&gate, move |call| {
            Ok(status(if call % 2 == 1 { first } else { second }, call))
        });
        let nodes = pair(&inner, |layer| {
            layer
                .ttl(Duration::from_secs(60))
                .stream_followers(StreamFollowers::Process)
        });
        for calls in [1, 3] {
            let asked = send_many(&nodes, 100, || get("/"));
            next(&gate, calls).await;
            next(&gate, calls + 1).await;
            let answers = answers(asked).await;
            assert_eq!(count(&answers, &calls.to_string()), 1);
            assert_eq!(count(&answers, &(calls + 1).to_string()), 99);
            settle().await;
        }
        assert_eq!(inner.calls(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_and_a_failure_are_two_failures() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| match call {
        1 => Err(Broken("on purpose")),
        _ => Ok(status(500, call)),
    });
    let nodes = pair(&inner, |layer| layer);
    let asked = send_many(&nodes, REQUESTS, || get("/"));
    next(&gate, 1).await;
    next(&gate, 2).await;
    let mut shared = 0;
    for asked in asked {
        let answer = within("an answer", asked).await.expect("no panic");
        shared += usize::from(answer.is_ok_and(|answer| answer.body == "2"));
    }
    assert_eq!((shared, inner.calls()), (REQUESTS - 1, 2));
}

/// All go their own way after two calls, and the next wave begins like the first.
async fn all_are_free_after_two(set: fn(MemoLockLayer) -> MemoLockLayer, statuses: [u16; 2]) {
    let gate = Gate::new();
    let inner = gated(&gate, move |call| {
        Ok(status(statuses[usize::from(call % REQUESTS != 1)], call))
    });
    let nodes = pair(&inner, set);
    for wave in 0..2 {
        gate.take_back();
        let before = wave * REQUESTS;
        let asked = send_many(&nodes, REQUESTS, || get("/"));
        next(&gate, before + 1).await;
        next(&gate, before + 2).await;
        gate.reached_by(before + REQUESTS).await;
        gate.open();
        let mut bodies: Vec<_> = answers(asked).await.into_iter().map(|answer| answer.body).collect();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), REQUESTS, "{statuses:?}: each has its own");
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_two_calls_give_nothing_to_share_all_ask_at_once_and_nothing_is_remembered() {
    for statuses in [[302, 302], [307, 403], [401, 401], [400, 500], [500, 404 - 1]] {
        all_are_free_after_two(|layer| layer, statuses).await;
    }
    all_are_free_after_two(
        |layer| layer.failures(Failures::new().on_unconfirmed(Unconfirmed::HandOver)),
        [500, 500],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_be_for_all_is_for_all() {
    type Set = fn(MemoLockLayer) -> MemoLockLayer;
    let plain: Set = |layer| layer;
    let controlled = |call: usize| {
        let mut reply = status(503, call);
        reply.extensions_mut().insert(MemoControl::new().ttl(Duration::ZERO));
        reply
    };
    type Answer = fn(usize) -> Response<TestBody>;
    let cases: [(Set, Answer); 6] = [
        (plain, |call| with(status(302, call), "cache-control", "max-age=60")),
        (plain, |call| with(status(403, call), "cdn-cache-control", "max-age=60")),
        (plain, |call| status(404, call)),
        (plain, controlled),
        (
            |layer| layer.freshness(Freshness::new().status_ttl(StatusCode::FOUND, Duration::from_secs(1))),
            |call| status(302, call),
        ),
        (
            |layer| layer.failures(Failures::new().on_unconfirmed(Unconfirmed::Share)),
            |call| status(431, call),
        ),
    ];
    for (at, (set, reply)) in cases.into_iter().enumerate() {
        let gate = Gate::new();
        let inner = gated(&gate, move |call| Ok(reply(call)));
        let nodes = pair(&inner, set);
        let asked = send_many(&nodes, REQUESTS, || get("/"));
        next(&gate, 1).await;
        assert_eq!(count(&answers(asked).await, "1"), REQUESTS, "case {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_the_first_attempt_does_not_make_the_second() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |request, call| {
        Ok(match request.headers().contains_key("bad") {
            true => status(500, call),
            false => fresh(call.to_string()),
        })
    });
    let nodes = pair(&inner, |layer| layer);
    let bad = || get_with("/", "bad", "1");
    let first = send(&nodes[0], bad());
    gate.reached_by(1).await;
    let waiting = send_many(&nodes, REQUESTS, || get("/"));
    settle().await;
    let mut later: Vec<_> = Vec::new();
    gate.let_go(1);
    for _ in 0..5 {
        later.extend(send_many(&nodes, 2, bad));
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(answer(first).await.status, 500);
    for answer in answers(waiting).await {
        assert_eq!(answer.status, 200);
    }
    drop(later);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_errors_waits_for_two_calls_and_then_asks() {
    let started = Instant::now();
    let inner = Inner::new(|_, _| async {
        sleep(Duration::from_secs(1)).await;
        Err(Broken("on purpose"))
    });
    let nodes = pair(&inner, |layer| layer);
    for asked in send_many(&nodes, REQUESTS, || get("/")) {
        let answer = within("an answer", asked).await.expect("no panic");
        assert!(matches!(answer, Err(Failure::Call(Broken("on purpose")))));
    }
    assert!(
        started.elapsed() < Duration::from_millis(3200),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(inner.calls(), REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_the_layer_maps_is_shared_once_it_is_the_second() {
    let started = Instant::now();
    let inner = Inner::new(|_, _| async {
        sleep(Duration::from_secs(1)).await;
        Err(Broken("on purpose"))
    });
    let map = |error: &Broken| {
        Response::builder()
            .status(502)
            .body(Bytes::from_static(error.0.as_bytes()))
            .ok()
    };
    let nodes = pair(&inner, |layer| layer.failures(Failures::new().share_errors(map)));
    let (mut errors, mut shared) = (0, 0);
    for asked in send_many(&nodes, REQUESTS, || get("/")) {
        match within("an answer", asked).await.expect("no panic") {
            Ok(answer) => {
                assert_eq!((answer.status.as_u16(), &answer.body[..]), (502, &b"on purpose"[..]));
                shared += 1;
            }
            Err(error) => {
                assert!(matches!(error, Failure::Call(Broken("on purpose"))), "{error:?}");
                errors += 1;
            }
        }
    }
    assert_eq!((errors, shared, inner.calls()), (2, REQUESTS - 2, 2));
    assert!(
        started.elapsed() < Duration::from_millis(2200),
        "{:?}",
        started.elapsed()
    );
}

/// The second fails before the waiters could have joined again.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_failure_at_once_is_for_all_who_wait_in_its_process() {
    for _ in 0..20 {
        let gate = Gate::new();
        let inner = gated(&gate, |call| Ok(status(500, call)));
        let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
        let node = layer.layer(inner.clone());
        let asked: Vec<_> = (0..100).map(|_| send(&node, get("/"))).collect();
        gate.reached_by(1).await;
        eventually("those who wait", || layer.handle().stats().waiting == 99).await;
        gate.open();
        let answers = answers(asked).await;
        assert_eq!((count(&answers, "1"), count(&answers, "2")), (1, 99));
    }
}
