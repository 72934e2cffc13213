//! [`Site`]: an axum server with a page under a layer, and the admin service beside it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_memolock::middleware::MemoControl;
use tower_memolock::{Admin, MemoLockLayer, Store};

use crate::support::{Answer, Gate, HttpClient};

pub(super) struct Site {
    url: String,
    pub(super) client: HttpClient,
    calls: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Site {
    /// Each response is the number of its call, and has the tag `numbers` of a value.
    pub(super) async fn start(store: impl Store) -> Self {
        Self::with(
            MemoLockLayer::new(store, "site").ttl(Duration::from_secs(60)),
            async || {},
        )
        .await
    }

    /// Calls wait at the gate.
    pub(super) async fn gated(store: impl Store, gate: &Gate) -> Self {
        let gate = gate.clone();
        let layer = MemoLockLayer::new(store, "site").ttl(Duration::from_secs(60));
        let wait = move || {
            let gate = gate.clone();
            async move { gate.pass().await }
        };
        Self::with(layer, wait).await
    }

    pub(super) async fn with<F>(layer: MemoLockLayer, wait: impl Fn() -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let handler = move || {
            let (wait, counted) = (wait.clone(), Arc::clone(&counted));
            async move {
                wait().await;
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let mut response = number.to_string().into_response();
                response.extensions_mut().insert(MemoControl::new().tag("numbers"));
                response
            }
        };
        let pages = Router::new().fallback(get(handler)).layer(layer.clone());
        let admin: Admin<Body> = Admin::new().layer(&layer);
        let app = Router::new().nest_service("/memolock", admin).fallback_service(pages);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("a server") });
        Self {
            url,
            client: HttpClient::http1(),
            calls,
            server,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.client.get(&self.url(path)).await.expect("an answer")
    }

    pub(super) async fn text(&self, path: &str) -> String {
        self.get(path).await.text().to_owned()
    }

    pub(super) async fn state(&self) -> Value {
        state(&self.client, &self.url("/memolock/state.json")).await
    }

    /// Sends a request without a body.
    pub(super) async fn send(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = Request::builder().method(method).uri(self.url(path));
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        self.client.send(request).await.expect("an answer")
    }

    pub(super) async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, &[]).await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(super) async fn state(client: &HttpClient, url: &str) -> Value {
    let answer = client.get(url).await.expect("an answer");
    assert_eq!(answer.header("content-type"), ["application/json"]);
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Whatever axum takes as a service.
#[expect(dead_code, reason = "it has to compile")]
fn is_a_service(
    admin: Admin<Body>,
) -> impl tower::Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Infallible> {
    admin
}
