//! Stale responses with a validator: the inner service is asked whether they are still right.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tower_memolock::middleware::{Freshness, Privacy};

use http::{Response, StatusCode};
use tokio::time::advance;

use super::fixture::{
    Gate, Inner, Node, TestBody, answer, bodies, fresh, get, get_with, pair, send, send_many, settle, text, with,
};

/// Past the freshness of what [`fresh`] makes.
const STALE: Duration = Duration::from_secs(61);

fn not_modified() -> Response<TestBody> {
    let mut reply = with(text(""), "etag", "\"a\"");
    *reply.status_mut() = StatusCode::NOT_MODIFIED;
    reply
}

/// An origin whose content never changes. Counts the requests that it could answer with 304.
fn unchanging(validations: &Arc<AtomicUsize>, renewed: fn() -> Response<TestBody>) -> Inner {
    let validations = Arc::clone(validations);
    Inner::new(move |request, call| {
        let validations = Arc::clone(&validations);
        async move {
            settle().await;
            if request.headers().get("if-none-match").is_some_and(|tag| tag == "\"a\"") {
                validations.fetch_add(1, Ordering::SeqCst);
                return Ok(renewed());
            }
            Ok(with(with(fresh(call.to_string()), "etag", "\"a\""), "x-version", "1"))
        }
    })
}

async fn ask(node: &Node) -> String {
    let body = answer(send(node, get("/"))).await.body;
    settle().await;
    String::from_utf8(body.into()).expect("UTF-8")
}

#[tokio::test(start_paused = true)]
async fn a_304_makes_what_is_stored_fresh_again_for_all_clients() {
    let validations = Arc::default();
    let inner = unchanging(&validations, || {
        with(with(not_modified(), "x-version", "2"), "cache-control", "max-age=60")
    });
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0]).await, "1");
    for round in 1..=3 {
        advance(STALE).await;
        // Clients that come together are all answered with the whole response.
        assert_eq!(bodies(send_many(&nodes, 20, || get("/"))).await, ["1"; 20]);
        settle().await;
        assert_eq!(validations.load(Ordering::SeqCst), round);
        let later = answer(send(&nodes[1], get("/"))).await;
        assert_eq!((later.status, &later.body[..]), (StatusCode::OK, &b"1"[..]));
        assert_eq!(later.header("x-version"), Some("2"));
        assert_eq!(later.header("age"), Some("0"));
    }
    assert_eq!(inner.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_304_without_freshness_leaves_what_it_found() {
    let validations = Arc::default();
    let inner = unchanging(&validations, not_modified);
    let nodes = pair(&inner, |layer| layer);
    ask(&nodes[0]).await;
    advance(STALE).await;
    for node in &nodes {
        assert_eq!(ask(node).await, "1");
    }
    // The fields that a 304 leaves out stay, those of freshness among them.
    assert_eq!(validations.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn another_answer_replaces_what_is_stored() {
    let inner = Inner::new(|request, call| async move {
        assert_eq!(request.headers().contains_key("if-none-match"), call == 2);
        Ok(with(
            fresh(call.to_string()),
            "etag",
            if call == 1 { "\"a\"" } else { "\"b\"" },
        ))
    });
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0]).await, "1");
    advance(STALE).await;
    assert_eq!(ask(&nodes[1]).await, "2");
    assert_eq!(ask(&nodes[0]).await, "2");
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_304_about_something_else_updates_nothing() {
    let validations = Arc::default();
    let inner = unchanging(&validations, || {
        let mut reply = with(text(""), "etag", "\"other\"");
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply
    });
    let nodes = pair(&inner, |layer| layer);
    ask(&nodes[0]).await;
    advance(STALE).await;
    for round in 1..=3 {
        assert_eq!(ask(&nodes[round % 2]).await, "1");
        assert_eq!(validations.load(Ordering::SeqCst), round);
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_that_makes_it_private_is_for_its_own_request() {
    for (name, value) in [("cache-control", "private"), ("set-cookie", "id=1"), ("vary", "*")] {
        let validations = Arc::new(AtomicUsize::new(0));
        let inner = {
            let validations = Arc::clone(&validations);
            Inner::new(move |request, call| {
                let validations = Arc::clone(&validations);
                async move {
                    if !request.headers().contains_key("if-none-match") {
                        return Ok(with(fresh(call.to_string()), "etag", "\"a\""));
                    }
                    validations.fetch_add(1, Ordering::SeqCst);
                    Ok(with(not_modified(), name, value))
                }
            })
        };
        let nodes = pair(&inner, |layer| {
            layer.privacy(Privacy::new().pass_marker(Duration::ZERO))
        });
        ask(&nodes[0]).await;
        advance(STALE).await;
        for round in 1..=2 {
            assert_eq!(ask(&nodes[0]).await, "1", "{name}");
            assert_eq!(validations.load(Ordering::SeqCst), round, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_cache_is_validated_each_time_and_given_to_no_follower() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |request, call| {
            let gate = gate.clone();
            async move {
                if request.headers().contains_key("if-none-match") {
                    return Ok(not_modified());
                }
                gate.pass().await;
                Ok(with(
                    with(text(call.to_string()), "etag", "\"a\""),
                    "cache-control",
                    "no-cache",
                ))
            }
        })
    };
    let nodes = pair(&inner, |layer| layer);
    let asked = send_many(&nodes, 6, || get("/"));
    gate.reached_by(1).await;
    settle().await;
    gate.open();
    let mut first = bodies(asked).await;
    first.sort();
    first.dedup();
    assert_eq!(first.len(), 6, "{first:?}");
    settle().await;
    for round in 1..=3 {
        let before = inner.calls();
        assert_eq!(ask(&nodes[round % 2]).await, "1");
        assert_eq!(inner.calls(), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_asked_for_anew() {
    let inner = Inner::new(|request, call| async move {
        assert!(!request.headers().contains_key("if-none-match"));
        Ok(with(fresh(call.to_string()), "etag", "\"a\""))
    });
    let nodes = pair(&inner, |layer| {
        layer.freshness(Freshness::new().revalidate_for(Duration::ZERO))
    });
    assert_eq!(ask(&nodes[0]).await, "1");
    advance(STALE).await;
    assert_eq!(ask(&nodes[0]).await, "2");

    let nodes = pair(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0]).await, "3");
    advance(2 * STALE).await;
    assert_eq!(ask(&nodes[0]).await, "4");
}

#[tokio::test(start_paused = true)]
async fn stale_variants_are_validated_each_by_its_own() {
    let inner = Inner::new(|request, call| async move {
        let language = request.headers().get("accept-language").cloned();
        let language = language.expect("a language");
        let tag = format!("\"{}\"", language.to_str().expect("ASCII"));
        let mut reply = if request
            .headers()
            .get("if-none-match")
            .is_some_and(|given| *given == *tag)
        {
            let mut reply = text("");
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            reply
        } else {
            fresh(format!("{call}"))
        };
        reply.headers_mut().insert("etag", tag.parse().expect("a tag"));
        Ok(with(reply, "vary", "accept-language"))
    });
    let nodes = pair(&inner, |layer| layer);
    let in_language = |node: usize, language| send(&nodes[node], get_with("/", "accept-language", language));
    for (language, expected) in [("en", "1"), ("de", "2")] {
        assert_eq!(answer(in_language(0, language)).await.body, expected);
        settle().await;
    }
    advance(STALE).await;
    assert_eq!(answer(in_language(1, "en")).await.body, "1");
    settle().await;
    // The first variant has begun a new generation, so this one is made anew.
    assert_eq!(answer(in_language(1, "de")).await.body, "4");
}

#[tokio::test(start_paused = true)]
async fn a_304_that_says_that_it_varies_is_for_those_who_ask_alike() {
    let inner = Inner::new(|request, call| async move {
        if request.headers().contains_key("if-none-match") {
            let reply = with(with(not_modified(), "vary", "x-lang"), "cache-control", "max-age=60");
            return Ok(with(reply, "x-by", "a 304"));
        }
        Ok(with(fresh(call.to_string()), "etag", "\"a\""))
    });
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0]).await, "1");
    advance(STALE).await;
    let of = |lang| get_with("/", "x-lang", lang);
    let validated = answer(send(&nodes[0], of("de"))).await;
    assert_eq!(
        (&validated.body[..], validated.header("x-by")),
        (&b"1"[..], Some("a 304"))
    );
    settle().await;
    for node in &nodes {
        let again = answer(send(node, of("de"))).await;
        assert_eq!((&again.body[..], again.header("x-by")), (&b"1"[..], Some("a 304")));
    }
    assert_eq!(inner.calls(), 2);
    // What was said of it was said to another.
    for (call, request) in [(3, of("fr")), (4, get("/"))] {
        let other = answer(send(&nodes[1], request)).await;
        assert_eq!(
            (String::from_utf8_lossy(&other.body), other.header("x-by")),
            (call.to_string().into(), None)
        );
        settle().await;
    }
}
