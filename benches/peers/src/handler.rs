//! The service under every cache, and the requests to it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Service, ServiceExt};

pub(crate) type Body = Full<Bytes>;

/// A service that says how often it was called.
#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) delay: Duration,
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Handler {
    pub(crate) fn new(delay: Duration, status: StatusCode, bytes: usize) -> Self {
        Self {
            calls: Arc::default(),
            delay,
            status,
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }

    /// One that answers 200 at once.
    pub(crate) fn quick(bytes: usize) -> Self {
        Self::new(Duration::ZERO, StatusCode::OK, bytes)
    }
}

impl<B> Service<Request<B>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Self {
            delay, status, body, ..
        } = self.clone();
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let response = Response::builder().status(status);
            let response = response.header(CONTENT_TYPE, "application/json");
            let response = response.header(CACHE_CONTROL, "public, max-age=3600");
            Ok(response.body(Full::new(body)).expect("a response"))
        })
    }
}

/// `GET /report/{id}` as a client sends it.
pub(crate) fn get(id: usize) -> Request<Body> {
    let request = Request::get(format!("/report/{id}"));
    let request = request
        .header(HOST, "reports.example.com")
        .header(ACCEPT, "application/json");
    request.body(Body::default()).expect("a request")
}

/// Sends a request and reads the response to its end. Returns its status and length.
pub(crate) async fn fetch<S, B>(service: S, request: Request<Body>) -> (StatusCode, usize)
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let response = service.oneshot(request).await.map_err(Into::into).expect("a response");
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(Into::into)
        .expect("a body");
    (status, body.to_bytes().len())
}
