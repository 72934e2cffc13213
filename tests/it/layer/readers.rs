//! Requests that neither lead nor wait, but may be answered by a stored response: HEAD, conditions, ranges; and
//! which one those with credentials get.

use http::{Method, Request, Response};
use http_body_util::Full;
use tower_memolock::middleware::{Freshness, Privacy};

use super::fixture::{
    Answer, Gate, Inner, Node, TestBody, answer, fresh, get, get_with, pair, send, settle, text, with,
};

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const DATE: &str = "Sun, 06 Nov 1994 09:00:00 GMT";

/// The digits, with both validators and no length declared.
fn digits() -> Response<TestBody> {
    let reply = with(fresh("0123456789"), "etag", "\"a\"");
    let reply = with(with(reply, "last-modified", MODIFIED), "content-type", "text/plain");
    // So that `Date` is later than `Last-Modified`, and the age known.
    with(with(reply, "x-kept", "1"), "cache-control", "s-maxage=999999999")
}

/// Two nodes that have stored the response to `GET /`.
async fn stored(reply: impl Fn() -> Response<TestBody> + Send + Sync + 'static) -> (Inner, [Node; 2]) {
    let inner = Inner::replying(move |_| reply());
    let nodes = pair(&inner, |layer| layer);
    answer(send(&nodes[0], get("/"))).await;
    settle().await;
    (inner, nodes)
}

async fn asked(node: &Node, method: &Method, fields: &[(&str, &str)]) -> Answer {
    let request = fields
        .iter()
        .fold(Request::builder().method(method).uri("/"), |request, (name, value)| {
            request.header(*name, *value)
        });
    answer(send(node, request.body(Full::default()).expect("a request"))).await
}

#[tokio::test(start_paused = true)]
async fn head_is_the_head_of_what_is_stored() {
    let (inner, nodes) = stored(digits).await;
    for node in &nodes {
        let head = asked(node, &Method::HEAD, &[]).await;
        assert_eq!(head.status, 200);
        assert_eq!(head.body, "");
        assert_eq!(head.header("content-length"), Some("10"));
        assert_eq!(head.header("x-kept"), Some("1"));
        assert!(head.header("age").is_some());
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn head_without_anything_stored_goes_its_own_way_and_is_not_stored() {
    let inner = Inner::new(|request, _| async move { Ok(fresh(request.method().to_string())) });
    let nodes = pair(&inner, |layer| layer);
    for calls in 1..=2 {
        asked(&nodes[0], &Method::HEAD, &[]).await;
        settle().await;
        assert_eq!(inner.calls(), calls);
    }
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "GET");
}

#[tokio::test(start_paused = true)]
async fn conditions_that_hold_are_answered_with_304() {
    let (inner, nodes) = stored(digits).await;
    for (name, value) in [
        ("if-none-match", "\"a\""),
        ("if-none-match", "W/\"a\""),
        ("if-none-match", "\"b\", \"a\""),
        ("if-none-match", "*"),
        ("if-modified-since", MODIFIED),
        ("if-modified-since", DATE),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let found = asked(&nodes[1], &method, &[(name, value)]).await;
            assert_eq!(found.status, 304, "{method} {name}: {value}");
            assert_eq!(found.body, "");
            assert_eq!(found.header("etag"), Some("\"a\""));
            assert_eq!(found.header("last-modified"), Some(MODIFIED));
            assert_eq!(found.header("x-kept"), Some("1"));
            assert!(found.header("age").is_some());
            for absent in ["content-type", "content-length"] {
                assert_eq!(found.header(absent), None, "{absent}");
            }
        }
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn conditions_that_do_not_hold_are_answered_with_all_of_it() {
    let (inner, nodes) = stored(digits).await;
    for fields in [
        &[("if-none-match", "\"b\"")][..],
        &[("if-none-match", "\"b\""), ("if-modified-since", DATE)],
        &[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")],
        &[("if-modified-since", "yesterday")],
    ] {
        let found = asked(&nodes[1], &Method::GET, fields).await;
        assert_eq!(
            (found.status.as_u16(), &found.body[..]),
            (200, &b"0123456789"[..]),
            "{fields:?}"
        );
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn ranges_are_cut_out_of_what_is_stored() {
    let (inner, nodes) = stored(digits).await;
    for (fields, status, body, range) in [
        (&[("range", "bytes=0-1")][..], 206, "01", Some("bytes 0-1/10")),
        (&[("range", "bytes=7-")], 206, "789", Some("bytes 7-9/10")),
        (&[("range", "bytes=-1")], 206, "9", Some("bytes 9-9/10")),
        (&[("range", "bytes=10-")], 416, "", Some("bytes */10")),
        (&[("range", "bytes=0-1,3-4")], 200, "0123456789", None),
        (&[("range", "lines=0-1")], 200, "0123456789", None),
        (
            &[("range", "bytes=0-1"), ("if-range", "\"a\"")],
            206,
            "01",
            Some("bytes 0-1/10"),
        ),
        (
            &[("range", "bytes=0-1"), ("if-range", "\"b\"")],
            200,
            "0123456789",
            None,
        ),
        (
            &[("range", "bytes=0-1"), ("if-range", "W/\"a\"")],
            200,
            "0123456789",
            None,
        ),
        (&[("range", "bytes=0-1"), ("if-none-match", "\"a\"")], 304, "", None),
        (&[("if-range", "\"a\"")], 200, "0123456789", None),
    ] {
        let found = asked(&nodes[1], &Method::GET, fields).await;
        assert_eq!(
            (found.status.as_u16(), &found.body[..]),
            (status, body.as_bytes()),
            "{fields:?}"
        );
        assert_eq!(found.header("content-range"), range, "{fields:?}");
        if matches!(status, 206 | 416) {
            assert_eq!(found.header("content-length"), Some(&*body.len().to_string()));
        }
    }
    let head = asked(&nodes[1], &Method::HEAD, &[("range", "bytes=0-1")]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, Some("10")));
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn conditions_and_ranges_mean_nothing_to_an_error_that_is_stored() {
    let (inner, nodes) = stored(|| {
        let mut reply = with(fresh("gone"), "etag", "\"a\"");
        *reply.status_mut() = http::StatusCode::GONE;
        reply
    })
    .await;
    for fields in [&[("if-none-match", "\"a\"")][..], &[("range", "bytes=0-1")]] {
        let found = asked(&nodes[1], &Method::GET, fields).await;
        assert_eq!((found.status.as_u16(), &found.body[..]), (410, &b"gone"[..]));
    }
    assert_eq!(inner.calls(), 1);
}

/// What such a request gets where nothing is stored, and what others get after it.
#[tokio::test(start_paused = true)]
async fn without_anything_stored_they_reach_the_service_as_they_are_and_are_not_stored() {
    for (name, value) in [
        ("range", "bytes=0-1"),
        ("if-none-match", "\"a\""),
        ("if-modified-since", MODIFIED),
    ] {
        let inner = Inner::new(move |request, _| async move {
            let given = request
                .headers()
                .get(name)
                .map_or("nothing", |v| v.to_str().expect("ASCII"));
            Ok(with(fresh(given.to_owned()), "cache-control", "public"))
        });
        let nodes = pair(&inner, |layer| layer);
        let found = asked(&nodes[0], &Method::GET, &[(name, value)]).await;
        settle().await;
        assert_eq!(found.body, value, "{name}");
        assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "nothing", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_get_what_says_that_it_is_for_all_clients() {
    for (directives, authorized, cookies) in [
        ("max-age=60", false, false),
        ("max-age=60, public", true, true),
        ("s-maxage=60", true, true),
        ("max-age=60, must-revalidate", true, false),
    ] {
        let inner = Inner::replying(move |call| with(text(call.to_string()), "cache-control", directives));
        let nodes = pair(&inner, |layer| layer);
        for node in &nodes {
            answer(send(node, get("/"))).await;
            settle().await;
        }
        for (field, allowed) in [
            ("authorization", authorized),
            ("cookie", cookies),
            ("x-api-key", cookies),
            ("client-cert", cookies),
        ] {
            let before = inner.calls();
            let found = asked(&nodes[1], &Method::GET, &[(field, "x")]).await;
            assert_eq!(found.body == "1", allowed, "{field} {directives}");
            assert_eq!(inner.calls() == before, allowed, "{field} {directives}");
        }
        let both = asked(&nodes[1], &Method::GET, &[("authorization", "x"), ("cookie", "x")]).await;
        assert_eq!(both.body == "1", authorized && cookies, "{directives}");
        assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_with_credentials_is_not_looked_up_where_nothing_was_ever_for_them() {
    let inner = Inner::replying(|call| with(text(call.to_string()), "cache-control", "public, max-age=60"));
    let nodes = pair(&inner, |layer| layer);
    answer(send(&nodes[0], get("/"))).await;
    settle().await;
    // This node has not seen anything yet, and has after the first request without credentials.
    for calls in [2, 2] {
        asked(&nodes[1], &Method::HEAD, &[("cookie", "x")]).await;
        assert_eq!(inner.calls(), calls);
        assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_with_credentials_waits_for_no_other() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |request, call| {
            let gate = gate.clone();
            async move {
                if !request.headers().contains_key("cookie") {
                    gate.pass().await;
                }
                Ok(with(fresh(call.to_string()), "cache-control", "public"))
            }
        })
    };
    let nodes = pair(&inner, |layer| layer);
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    for node in &nodes {
        let own = answer(send(node, get_with("/", "cookie", "id=1"))).await;
        assert_ne!(own.body, "1");
    }
    gate.open();
    assert_eq!(answer(leader).await.body, "1");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_ignored_collapse_like_others() {
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let nodes = pair(&inner, |layer| layer.privacy(Privacy::new().ignore_credentials()));
    for (i, cookie) in ["a", "b", "a"].iter().enumerate() {
        let found = answer(send(&nodes[i % 2], get_with("/", "cookie", cookie))).await;
        assert_eq!(found.body, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_is_answered_with_what_is_stored_or_504_where_that_is_wanted() {
    for wanted in [false, true] {
        let inner = Inner::replying(|call| fresh(call.to_string()));
        let nodes = pair(&inner, |layer| layer.freshness(Freshness::new().only_if_cached(wanted)));
        let only = ("cache-control", "only-if-cached");
        for fields in [
            &[only][..],
            &[only, ("cookie", "id=1")],
            &[only, ("range", "bytes=0-0")],
        ] {
            let status = asked(&nodes[0], &Method::GET, fields).await.status;
            settle().await;
            assert_eq!(status == 504, wanted, "{fields:?}");
        }
        assert_eq!(
            asked(&nodes[0], &Method::HEAD, &[only]).await.status,
            if wanted { 504 } else { 200 }
        );
        if !wanted {
            continue;
        }
        assert_eq!(inner.calls(), 0);
        answer(send(&nodes[0], get("/"))).await;
        settle().await;
        for node in &nodes {
            assert_eq!(asked(node, &Method::GET, &[only]).await.body, "1");
            assert_eq!(
                asked(node, &Method::GET, &[only, ("range", "bytes=0-0")]).await.status,
                206
            );
            // It is not for those with credentials.
            assert_eq!(asked(node, &Method::GET, &[only, ("cookie", "id=1")]).await.status, 504);
        }
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        assert_eq!(asked(&nodes[0], &Method::GET, &[only]).await.status, 504);
        assert_eq!(inner.calls(), 1);
    }
}
