//! What the route and the handler say of freshness, and what the layer says it did.

use std::time::Duration;

use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::advance;
use tower_memolock::middleware::{CacheStatus, Freshness, MemoControl};

use super::fixture::{Gate, Inner, Node, TestBody, answer, fresh, get, get_with, pair, send, settle, text, with};

const SECOND: Duration = Duration::from_secs(1);

async fn ask(node: &Node) -> String {
    let body = answer(send(node, get("/"))).await.body;
    settle().await;
    String::from_utf8(body.into()).expect("UTF-8")
}

fn controlled(mut reply: Response<TestBody>, control: MemoControl) -> Response<TestBody> {
    reply.extensions_mut().insert(control);
    reply
}

#[tokio::test(start_paused = true)]
async fn a_handler_comes_before_the_layer_and_its_own_fields() {
    let inner = Inner::replying(|call| {
        let control = MemoControl::new().ttl(5 * SECOND).tag("reports");
        controlled(with(text(call.to_string()), "cache-control", "no-cache"), control)
    });
    let nodes = pair(&inner, |layer| {
        layer.freshness(Freshness::new().override_ttl(60 * SECOND))
    });
    assert_eq!(ask(&nodes[0]).await, "1");
    advance(4 * SECOND).await;
    assert_eq!(ask(&nodes[1]).await, "1");
    advance(2 * SECOND).await;
    assert_eq!(ask(&nodes[1]).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_handler_keeps_a_response_from_others() {
    let inner = Inner::replying(|call| controlled(fresh(call.to_string()), MemoControl::new().no_store()));
    let nodes = pair(&inner, |layer| layer.ttl(60 * SECOND));
    assert_eq!(ask(&nodes[0]).await, "1");
    assert_eq!(ask(&nodes[0]).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_handler_gives_permission_for_credentials() {
    let inner = Inner::replying(|call| controlled(fresh(call.to_string()), MemoControl::new().public()));
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0]).await, "1");
    assert_eq!(ask(&nodes[1]).await, "1");
    assert_eq!(answer(send(&nodes[1], get_with("/", "cookie", "id=1"))).await.body, "1");
}

#[tokio::test(start_paused = true)]
async fn a_route_sets_lifetimes_for_itself_and_its_statuses() {
    let inner = Inner::replying(|call| {
        let mut reply = text(call.to_string());
        *reply.status_mut() = StatusCode::NOT_FOUND;
        reply
    });
    let nodes = pair(&inner, |layer| {
        layer.freshness(Freshness::new().status_ttl(StatusCode::NOT_FOUND, 2 * SECOND))
    });
    assert_eq!(ask(&nodes[0]).await, "1");
    assert_eq!(ask(&nodes[1]).await, "1");
    advance(3 * SECOND).await;
    assert_eq!(ask(&nodes[1]).await, "2");

    let inner = Inner::replying(|call| with(text(call.to_string()), "cache-control", "max-age=0"));
    let nodes = pair(&inner, |layer| {
        layer.freshness(Freshness::new().override_ttl(2 * SECOND))
    });
    assert_eq!(ask(&nodes[0]).await, "1");
    assert_eq!(ask(&nodes[1]).await, "1");

    let inner = Inner::replying(|call| fresh(call.to_string()));
    let nodes = pair(&inner, |layer| layer.freshness(Freshness::new().no_store()));
    assert_eq!(ask(&nodes[0]).await, "1");
    assert_eq!(ask(&nodes[1]).await, "2");
}

#[tokio::test(start_paused = true)]
async fn targeted_fields_are_heeded_as_the_layer_says() {
    let inner = Inner::replying(|call| {
        let reply = with(text(call.to_string()), "cdn-cache-control", "max-age=60");
        with(reply, "cache-control", "no-store")
    });
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0]).await, "1");
    let hit = answer(send(&nodes[1], get("/"))).await;
    assert_eq!(hit.body, "1");
    assert_eq!(hit.header("cache-control"), Some("no-store"));
    assert_eq!(hit.header("cdn-cache-control"), Some("max-age=60"));

    let mine = HeaderName::from_static("mine-cache-control");
    let nodes = pair(&inner, |layer| {
        layer.freshness(Freshness::new().targeted([mine.clone()]))
    });
    assert_eq!(ask(&nodes[0]).await, "2");
    assert_eq!(ask(&nodes[0]).await, "3");
}

/// What is said to a request in `Cache-Status`, all members of it.
async fn status(node: &Node, request: Request<Full<bytes::Bytes>>) -> String {
    let found = answer(send(node, request)).await;
    settle().await;
    let members: Vec<_> = found.headers.get_all("cache-status").iter().collect();
    members
        .iter()
        .map(|m| m.to_str().expect("ASCII"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn request(method: &str, fields: &[(&str, &str)]) -> Request<Full<bytes::Bytes>> {
    let request = fields
        .iter()
        .fold(Request::builder().method(method).uri("/"), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.body(Full::default()).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn cache_status_says_what_was_done() {
    let inner = Inner::new(|request, _| async move {
        if request.headers().contains_key("if-none-match") && !request.headers().contains_key("x-plain") {
            let mut reply = text("");
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(reply);
        }
        let reply = with(with(fresh("x"), "etag", "\"a\""), "cache-status", "origin; hit");
        Ok(with(reply, "vary", "accept-language"))
    });
    let nodes = pair(&inner, |layer| layer.cache_status(CacheStatus::Outcome));
    let plain = |fields| request("GET", fields);
    for (expected, asked) in [
        (
            "origin; hit, memolock; fwd=uri-miss; detail=head",
            request("HEAD", &[("x-plain", "1")]),
        ),
        ("origin; hit, memolock; fwd=uri-miss; stored; detail=absent", plain(&[])),
        ("origin; hit, memolock; hit; ttl=60", plain(&[])),
        ("origin; hit, memolock; hit; ttl=60", request("HEAD", &[])),
        (
            "origin; hit, memolock; fwd=vary-miss; stored; detail=variant",
            plain(&[("accept-language", "de")]),
        ),
        (
            "origin; hit, memolock; hit; ttl=60",
            plain(&[("accept-language", "de")]),
        ),
        (
            "origin; hit, memolock; fwd=request; detail=credentials",
            plain(&[("cookie", "id=1")]),
        ),
        (
            "origin; hit, memolock; fwd=bypass; detail=request-no-store",
            plain(&[("cache-control", "no-store")]),
        ),
        (
            "origin; hit, memolock; fwd=method; detail=method",
            request("OPTIONS", &[]),
        ),
    ] {
        let shown = format!("{asked:?}");
        assert_eq!(status(&nodes[0], asked).await, expected, "{shown}");
    }
    advance(20 * SECOND).await;
    assert_eq!(status(&nodes[1], get("/")).await, "origin; hit, memolock; hit; ttl=40");
    advance(41 * SECOND).await;
    let validated = "origin; hit, memolock; fwd=stale; fwd-status=304; stored; detail=expired";
    assert_eq!(status(&nodes[1], get("/")).await, validated);
    assert_eq!(
        status(&nodes[1], request("POST", &[])).await,
        "origin; hit, memolock; fwd=method; detail=method"
    );
}

#[tokio::test(start_paused = true)]
async fn cache_status_tells_of_those_who_waited() {
    for (name, value, followed) in [
        (
            "cache-control",
            "max-age=60",
            "memolock; fwd=uri-miss; collapsed; detail=absent",
        ),
        (
            "cache-control",
            "private",
            "memolock; fwd=uri-miss; collapsed=?0; detail=leader-passed",
        ),
    ] {
        let gate = Gate::new();
        let inner = Inner::gated(&gate, move |_, _| Ok(with(text("x"), name, value)));
        let nodes = pair(&inner, |layer| layer.cache_status(CacheStatus::Outcome));
        let leader = send(&nodes[0], get("/"));
        gate.reached_by(1).await;
        let follower = send(&nodes[1], get("/"));
        settle().await;
        gate.open();
        let led = answer(leader).await;
        let expected = match followed.contains("?0") {
            true => "memolock; fwd=uri-miss; detail=private",
            false => "memolock; fwd=uri-miss; stored; detail=absent",
        };
        assert_eq!(led.header("cache-status"), Some(expected));
        assert_eq!(answer(follower).await.header("cache-status"), Some(followed));
    }
}

#[tokio::test(start_paused = true)]
async fn cache_status_is_off_unless_asked_for() {
    let inner = Inner::replying(|_| fresh("x"));
    let nodes = pair(&inner, |layer| layer);
    for method in [
        Method::HEAD,
        Method::GET,
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::OPTIONS,
    ] {
        assert_eq!(status(&nodes[0], request(method.as_str(), &[])).await, "", "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn cache_status_tells_the_key_only_where_that_is_wanted() {
    for tell in [CacheStatus::Outcome, CacheStatus::OutcomeAndKey] {
        let inner = Inner::replying(|_| with(fresh("x"), "cache-status", "origin; hit"));
        let nodes = pair(&inner, |layer| layer.cache_status(tell));
        let key = if tell == CacheStatus::OutcomeAndKey {
            "; key=\"{GET ///a?%22}\""
        } else {
            ""
        };
        for (node, expected) in [
            (&nodes[0], "fwd=uri-miss; stored; detail=absent"),
            (&nodes[0], "hit; ttl=60"),
            (&nodes[1], "hit; ttl=60"),
        ] {
            let found = status(node, get("/a?%22")).await;
            assert_eq!(found, format!("origin; hit, memolock; {expected}{key}"));
        }
        let head = Request::head("/a?%22").body(Full::default()).expect("a request");
        assert_eq!(
            status(&nodes[1], head).await,
            format!("origin; hit, memolock; hit; ttl=60{key}")
        );
        let bypass = request("POST", &[]);
        let told = status(&nodes[1], bypass).await;
        assert_eq!(told, "origin; hit, memolock; fwd=method; detail=method");
    }
}
