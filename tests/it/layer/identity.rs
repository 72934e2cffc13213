//! Which client is asking: credentials by their names, and fields that a layer puts into the key.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use tower_memolock::middleware::{KeyFn, Privacy, UriKey};
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{Inner, Node, answer, fresh, get, get_with, pair, send, settle, text, with};

type Layer = MemoLockLayer;

const TTL: Duration = Duration::from_secs(60);

/// Answers with the field `name`, and the number of the call.
fn telling(name: &'static str) -> Inner {
    Inner::new(move |request, call| async move {
        let value = request.headers().get(name).cloned();
        let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(text(format!("{call} {}", value.unwrap_or_default())))
    })
}

async fn body(node: &Node, request: Request<Full<Bytes>>) -> Bytes {
    let body = answer(send(node, request)).await.body;
    settle().await;
    body
}

#[tokio::test(start_paused = true)]
async fn no_caller_gets_what_was_made_for_a_client_with_a_credential_that_no_list_has() {
    for name in [
        "private-token",
        "x-vault-token",
        "ocp-apim-subscription-key",
        "x-shopify-access-token",
        "ssl-client-cert",
        "x-ssl-client-s-dn",
        "x-auth-request-user",
        "x-webauth-user",
        "x-consumer-id",
        "x-jwt-assertion",
        "x-session-token",
        "x-apikey",
        "apikey",
        "tailscale-user-login",
        "cf-access-authenticated-user-email",
        "authorization-bin",
        "x-forwarded-user",
        "dpop",
        "signature-input",
    ] {
        let inner = telling(name);
        let nodes = pair(&inner, |layer| layer.ttl(TTL));
        for (call, value) in (1..).zip(["anna", "elsa", "anna"]) {
            let found = body(&nodes[call % 2], get_with("/", name, value)).await;
            assert_eq!(found, format!("{call} {value}"), "{name}");
        }
        assert_eq!(body(&nodes[0], get("/")).await, "4 ", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_wait_with_credentials_are_both_answered_for_themselves() {
    let inner = telling("x-vault-token");
    let nodes = pair(&inner, |layer| layer.ttl(TTL));
    let asked = ["anna", "elsa"].map(|token| send(&nodes[0], get_with("/", "x-vault-token", token)));
    for (asked, token) in asked.into_iter().zip(["anna", "elsa"]) {
        let body = String::from_utf8(answer(asked).await.body.into()).expect("UTF-8");
        assert!(body.ends_with(token), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_adds_credentials_and_excepts_them() {
    let inner = telling("x-device");
    let nodes = pair(&inner, |layer| {
        layer.ttl(TTL).privacy(
            Privacy::new()
                .credentials(["x-device"])
                .not_credentials(["x-session-hint"]),
        )
    });
    assert_eq!(body(&nodes[0], get_with("/", "x-device", "a")).await, "1 a");
    assert_eq!(body(&nodes[1], get_with("/", "x-device", "b")).await, "2 b");
    assert_eq!(body(&nodes[0], get_with("/", "x-session-hint", "1")).await, "3 ");
    assert_eq!(body(&nodes[1], get_with("/", "x-session-hint", "2")).await, "3 ");
}

#[tokio::test(start_paused = true)]
async fn requests_share_with_those_that_have_the_same_in_the_fields_of_the_key() {
    for name in ["x-tenant", "authorization", "x-user-id", "cookie"] {
        let inner = telling(name);
        let nodes = pair(&inner, |layer| layer.ttl(TTL).key_headers([name]));
        for (round, node) in nodes.iter().enumerate() {
            for (call, value) in (1..).zip(["anna", "elsa", ""]) {
                let found = body(node, get_with("/", name, value)).await;
                assert_eq!(found, format!("{call} {value}"), "{name}, {round}");
            }
            assert_eq!(body(node, get("/")).await, "4 ", "{name}, {round}");
        }
        let unsafe_request = Request::builder().method(Method::DELETE).uri("/").header(name, "anna");
        body(&nodes[0], unsafe_request.body(Full::default()).expect("a request")).await;
        assert_eq!(body(&nodes[1], get_with("/", name, "anna")).await, "6 anna", "{name}");
        assert_eq!(body(&nodes[1], get_with("/", name, "elsa")).await, "2 elsa", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_the_extractor_covers_tells_requests_apart_and_nothing_else() {
    for name in ["authorization", "cookie", "x-user-id"] {
        let inner = telling(name);
        let key = UriKey::new().header(name.parse().expect("a name"));
        let layer = Layer::new(MemoryStore::new(), "layer").ttl(TTL).key(key);
        let node = tower::Layer::layer(&layer, inner.clone());
        for _ in 0..2 {
            for (call, value) in (1..).zip(["anna", "elsa"]) {
                let found = body(&node, get_with("/", name, value)).await;
                assert_eq!(found, format!("{call} {value}"), "{name}");
            }
        }
        let mut both = get_with("/", name, "anna");
        both.headers_mut().insert("x-token", "1".parse().expect("a value"));
        assert_eq!(body(&node, both).await, "3 anna", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_credential_beside_one_in_the_key_still_counts() {
    let inner = telling("cookie");
    let nodes = pair(&inner, |layer| layer.ttl(TTL).key_headers(["authorization"]));
    for (call, cookie) in (1..).zip(["a", "b"]) {
        let mut request = get_with("/", "authorization", "anna");
        request.headers_mut().insert("cookie", cookie.parse().expect("a value"));
        assert_eq!(body(&nodes[call % 2], request).await, format!("{call} {cookie}"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_parameter_that_is_not_named_makes_another_key() {
    let inner = Inner::new(|request, call| async move { Ok(fresh(format!("{call} {}", request.uri()))) });
    let nodes = pair(&inner, |layer| layer.key(UriKey::new().query_parameters(["page"])));
    for (uri, expected) in [
        ("/a?page=1", "1 /a?page=1"),
        ("/a?utm_source=x&page=1", "1 /a?page=1"),
        ("/a?page=2&utm_source=y", "2 /a?page=2&utm_source=y"),
        ("/a?page=2", "2 /a?page=2&utm_source=y"),
        ("/a?%70age=1&x", "3 /a?%70age=1&x"),
        ("/a?x=1;page=1", "4 /a?x=1;page=1"),
        ("/a", "5 /a"),
        ("/a?", "5 /a"),
        ("/b", "6 /b"),
    ] {
        for node in &nodes {
            assert_eq!(body(node, get(uri)).await, expected, "{uri}");
        }
    }
}

#[derive(Clone)]
struct User(&'static str);

fn as_user(method: Method, user: Option<&'static str>) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri("/a?x")
        .body(Full::default())
        .expect("a request");
    user.map(|user| request.extensions_mut().insert(User(user)));
    request
}

#[tokio::test(start_paused = true)]
async fn what_a_function_has_a_key_for_is_found_by_a_head_and_removed_by_an_unsafe_request() {
    let inner = Inner::new(|request, call| async move {
        let user = request.extensions().get::<User>().map_or("", |user| user.0);
        Ok(with(
            text(format!("{call} {user}")),
            "x-call",
            if call == 1 { "first" } else { "later" },
        ))
    });
    let layer = Layer::new(MemoryStore::new(), "layer").ttl(TTL).key(KeyFn::new(|head| {
        let user = head.extensions().get::<User>().map_or("", |user| user.0);
        format!("{user} {}", head.uri().path())
    }));
    let node = tower::Layer::layer(&layer, inner.clone());
    for _ in 0..2 {
        for (expected, user) in [("1 ", None), ("2 anna", Some("anna")), ("3 elsa", Some("elsa"))] {
            assert_eq!(answer(send(&node, as_user(Method::GET, user))).await.body, expected);
            settle().await;
        }
    }
    for (user, call) in [(None, "first"), (Some("anna"), "later")] {
        let head = answer(send(&node, as_user(Method::HEAD, user))).await;
        assert_eq!(head.header("x-call"), Some(call));
    }
    assert_eq!(inner.calls(), 3);
    answer(send(&node, as_user(Method::DELETE, Some("anna")))).await;
    settle().await;
    for (expected, user) in [("1 ", None), ("5 anna", Some("anna")), ("3 elsa", Some("elsa"))] {
        assert_eq!(answer(send(&node, as_user(Method::GET, user))).await.body, expected);
        settle().await;
    }
    layer
        .handle()
        .invalidate_request(&as_user(Method::GET, None))
        .await
        .expect("invalidated");
    assert_eq!(answer(send(&node, as_user(Method::GET, None))).await.body, "6 ");
}

#[test]
fn a_name_that_is_none_of_a_field_is_a_mistake_that_says_so() {
    for set in [
        |layer: Layer| layer.key_headers(["a b"]),
        |layer: Layer| layer.privacy(Privacy::new().credentials(["a b"])),
        |layer: Layer| layer.privacy(Privacy::new().not_credentials(["a b"])),
    ] {
        let setting = || drop(set(Layer::new(MemoryStore::new(), "layer")));
        let failed = std::panic::catch_unwind(setting).expect_err("a panic");
        let said = failed.downcast_ref::<String>().expect("a message");
        assert!(said.starts_with("not the name of a header field"), "{said}");
    }
}
