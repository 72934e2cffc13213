//! Tags of responses: what a handler gives them, and what an origin says in `Cache-Groups` (RFC 9875).

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tower::Layer;
use tower_memolock::middleware::{Freshness, MemoControl};
use tower_memolock::{InvalidateError, MemoLockLayer, MemoryStore};

use super::fixture::{Gate, Inner, Node, answer, fresh, get, get_with, send, settle, text, with};

/// Two layers over one store, and their nodes.
fn cluster(inner: &Inner, set: impl Fn(MemoLockLayer) -> MemoLockLayer) -> ([MemoLockLayer; 2], [Node; 2]) {
    let store = MemoryStore::new();
    let layers = [store.clone(), store].map(|store| set(MemoLockLayer::new(store, "layer")));
    let nodes = layers.each_ref().map(|layer| layer.layer(inner.clone()));
    (layers, nodes)
}

async fn ask_at(node: &Node, host: &str, path: &str) -> String {
    let body = answer(send(node, get_with(path, "host", host))).await.body;
    settle().await;
    String::from_utf8(body.into()).expect("UTF-8")
}

async fn ask(node: &Node, path: &str) -> String {
    ask_at(node, "a.example", path).await
}

fn change(method: &Method, host: &str) -> Request<Full<bytes::Bytes>> {
    let request = Request::builder().method(method).uri("/change").header("host", host);
    request.body("change".into()).expect("a request")
}

/// `/tagged` has a tag, `/grouped` is in two groups, all else has neither. Unsafe requests invalidate one of the groups.
fn shop() -> Inner {
    Inner::new(|request, call| async move {
        let reply = fresh(call.to_string());
        let group = "cache-group-invalidation";
        Ok(match request.uri().path() {
            "/tagged" => {
                let mut reply = reply;
                reply
                    .extensions_mut()
                    .insert(MemoControl::new().tag("shop").tag("reports"));
                reply
            }
            "/grouped" => with(reply, "cache-groups", "\"shop\";v=1, \"prices\""),
            "/change" => with(text("changed"), group, "\"none\", \"shop\""),
            _ => with(reply, group, "\"shop\""),
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_tag_reaches_what_handlers_and_origins_gave_it_to() {
    let inner = shop();
    let ([one, two], nodes) = cluster(&inner, |layer| layer);
    for (tag, gone) in [
        ("shop", [true, true, false]),
        ("reports", [true, false, false]),
        ("prices", [false, true, false]),
        ("none", [false, false, false]),
    ] {
        let mut before = Vec::new();
        for path in ["/tagged", "/grouped", "/plain"] {
            before.push(ask(&nodes[0], path).await);
        }
        two.handle().invalidate_tags([tag]).await.expect("an invalidation");
        for (path, (before, gone)) in ["/tagged", "/grouped", "/plain"]
            .into_iter()
            .zip(before.iter().zip(gone))
        {
            assert_eq!(ask(&nodes[0], path).await != *before, gone, "{path} after {tag}");
            assert_eq!(ask(&nodes[1], path).await != *before, gone, "{path} after {tag}");
        }
    }
    one.handle()
        .invalidate_tags(["reports", "prices"])
        .await
        .expect("an invalidation");
    let calls = inner.calls();
    ask(&nodes[0], "/tagged").await;
    ask(&nodes[0], "/grouped").await;
    assert_eq!(inner.calls(), calls + 2);
}

#[tokio::test(start_paused = true)]
async fn an_unsafe_request_invalidates_the_groups_of_its_origin() {
    for method in ["POST", "DELETE", "PATCH"] {
        let method: Method = method.parse().expect("a method");
        let (_layers, nodes) = cluster(&shop(), |layer| layer);
        let paths = ["/tagged", "/grouped", "/plain"];
        let mut before = Vec::new();
        for path in paths {
            before.push((ask(&nodes[0], path).await, ask_at(&nodes[0], "b.example", path).await));
        }
        answer(send(&nodes[1], change(&method, "A.example"))).await;
        for ((path, gone), (ours, theirs)) in paths.into_iter().zip([true, true, false]).zip(before) {
            assert_eq!(ask(&nodes[0], path).await != ours, gone, "{method}: {path}");
            assert_eq!(
                ask_at(&nodes[0], "b.example", path).await,
                theirs,
                "{method}: {path} of another origin"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_safe_request_invalidates_no_group() {
    let (_layers, nodes) = cluster(&shop(), |layer| layer);
    let before = ask(&nodes[0], "/grouped").await;
    ask(&nodes[0], "/plain").await;
    answer(send(&nodes[0], change(&Method::GET, "a.example"))).await;
    settle().await;
    assert_eq!(ask(&nodes[1], "/grouped").await, before);

    let (_layers, nodes) = cluster(&shop(), |layer| {
        layer.freshness(Freshness::new().invalidate_on_change(false))
    });
    let before = ask(&nodes[0], "/grouped").await;
    answer(send(&nodes[0], change(&Method::POST, "a.example"))).await;
    assert_eq!(ask(&nodes[1], "/grouped").await, before, "not wanted");
}

#[tokio::test(start_paused = true)]
async fn a_response_under_way_is_not_stored_once_its_group_is_invalidated() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |_, call| {
            let gate = gate.clone();
            async move {
                if call == 1 {
                    gate.pass().await;
                }
                Ok(with(fresh(call.to_string()), "cache-groups", "\"shop\""))
            }
        })
    };
    let ([_, two], nodes) = cluster(&inner, |layer| layer);
    let early = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    two.handle().invalidate_tags(["shop"]).await.expect("an invalidation");
    let late: Vec<_> = (0..10).map(|i| send(&nodes[i % 2], get("/"))).collect();
    settle().await;
    gate.open();
    assert_eq!(answer(early).await.body, "1");
    for asked in late {
        assert_eq!(answer(asked).await.body, "2");
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_variant_is_gone_with_its_tag() {
    let inner = Inner::replying(|call| {
        let reply = with(fresh(call.to_string()), "vary", "accept-language");
        with(reply, "cache-groups", "\"shop\"")
    });
    let ([one, _], nodes) = cluster(&inner, |layer| layer);
    let languages = ["de", "fr", "it"];
    for _ in 0..2 {
        let calls = inner.calls();
        for node in &nodes {
            for language in languages {
                answer(send(node, get_with("/", "accept-language", language))).await;
                settle().await;
            }
        }
        assert_eq!(inner.calls(), calls + languages.len());
        one.handle().invalidate_tags(["shop"]).await.expect("an invalidation");
    }
}

/// A 304 says nothing of the tags that the handler gave the response it made.
#[tokio::test(start_paused = true)]
async fn a_response_that_was_validated_keeps_its_tags() {
    let inner = Inner::new(|request, call| async move {
        if request.headers().contains_key("if-none-match") {
            let mut reply = with(text(""), "cache-control", "max-age=60");
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(with(reply, "etag", "\"1\""));
        }
        let mut reply = with(text(call.to_string()), "cache-control", "max-age=5");
        reply.extensions_mut().insert(MemoControl::new().tag("shop"));
        Ok(with(reply, "etag", "\"1\""))
    });
    let ([one, _], nodes) = cluster(&inner, |layer| layer);
    assert_eq!(ask(&nodes[0], "/").await, "1");
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    assert_eq!(ask(&nodes[0], "/").await, "1", "validated");
    assert_eq!((ask(&nodes[1], "/").await, inner.calls()), ("1".into(), 2));
    one.handle().invalidate_tags(["shop"]).await.expect("an invalidation");
    assert_eq!(ask(&nodes[1], "/").await, "3");
}

#[tokio::test(start_paused = true)]
async fn tags_that_cannot_be_kept_keep_a_response_from_others() {
    for tags in [
        vec![String::new()],
        vec!["x".repeat(129)],
        (0..65).map(|n| n.to_string()).collect(),
    ] {
        let inner = Inner::replying(move |call| {
            let control = tags.iter().fold(MemoControl::new(), MemoControl::tag);
            let mut reply = fresh(call.to_string());
            reply.extensions_mut().insert(control);
            reply
        });
        let (_layers, nodes) = cluster(&inner, |layer| layer);
        assert_eq!(ask(&nodes[0], "/").await, "1");
        assert_eq!(ask(&nodes[1], "/").await, "2");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_out_of_date_at_once() {
    let (layers, nodes) = cluster(&shop(), |layer| layer.freshness(Freshness::new().stamped(true)));
    for path in ["/tagged", "/grouped", "/plain"] {
        let before = ask(&nodes[0], path).await;
        assert_eq!(ask(&nodes[1], path).await, before);
        layers[1].handle().invalidate_all().await.expect("an invalidation");
        assert_ne!(ask(&nodes[0], path).await, before, "{path}");
    }
    let (layers, _) = cluster(&shop(), |layer| layer);
    assert!(matches!(
        layers[0].handle().invalidate_all().await,
        Err(InvalidateError::NotStamped { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_request_says_what_to_invalidate() {
    let (layers, nodes) = cluster(&shop(), |layer| layer);
    for method in [Method::GET, Method::HEAD, Method::PUT] {
        let (one, other) = (ask(&nodes[0], "/one").await, ask(&nodes[0], "/other").await);
        let request = Request::builder().method(&method).uri("http://a.example/one");
        let absolute = request.body(()).expect("a request");
        layers[1]
            .handle()
            .invalidate_request(&absolute)
            .await
            .expect("an invalidation");
        assert_eq!(ask(&nodes[0], "/one").await, one, "asked for without a scheme");
        let request = Request::builder()
            .method(&method)
            .uri("/one")
            .header("host", "a.example");
        let request = request.body(()).expect("a request");
        layers[1]
            .handle()
            .invalidate_request(&request)
            .await
            .expect("an invalidation");
        assert_ne!(ask(&nodes[0], "/one").await, one, "{method}");
        assert_eq!(ask(&nodes[0], "/other").await, other, "{method}");
    }
    let request = Request::builder().uri("/one").header("host", "a").header("host", "b");
    let unclear = request.body(()).expect("a request");
    let refused = layers[0].handle().invalidate_request(&unclear).await;
    assert!(matches!(refused, Err(InvalidateError::NoKey { .. })));
}
