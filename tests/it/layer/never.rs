//! What is for one client stays with that client, whatever stands beside the field that says so.

use std::time::Duration;

use http::Response;

use super::fixture::{Inner, TestBody, answer, get, get_with, pair, send, settle, text, with};

const TTL: Duration = Duration::from_secs(60);

fn all(fields: &[(&'static str, &'static str)], response: Response<TestBody>) -> Response<TestBody> {
    fields
        .iter()
        .fold(response, |response, (name, value)| with(response, name, value))
}

#[tokio::test(start_paused = true)]
async fn no_field_beside_it_gives_a_private_response_to_the_next_client() {
    for fields in [
        &[("cache-control", "private"), ("cdn-cache-control", "x")][..],
        &[
            ("cache-control", "private, max-age=60"),
            ("cdn-cache-control", "stale-if-error=600"),
        ],
        &[("cache-control", "no-store"), ("cdn-cache-control", "")],
        &[("cache-control", "Private"), ("cdn-cache-control", "max-age=60, &&&")],
        &[("surrogate-control", "no-store")],
        &[("cdn-cache-control", "Private, max-age=60")],
    ] {
        let inner = Inner::replying(move |call| all(fields, text(call.to_string())));
        let nodes = pair(&inner, |layer| layer.ttl(TTL));
        for call in 1..5 {
            let found = answer(send(&nodes[call % 2], get("/"))).await;
            assert_eq!(found.body, call.to_string(), "{fields:?}");
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_connection_lists_is_judged_all_the_same() {
    for (name, value) in [
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("cdn-cache-control", "private"),
        ("set-cookie", "id=1"),
        ("expires", "0"),
        ("age", "61"),
        ("vary", "*"),
    ] {
        let inner = Inner::replying(move |call| {
            let fields = [("cache-control", "max-age=60"), ("connection", name), (name, value)];
            let from = usize::from(matches!(name, "cache-control" | "expires"));
            all(&fields[from..], text(call.to_string()))
        });
        let nodes = pair(&inner, |layer| layer.ttl(TTL));
        for call in 1..4 {
            let found = answer(send(&nodes[call % 2], get("/"))).await;
            assert_eq!(found.body, call.to_string(), "{name}: {value}");
            settle().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_varies_by_what_connection_lists_as_well() {
    let inner = Inner::new(|request, _| async move {
        let user = request.headers().get("x-language").cloned().expect("a field");
        let fields = [("connection", "close, vary"), ("vary", "x-language")];
        Ok(all(&fields, super::fixture::fresh(user.as_bytes().to_vec())))
    });
    let nodes = pair(&inner, |layer| layer);
    for (round, node) in [&nodes[0], &nodes[1], &nodes[0]].into_iter().enumerate() {
        for language in ["de", "en"] {
            let found = answer(send(node, get_with("/", "x-language", language))).await;
            assert_eq!(found.body, language, "{round}");
            settle().await;
        }
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_304_that_says_private_ends_the_sharing_whatever_connection_lists() {
    let inner = Inner::new(|request, call| async move {
        if !request.headers().contains_key("if-none-match") {
            let fields = [("cache-control", "max-age=10"), ("etag", "\"1\"")];
            return Ok(all(&fields, text(call.to_string())));
        }
        let mut unchanged = text("");
        *unchanged.status_mut() = http::StatusCode::NOT_MODIFIED;
        let fields = [
            ("connection", "cache-control"),
            ("cache-control", "private"),
            ("etag", "\"1\""),
        ];
        Ok(all(&fields, unchanged))
    });
    let nodes = pair(&inner, |layer| layer.ttl(TTL));
    answer(send(&nodes[0], get("/"))).await;
    settle().await;
    tokio::time::advance(Duration::from_secs(11)).await;
    for call in 2..5 {
        answer(send(&nodes[call % 2], get("/"))).await;
        settle().await;
        assert_eq!(inner.calls(), call);
    }
}
