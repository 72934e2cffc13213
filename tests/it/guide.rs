//! What the guide says of the layer among others. Time is paused.

mod why;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CONTENT_ENCODING, HOST, ORIGIN};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tower_memolock::middleware::{CacheStatus, KeyFn, Privacy};
use tower_memolock::{MemoLockLayer, MemoryStore};

use crate::support::within;

const SECOND: Duration = Duration::from_secs(1);

fn memo() -> MemoLockLayer {
    MemoLockLayer::new(MemoryStore::new(), "guide").ttl(60 * SECOND)
}

/// Counts what passes.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A router whose handler takes a while, and answers with the number of its call and much more.
fn slow(calls: &Count, time: Duration) -> Router {
    let calls = calls.clone();
    let handler = move || {
        let call = calls.next();
        async move {
            sleep(time).await;
            format!("{call} {}", "x".repeat(1000))
        }
    };
    Router::new().route("/", get(handler))
}

fn quick(calls: &Count) -> Router {
    slow(calls, Duration::ZERO)
}

/// Sends a GET with these fields and reads the response.
fn ask(app: &Router, fields: &[(HeaderName, &'static str)]) -> impl Future<Output = Response<Bytes>> + use<> {
    let mut request = Request::get("/").body(axum::body::Body::empty()).expect("a request");
    for (name, value) in fields {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let answer = app.clone().oneshot(request);
    async move {
        let (head, body) = within("a response", answer).await.expect("infallible").into_parts();
        let body = within("a body", axum::body::to_bytes(body, usize::MAX)).await;
        Response::from_parts(head, body.expect("a body"))
    }
}

async fn asked(app: &Router, fields: &[(HeaderName, &'static str)], layer: &MemoLockLayer) -> Response<Bytes> {
    let answer = ask(app, fields).await;
    layer.handle().drained().await;
    answer
}

#[tokio::test(start_paused = true)]
async fn layers_above_see_every_request_and_layers_beneath_only_computations() {
    let (above, beneath, layer) = (Count::default(), Count::default(), memo());
    let counted = |count: &Count| {
        let count = count.clone();
        TraceLayer::new_for_http().on_request(move |_: &Request, _: &tracing::Span| {
            count.next();
        })
    };
    let app = quick(&Count::default())
        .layer(counted(&beneath))
        .layer(layer.clone())
        .layer(counted(&above));
    for _ in 0..3 {
        asked(&app, &[], &layer).await;
    }
    assert_eq!((above.get(), beneath.get()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn cors_above_costs_nothing_and_beneath_a_computation_for_each_origin() {
    let origins = ["https://a.example", "https://b.example"];
    let cors = || CorsLayer::new().allow_origin(origins.map(HeaderValue::from_static));
    let (calls, layer) = (Count::default(), memo());
    let above = quick(&calls).layer(layer.clone()).layer(cors());
    let (calls_beneath, layer_beneath) = (Count::default(), memo());
    let beneath = quick(&calls_beneath).layer(cors()).layer(layer_beneath.clone());
    for _ in 0..2 {
        for origin in origins {
            for (app, layer) in [(&above, &layer), (&beneath, &layer_beneath)] {
                let answer = asked(app, &[(ORIGIN, origin)], layer).await;
                assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            }
        }
    }
    assert_eq!((calls.get(), calls_beneath.get()), (1, 2));
}

async fn authorize(request: Request, next: Next) -> Response {
    match request.headers().get(AUTHORIZATION) {
        Some(token) if token == "Bearer secret" => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[tokio::test(start_paused = true)]
async fn authorization_above_is_asked_for_hits_and_beneath_it_is_not() {
    let (calls, layer) = (Count::default(), memo().privacy(Privacy::new().ignore_credentials()));
    let above = quick(&calls).layer(layer.clone()).layer(from_fn(authorize));
    let layer_beneath = memo().privacy(Privacy::new().ignore_credentials());
    let beneath = quick(&calls).layer(from_fn(authorize)).layer(layer_beneath.clone());
    let known = [(AUTHORIZATION, "Bearer secret")];
    assert_eq!(asked(&above, &known, &layer).await.status(), StatusCode::OK);
    assert_eq!(asked(&beneath, &known, &layer_beneath).await.status(), StatusCode::OK);
    assert_eq!(ask(&above, &[]).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        ask(&beneath, &[]).await.status(),
        StatusCode::OK,
        "given out without asking"
    );
    assert_eq!(
        (layer.handle().stats().hits, layer_beneath.handle().stats().hits),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_checks_credentials_itself_is_asked_each_time_by_default() {
    let (calls, layer) = (Count::default(), memo());
    let app = quick(&calls).layer(from_fn(authorize)).layer(layer.clone());
    for _ in 0..2 {
        let answer = asked(&app, &[(AUTHORIZATION, "Bearer secret")], &layer).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(asked(&app, &[], &layer).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(calls.get(), 2);
}

#[derive(Clone)]
struct User(String);

#[tokio::test(start_paused = true)]
async fn a_user_found_above_and_put_into_the_key_gets_what_is_the_users() {
    let calls = Count::default();
    let counter = calls.clone();
    let dashboard = move |Extension(User(name)): Extension<User>| {
        counter.next();
        async move { format!("dashboard of {name}") }
    };
    let authenticate = |mut request: Request, next: Next| async {
        if let Some(name) = request.headers().get(AUTHORIZATION) {
            let user = User(name.to_str().expect("text").to_owned());
            request.extensions_mut().insert(user);
        }
        next.run(request).await
    };
    let layer = memo()
        .key(KeyFn::new(|head| {
            let User(name) = head.extensions().get::<User>()?;
            Some(format!("{name} {}", head.uri()))
        }))
        .privacy(Privacy::new().not_credentials(["authorization", "cookie"]));
    let app = Router::new()
        .route("/", get(dashboard))
        .layer(layer.clone())
        .layer(from_fn(authenticate));
    for _ in 0..2 {
        for (user, page) in [("anna", "dashboard of anna"), ("elsa", "dashboard of elsa")] {
            assert_eq!(ask(&app, &[(AUTHORIZATION, user)]).await.body(), page);
            layer.handle().drained().await;
        }
    }
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_ends_one_request_and_the_computation_goes_on() {
    let (calls, layer) = (Count::default(), memo());
    let app = slow(&calls, 5 * SECOND)
        .layer(layer.clone())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, SECOND));
    assert_eq!(ask(&app, &[]).await.status(), StatusCode::GATEWAY_TIMEOUT);
    layer.handle().drained().await;
    assert_eq!(ask(&app, &[]).await.status(), StatusCode::OK);
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beneath_is_confirmed_once_as_504_and_by_each_as_408() {
    const CLIENTS: usize = 10;
    for (status, most) in [(StatusCode::GATEWAY_TIMEOUT, 2), (StatusCode::REQUEST_TIMEOUT, CLIENTS)] {
        let calls = Count::default();
        let app = slow(&calls, 60 * SECOND)
            .layer(TimeoutLayer::with_status_code(status, SECOND))
            .layer(memo());
        let begun = Instant::now();
        let answers = (0..CLIENTS).map(|_| tokio::spawn(ask(&app, &[])));
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.expect("no panic").status(), status);
        }
        assert_eq!(calls.get(), most, "{status}");
        assert!(begun.elapsed() < 5 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn compression_beneath_is_stored_for_each_coding_and_above_there_is_one_copy() {
    let (calls, layer) = (Count::default(), memo());
    let above = quick(&calls).layer(layer.clone()).layer(CompressionLayer::new());
    let (calls_beneath, layer_beneath) = (Count::default(), memo());
    let beneath = quick(&calls_beneath)
        .layer(CompressionLayer::new())
        .layer(layer_beneath.clone());
    for accepted in [
        "gzip, deflate;q=0.5",
        "deflate;q=0.5,gzip",
        "identity",
        "gzip, deflate;q=0.5",
    ] {
        for (app, layer) in [(&above, &layer), (&beneath, &layer_beneath)] {
            let answer = asked(app, &[(ACCEPT_ENCODING, accepted)], layer).await;
            let coding = answer.headers().get(CONTENT_ENCODING);
            assert_eq!(coding.is_some(), accepted != "identity", "{accepted}");
        }
    }
    assert_eq!((calls.get(), calls_beneath.get()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn two_ports_share_without_the_authority_and_not_with_it() {
    for (shares, most) in [(true, 1), (false, 2)] {
        let (calls, layer) = (Count::default(), memo());
        let layer = if shares { layer.without_authority() } else { layer };
        let app = quick(&calls).layer(layer.clone());
        for host in ["127.0.0.1:3001", "127.0.0.1:3002"] {
            asked(&app, &[(HOST, host)], &layer).await;
        }
        assert_eq!(calls.get(), most);
    }
}
