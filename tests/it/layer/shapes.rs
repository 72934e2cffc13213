//! Layers over one store and under one tag whose keys cover different things: none answers another's requests.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Uri;
use http::{HeaderMap, HeaderName, Method, Request, header};
use tower::ServiceExt;
use tower_memolock::middleware::{BodyKey, KeyExtractor, KeyFn, UriKey};
use tower_memolock::{Key, MemoLockLayer, MemoryStore};

use crate::support::within;

const TTL: Duration = Duration::from_secs(60);

fn layer(store: &MemoryStore) -> MemoLockLayer {
    let layer = MemoLockLayer::new(store.clone(), "layer").ttl(TTL);
    layer.methods([Method::GET, Method::POST])
}

/// Answers with its own name and everything that the request says.
fn node<K>(name: &'static str, layer: MemoLockLayer<K>) -> (&'static str, Router)
where
    K: KeyExtractor<Body>,
    K::Body: http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Send + 'static,
{
    let echo = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
        format!("{name}: {method} {uri} {headers:?} {body:?}")
    };
    let service = tower::ServiceBuilder::new()
        .layer(layer)
        .map_request(|request: Request<K::Body>| request.map(Body::new))
        .service(Router::new().fallback(echo));
    (name, Router::new().fallback_service(service))
}

async fn ask(node: &Router, request: Request<&'static str>) -> String {
    let response = node.clone().oneshot(request.map(Body::from));
    let response = within("a response", response).await.expect("a response");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    // What is stored is, by a task that waits for nothing.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    String::from_utf8(body.expect("a body").into()).expect("UTF-8")
}

/// Requests of which one says in its path what another one says elsewhere.
fn requests() -> Vec<Request<&'static str>> {
    let mut requests = Vec::new();
    for (host, target) in [
        ("bank", "/a"),
        ("other", "//bank/a"),
        ("other", "///bank/a"),
        ("bank", "/a?utm=1"),
        ("bank", "/a:-:authority"),
        ("bank", "/a+accept-language"),
        ("other", "/GET///bank/a"),
    ] {
        for language in [None, Some(""), Some("de")] {
            for (method, body) in [("GET", ""), ("POST", ""), ("POST", "x")] {
                let request = Request::builder().method(method).uri(target).header(header::HOST, host);
                let request = language.into_iter().fold(request, |request, language| {
                    request.header(header::ACCEPT_LANGUAGE, language)
                });
                requests.push(request.body(body).expect("a request"));
            }
        }
    }
    requests
}

fn derived(store: &MemoryStore) -> Vec<(&'static str, Router)> {
    let forwarded = HeaderName::from_static("x-forwarded-host");
    let language = || UriKey::new().header(header::ACCEPT_LANGUAGE);
    vec![
        node("default", layer(store)),
        node("open", layer(store).without_authority()),
        node("by language", layer(store).key(language())),
        node("by language, open", layer(store).key(language().without_authority())),
        node("by tenant", layer(store).key_headers(["x-tenant"])),
        node(
            "by tenant, open",
            layer(store).key_headers(["x-tenant"]).without_authority(),
        ),
        node("by tenant and user", layer(store).key_headers(["x-tenant", "x-user"])),
        node(
            "some parameters",
            layer(store).key(UriKey::new().query_parameters(["page"])),
        ),
        node(
            "other parameters",
            layer(store).key(UriKey::new().query_parameters(["page", "q"])),
        ),
        node("no override", layer(store).key(UriKey::new().without_header(forwarded))),
        node(
            "text",
            layer(store).key(KeyFn::new(|head| format!("{} {}", head.method(), head.uri()))),
        ),
        node("body", layer(store).key(BodyKey::new())),
        node("body over all", layer(store).key(BodyKey::over(UriKey::new()))),
        node(
            "body over some",
            layer(store).key(BodyKey::over(UriKey::new().without_authority())),
        ),
        node("body by language", layer(store).key(BodyKey::over(language()))),
    ]
}

async fn each_answers_for_itself(nodes: &[(&str, Router)]) {
    for round in 0..2 {
        for request in requests() {
            for (name, node) in nodes {
                let found = ask(node, request.clone()).await;
                assert!(
                    found.starts_with(&format!("{name}: ")),
                    "{name}, {round}: {request:?} got {found}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn layers_whose_keys_cover_different_things_never_answer_for_each_other() {
    let store = MemoryStore::new();
    each_answers_for_itself(&derived(&store)).await;
    let mut reversed = derived(&store);
    reversed.reverse();
    store_is_shared(&store, &reversed).await;
}

/// What one router has stored, another with the same layer finds: that the others are kept apart is not for want of it.
async fn store_is_shared(store: &MemoryStore, nodes: &[(&str, Router)]) {
    let (_, again) = node("again", layer(store));
    let request = Request::get("/a")
        .header(header::HOST, "bank")
        .body("")
        .expect("a request");
    assert!(ask(&again, request).await.starts_with("default: "));
    for request in requests() {
        for (name, node) in nodes {
            let found = ask(node, request.clone()).await;
            assert!(
                found.starts_with(&format!("{name}: ")),
                "{name}: {request:?} got {found}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_never_has_the_key_of_another_extractor() {
    type Extract = fn(&Request<Body>) -> Option<Key>;
    fn target(request: &Request<Body>) -> String {
        let host = request.headers()[header::HOST].to_str().expect("ASCII");
        format!("//{host}{}", request.uri())
    }
    let closures: [Extract; 7] = [
        |request| {
            Some(
                Key::builder()
                    .part(request.method().as_str())
                    .part(request.uri().to_string())
                    .build(),
            )
        },
        |request| {
            Some(
                Key::builder()
                    .part(request.method().as_str())
                    .part(target(request))
                    .build(),
            )
        },
        |request| Key::new(format!("{{{} {}}}", request.method(), target(request))).ok(),
        |request| Key::new(format!("{{{} {} :-:authority}}", request.method(), request.uri())).ok(),
        |request| {
            let builder = Key::builder().part(request.method().as_str()).part(target(request));
            Some(builder.part(":+accept-language").build())
        },
        |request| {
            Some(
                Key::builder()
                    .part(format!("{} {}", request.method(), target(request)))
                    .build(),
            )
        },
        |request| Key::new(request.uri().path().trim_matches('/').to_owned() + "x").ok(),
    ];
    for closure in closures {
        let store = MemoryStore::new();
        let mut nodes = derived(&store);
        nodes.insert(nodes.len() / 2, node("closure", layer(&store).key(closure)));
        each_answers_for_itself(&nodes).await;
        let nodes = [node("body over closure", layer(&store).key(BodyKey::over(closure)))];
        each_answers_for_itself(&nodes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_closure_has_stored_is_out_of_date_when_its_key_is_invalidated() {
    let store = MemoryStore::new();
    let by_path = |request: &Request<Body>| Some(Key::builder().part("page").part(request.uri().path()).build());
    let layer = layer(&store).key(by_path);
    let (_, first) = node("first", layer.clone());
    let (_, second) = node("second", layer.clone());
    let request = || Request::get("/a").body("").expect("a request");
    assert!(ask(&first, request()).await.starts_with("first: "));
    assert!(ask(&second, request()).await.starts_with("first: "));
    let key = Key::builder().part("page").part("/a").build();
    layer.handle().invalidate(&key).await.expect("invalidated");
    assert!(ask(&second, request()).await.starts_with("second: "));
    layer
        .handle()
        .invalidate_request(&request().map(Body::from))
        .await
        .expect("invalidated");
    assert!(ask(&first, request()).await.starts_with("first: "));
}
