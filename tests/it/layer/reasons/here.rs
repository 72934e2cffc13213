//! What one node in this process does with requests. Time is paused.

mod failing;

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{advance, sleep};
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{Failures, Freshness, MemoControl, ResponseLimits};
use tower_memolock::store::{Acquire, Lock, MemoryWatch, Release, Renewed, Token, Value};
use tower_memolock::{Address, AtLimit, Limits, MemoLockLayer, MemoryStore, Store, StoreError, StoreErrorKind};
use tracing::Level;

use super::watch::Watched;
use crate::layer::failures::key;
use crate::layer::fixture::{Broken, Gate, Inner, TestBody, answer, fresh, get, get_with, send, settle, text, with};
use crate::support::within;

const SECOND: Duration = Duration::from_secs(1);

fn request(method: &str, name: &str, value: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri("/").header(name, value);
    request.body(Full::default()).expect("a request")
}

fn status(status: u16) -> Response<TestBody> {
    let mut response = text("x");
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn fresh_for_all() -> Inner {
    Inner::replying(|_| fresh("x"))
}

fn gated(gate: &Gate, reply: impl Fn(usize) -> Response<TestBody> + Clone + Send + Sync + 'static) -> Inner {
    let gate = gate.clone();
    Inner::new(move |_, call| {
        let (gate, reply) = (gate.clone(), reply.clone());
        async move {
            gate.pass().await;
            Ok(reply(call))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn requests_say_why_they_are_not_collapsed() {
    let watched = Watched::new(fresh_for_all(), |layer| layer);
    for (method, name, value, expected) in [
        ("POST", "x-a", "b", "bypassed/method"),
        ("DELETE", "x-a", "b", "bypassed/method"),
        ("OPTIONS", "x-a", "b", "bypassed/method"),
        ("GET", "cache-control", "no-store", "bypassed/request-no-store"),
        ("GET", "if-match", "\"a\"", "bypassed/conditional"),
        ("GET", "if-none-match", "\"a\"", "bypassed/conditional"),
        ("GET", "range", "bytes=0-1", "bypassed/range"),
        ("HEAD", "x-a", "b", "bypassed/head"),
        ("HEAD", "cookie", "a=b", "bypassed/credentials"),
        ("GET", "upgrade", "websocket", "bypassed/protocol"),
        ("GET", "expect", "100-continue", "bypassed/protocol"),
        ("GET", "x-http-method-override", "PUT", "bypassed/method-override"),
        ("GET", "host", "not a host", "bypassed/no-key"),
        ("GET", "cookie", "a=b", "passed/credentials"),
        ("GET", "cookie", "a=c", "bypassed/credentials"),
        ("GET", "authorization", "Bearer a", "passed/credentials"),
        ("GET", "x-a", "b", "led/absent"),
        ("GET", "x-a", "b", "hit/fresh"),
        ("HEAD", "x-a", "b", "hit/fresh"),
        ("GET", "range", "bytes=0-0", "hit/fresh"),
    ] {
        watched.expect(request(method, name, value), expected).await;
    }
    let body = Request::get("/body").body(Full::from("a body")).expect("a request");
    watched.expect(body, "bypassed/body-not-in-key").await;
    let lines = watched.events.find(Level::DEBUG, "what became of a request");
    let hit = r#"what became of a request address=layer:{GET ///} outcome="hit" reason="fresh""#;
    assert_eq!(lines.iter().filter(|line| *line == hit).count(), 3, "{lines:?}");
    // It has no key.
    let bypassed = r#"what became of a request outcome="bypassed" reason="no-key""#;
    assert!(lines.iter().any(|line| line == bypassed), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn responses_say_why_they_are_not_stored() {
    for (code, name, value, expected) in [
        (200, "cache-control", "max-age=60", "led/absent"),
        (200, "x-a", "b", "led/no-freshness"),
        (200, "cache-control", "max-age=0", "led/no-freshness"),
        (404, "x-a", "b", "led/no-freshness"),
        (200, "cache-control", "private", "passed/private"),
        (200, "cache-control", "no-store", "passed/no-store"),
        (200, "cache-control", "no-cache", "passed/no-cache"),
        (200, "cache-control", "x=\"", "passed/malformed"),
        (200, "set-cookie", "a=b", "passed/set-cookie"),
        (200, "vary", "*", "passed/vary"),
        (200, "content-type", "text/event-stream", "passed/endless"),
        (200, "content-length", "8388609", "passed/too-large"),
        (206, "x-a", "b", "passed/status"),
        (302, "location", "/", "passed/unconfirmed"),
        (503, "x-a", "b", "passed/failure"),
    ] {
        let inner = Inner::replying(move |_| with(status(code), name, value));
        let watched = Watched::new(inner, |layer| layer);
        let told = watched.expect(get("/"), expected).await;
        assert_eq!(told.contains("; stored"), expected == "led/absent", "{told}");
    }
    let long = || with(fresh("x"), "x-a", "a long value");
    let set = |layer: MemoLockLayer| layer.response_limits(ResponseLimits::new().max_headers(20));
    let watched = Watched::new(Inner::replying(move |_| long()), set);
    watched.expect(get("/"), "passed/headers-too-large").await;
    let tagged = || {
        let mut response = fresh("x");
        response.extensions_mut().insert(MemoControl::new().tag(""));
        response
    };
    let watched = Watched::new(Inner::replying(move |_| tagged()), |layer| layer);
    watched.expect(get("/"), "passed/tags").await;
}

#[tokio::test(start_paused = true)]
async fn settings_name_themselves() {
    let watched = Watched::new(fresh_for_all(), |layer| layer.freshness(Freshness::new().no_store()));
    watched.expect(get("/"), "led/stores-nothing").await;
    watched.expect(get("/"), "led/stores-nothing").await;

    let watched = Watched::new(fresh_for_all(), |layer| {
        layer.freshness(Freshness::new().store_after(2))
    });
    for expected in ["led/store-after", "led/absent", "hit/fresh"] {
        watched.expect(get("/"), expected).await;
    }

    let watched = Watched::new(fresh_for_all(), |layer| {
        layer.freshness(Freshness::new().only_if_cached(true))
    });
    let only = || get_with("/", "cache-control", "only-if-cached");
    let told = watched.expect(only(), "refused/only-if-cached").await;
    assert_eq!(told, "memolock; detail=only-if-cached");
    watched.expect(get("/"), "led/absent").await;
    watched.expect(only(), "hit/fresh").await;
}

#[tokio::test(start_paused = true)]
async fn a_marker_and_too_many_variants_name_themselves() {
    let private = Inner::replying(|_| with(text("x"), "cache-control", "private"));
    let watched = Watched::new(private, |layer| layer);
    watched.expect(get("/"), "passed/private").await;
    watched.expect(get("/"), "bypassed/marked").await;

    let varied = Inner::replying(|_| with(fresh("x"), "vary", "accept-language"));
    let watched = Watched::new(varied, |layer| layer);
    for n in 0..34 {
        let expected = match n {
            0 => "led/absent",
            33 => "bypassed/too-many-variants",
            _ => "led/variant",
        };
        watched
            .expect(get_with("/", "accept-language", &n.to_string()), expected)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_says_what_for() {
    let inner = Inner::replying(|call| match call {
        3 => status(500),
        call => with(
            text(call.to_string()),
            "cache-control",
            "max-age=10, stale-while-revalidate=10, stale-if-error=60",
        ),
    });
    let watched = Watched::new(inner, |layer| layer);
    watched.expect(get("/"), "led/absent").await;
    advance(15 * SECOND).await;
    let told = watched.expect(get("/"), "stale/stale-while-revalidate").await;
    assert_eq!(told, "memolock; hit; ttl=-5; detail=stale-while-revalidate");
    watched.expect(get("/"), "hit/fresh").await;
    advance(25 * SECOND).await;
    let told = watched.expect(get("/"), "stale/stale-if-error").await;
    assert_eq!(told, "memolock; fwd=stale; fwd-status=500; detail=stale-if-error");
    let told = watched.expect(get("/"), "led/expired").await;
    assert_eq!(told, "memolock; fwd=stale; stored; detail=expired");

    let inner = Inner::replying(|call| {
        if call == 1 {
            with(fresh("x"), "etag", "\"a\"")
        } else {
            with(status(304), "etag", "\"b\"")
        }
    });
    let watched = Watched::new(inner, |layer| {
        layer.freshness(Freshness::new().revalidate_for(60 * SECOND))
    });
    watched.expect(get("/"), "led/absent").await;
    advance(61 * SECOND).await;
    let told = watched.expect(get("/"), "led/other-validator").await;
    assert_eq!(told, "memolock; fwd=stale; fwd-status=304; detail=other-validator");
}

#[tokio::test(start_paused = true)]
async fn a_pause_names_itself() {
    let failing = Inner::replying(|_| status(502));
    let watched = Watched::new(failing, |layer| layer.failures(Failures::new().pause(10 * SECOND)));
    watched.expect(get("/"), "passed/failure").await;
    let told = watched.expect(get("/"), "refused/pause").await;
    assert_eq!(told, "memolock; detail=pause");
    watched.expect(request("HEAD", "x-a", "b"), "refused/pause").await;
}

#[tokio::test(start_paused = true)]
async fn limits_name_themselves_whatever_becomes_of_the_request() {
    let refuse = AtLimit::Refuse { retry_after: SECOND };
    for (at_limit, outcome, reason) in [
        (AtLimit::Bypass, "bypassed", None),
        (refuse, "refused", None),
        (AtLimit::Queue(1), "bypassed", Some("queued")),
        (AtLimit::Queue(0), "refused", None),
    ] {
        let expected = |limit| format!("{outcome}/{}", reason.unwrap_or(limit));
        let limits = || Limits::new().at_limit(at_limit);
        let watched = Watched::new(fresh_for_all(), |layer| {
            layer.wait_timeout(10 * SECOND).limits(limits().max_in_flight(0))
        });
        watched.expect(get("/"), &expected("too-many-keys")).await;

        let gate = Gate::new();
        let watched = Watched::new(gated(&gate, |_| fresh("x")), |layer| {
            layer.limits(limits().max_waiters(1))
        });
        let leader = send(&watched.node, get("/"));
        gate.reached_by(1).await;
        let follower = send(&watched.node, get("/"));
        settle().await;
        let third = send(&watched.node, get("/"));
        settle().await;
        if at_limit == AtLimit::Queue(0) {
            // Refused after the wait timeout, as the follower.
            continue;
        }
        gate.open();
        for asked in [leader, follower, third] {
            answer(asked).await;
        }
        let third = expected("too-many-waiters");
        watched.has_seen(&[("led/absent", 1), ("followed/absent", 1), (&third, 1)]);
    }
    let watched = Watched::new(fresh_for_all(), |layer| {
        layer.response_limits(ResponseLimits::new().max_recording(0))
    });
    watched.expect(get("/"), "passed/no-room").await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_say_what_for_and_why_in_vain() {
    for (reply, led, followed) in [
        (
            fresh as fn(&'static str) -> Response<TestBody>,
            "led/absent",
            "followed/absent",
        ),
        (
            |_| with(text("x"), "cache-control", "private"),
            "passed/private",
            "bypassed/leader-passed",
        ),
    ] {
        let gate = Gate::new();
        let watched = Watched::new(gated(&gate, move |_| reply("x")), |layer| layer);
        let asked: Vec<_> = (0..3).map(|_| send(&watched.node, get("/"))).collect();
        gate.reached_by(1).await;
        settle().await;
        gate.open();
        for asked in asked {
            answer(asked).await;
        }
        watched.has_seen(&[(led, 1), (followed, 2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_without_an_answer_are_counted() {
    let watched = Watched::new(Inner::new(|_, _| pending()), |layer| layer);
    let left = send(&watched.node, get("/"));
    settle().await;
    left.abort();
    settle().await;
    drop(watched.node.clone().oneshot(get("/never-polled")));
    let posted = send(&watched.node, request("POST", "x-a", "b"));
    settle().await;
    posted.abort();
    settle().await;
    watched.has_seen(&[("left/client-gone", 2)]);

    let watched = Watched::new(Inner::new(|_, _| async { panic!("as it should") }), |layer| layer);
    let panicked = within("an end", send(&watched.node, get("/"))).await;
    assert!(panicked.expect_err("a panic").is_panic());
    watched.has_seen(&[("left/panic", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_names_itself() {
    let gate = Gate::new();
    let watched = Watched::new(gated(&gate, |_| fresh("x")), |layer| layer.wait_timeout(SECOND));
    let leader = send(&watched.node, get("/"));
    gate.reached_by(1).await;
    let follower = send(&watched.node, get("/"));
    gate.reached_by(2).await;
    gate.open();
    answer(leader).await;
    let told = answer(follower).await;
    let expected = "memolock; fwd=uri-miss; collapsed=?0; detail=timeout";
    assert_eq!(told.header("cache-status"), Some(expected));
    watched.has_seen(&[("led/absent", 1), ("bypassed/timeout", 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_beneath_itself_sees_is_no_second_decision_of_it() {
    let watched = Watched::new(fresh_for_all(), |layer| layer);
    let twice = watched.layer.layer(watched.node.clone());
    let response = twice.oneshot(get("/")).await.expect("a response");
    assert_eq!(response.headers().get_all("cache-status").iter().count(), 1);
    drop(response);
    settle().await;
    watched.has_seen(&[("led/absent", 1), ("bypassed/reentry", 1)]);
}
