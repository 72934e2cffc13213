//! Unsafe requests make what is stored for their target out of date (RFC 9111, section 4.4).

use http::{Method, Request};
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::Freshness;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{Broken, Gate, Inner, Node, answer, fresh, get, get_with, pair, send, settle, text, with};
use crate::support::within;

async fn ask(node: &Node, path: &str) -> String {
    let body = answer(send(node, get(path))).await.body;
    settle().await;
    String::from_utf8(body.into()).expect("UTF-8")
}

fn change(method: &Method, path: &str) -> Request<Full<bytes::Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request.body("change".into()).expect("a request")
}

/// Answers reads with the number of the call, and all else with `status` and a field.
fn changing(status: u16, field: Option<(&'static str, &'static str)>) -> Inner {
    Inner::new(move |request, call| async move {
        if *request.method() == Method::GET {
            return Ok(fresh(call.to_string()));
        }
        let mut reply = text("changed");
        *reply.status_mut() = status.try_into().expect("a status");
        Ok(match field {
            Some((name, value)) => with(reply, name, value),
            None => reply,
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_by_a_client_that_asks_after_it_on_every_node() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        for status in [200, 204, 303] {
            let method: Method = method.parse().expect("a method");
            let inner = changing(status, None);
            let nodes = pair(&inner, |layer| layer);
            assert_eq!(ask(&nodes[0], "/").await, "1");
            assert_eq!(ask(&nodes[0], "/other").await, "2");
            answer(send(&nodes[0], change(&method, "/"))).await;
            assert_eq!(ask(&nodes[1], "/").await, "4", "{method} {status}");
            assert_eq!(ask(&nodes[1], "/other").await, "2", "{method} {status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_failed_changes_nothing() {
    for status in [400, 404, 500, 503] {
        let inner = changing(status, None);
        let nodes = pair(&inner, |layer| layer);
        ask(&nodes[0], "/").await;
        answer(send(&nodes[0], change(&Method::POST, "/"))).await;
        settle().await;
        assert_eq!(ask(&nodes[1], "/").await, "1", "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_names_is_out_of_date_too_where_it_is_the_same_origins() {
    for (field, seen) in [
        (("location", "/other"), true),
        (("location", "other"), true),
        (("content-location", "/other"), true),
        (("location", "http://a.example/other"), true),
        (("location", "http://b.example/other"), false),
        (("content-location", "//b.example/other"), false),
        (("x-location", "/other"), false),
    ] {
        let inner = changing(201, Some(field));
        let nodes = pair(&inner, |layer| layer);
        let other = || get_with("/other", "host", "a.example");
        answer(send(&nodes[0], other())).await;
        settle().await;
        let mut request = change(&Method::POST, "/");
        request
            .headers_mut()
            .insert("host", "a.example".parse().expect("a host"));
        answer(send(&nodes[0], request)).await;
        let expected = if seen { "3" } else { "1" };
        assert_eq!(answer(send(&nodes[1], other())).await.body, expected, "{field:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn head_is_answered_anew_after_a_change() {
    let inner = changing(200, None);
    let nodes = pair(&inner, |layer| layer);
    ask(&nodes[0], "/").await;
    answer(send(&nodes[0], change(&Method::POST, "/"))).await;
    let head = Request::head("/").body(Full::default()).expect("a request");
    answer(send(&nodes[1], head)).await;
    assert_eq!(inner.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_computation_from_before_a_change_is_not_stored() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |request, call| {
            let gate = gate.clone();
            async move {
                if *request.method() == Method::GET && call == 1 {
                    gate.pass().await;
                }
                Ok(fresh(call.to_string()))
            }
        })
    };
    let nodes = pair(&inner, |layer| layer);
    let before = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    answer(send(&nodes[1], change(&Method::POST, "/"))).await;
    let after: Vec<_> = nodes.iter().map(|node| send(node, get("/"))).collect();
    settle().await;
    gate.open();
    assert_eq!(answer(before).await.body, "1");
    settle().await;
    for asked in after {
        assert_eq!(answer(asked).await.body, "3");
    }
    assert_eq!(ask(&nodes[0], "/").await, "3");
}

#[tokio::test(start_paused = true)]
async fn every_variant_is_out_of_date_at_once() {
    let inner = Inner::new(|request, call| async move {
        if *request.method() != Method::GET {
            return Ok(text("changed"));
        }
        let language = request.headers().get("accept-language").cloned().expect("a language");
        let language = language.to_str().expect("ASCII").to_owned();
        Ok(with(fresh(format!("{language} {call}")), "vary", "accept-language"))
    });
    let nodes = pair(&inner, |layer| layer);
    let in_language = |node: usize, language| send(&nodes[node], get_with("/", "accept-language", language));
    let languages = ["en", "de", "fr", "sv"];
    for round in 0..3 {
        // Both nodes know all variants.
        for (i, language) in languages.iter().enumerate() {
            let expected = format!("{language} {}", round * 5 + i + 1);
            for node in 0..2 {
                assert_eq!(answer(in_language(node, language)).await.body, expected);
                settle().await;
            }
        }
        answer(send(&nodes[round % 2], change(&Method::PUT, "/"))).await;
    }
    assert_eq!(inner.calls(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_variant_from_before_an_invalidation_is_stored_out_of_reach() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |request, call| {
            let gate = gate.clone();
            async move {
                let language = request.headers().get("accept-language").cloned().expect("a language");
                if language == "de" && call == 2 {
                    gate.pass().await;
                }
                Ok(with(fresh(call.to_string()), "vary", "accept-language"))
            }
        })
    };
    let store = MemoryStore::new();
    let layer = MemoLockLayer::new(store, "layer");
    let node = layer.layer(inner);
    let in_language = |language| send(&node, get_with("/", "accept-language", language));
    assert_eq!(answer(in_language("en")).await.body, "1");
    settle().await;
    let before = in_language("de");
    gate.reached_by(1).await;
    layer
        .handle()
        .invalidate(&super::failures::key("/"))
        .await
        .expect("invalidated");
    let after = in_language("de");
    settle().await;
    gate.open();
    assert_eq!(answer(before).await.body, "2");
    assert_eq!(answer(after).await.body, "3");
    settle().await;
    assert_eq!(answer(in_language("de")).await.body, "3");
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_client_hangs_up_or_whose_service_fails_may_have_happened() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |request, call| {
            let gate = gate.clone();
            async move {
                match *request.method() {
                    Method::GET => Ok(fresh(call.to_string())),
                    Method::PUT => Err(Broken("on purpose")),
                    _ => {
                        gate.pass().await;
                        Ok(text("changed"))
                    }
                }
            }
        })
    };
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0], "/").await, "1");
    let client = tokio::spawn(nodes[0].clone().oneshot(change(&Method::POST, "/")));
    gate.reached_by(1).await;
    client.abort();
    settle().await;
    assert_eq!(ask(&nodes[1], "/").await, "3");

    let failed = within("an answer", send(&nodes[0], change(&Method::PUT, "/"))).await;
    assert!(failed.expect("no panic").is_err());
    settle().await;
    assert_eq!(ask(&nodes[1], "/").await, "5");
}

#[tokio::test(start_paused = true)]
async fn a_layer_may_leave_it_to_others() {
    let inner = changing(200, None);
    let nodes = pair(&inner, |layer| {
        layer.freshness(Freshness::new().invalidate_on_change(false))
    });
    ask(&nodes[0], "/").await;
    answer(send(&nodes[0], change(&Method::POST, "/"))).await;
    assert_eq!(ask(&nodes[0], "/").await, "1");
}
