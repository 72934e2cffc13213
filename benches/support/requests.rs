//! The service under the layer, and the requests to it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::Service;

/// How many resources are asked for in turn.
pub(crate) const KEYS: usize = 64;

/// `GET /report/{id}` as a client sends it.
pub(crate) fn get(id: impl std::fmt::Display) -> Request<Full<Bytes>> {
    Request::builder()
        .uri(format!("/report/{id}"))
        .header(HOST, "reports.example.com")
        .header(USER_AGENT, "bench/1.0")
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "gzip, br")
        .body(Full::default())
        .expect("a request")
}

/// A response that may be stored.
pub(crate) fn response(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(ETAG, HeaderValue::from_static("\"5d8c72a5edda8d6a\""));
    response
}

/// A service that answers at once, with a body of `size` bytes.
pub(crate) fn handler(size: usize) -> Handler {
    Handler {
        body: Bytes::from(vec![b'x'; size]),
    }
}

#[derive(Clone)]
pub(crate) struct Handler {
    body: Bytes,
}

impl Service<Request<Full<Bytes>>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        ready(Ok(response(self.body.clone())))
    }
}

/// Calls the service with each request, one after the other, reads the responses, and says how long that took.
pub(crate) async fn serve<S, B>(service: &mut S, requests: Vec<Request<Full<Bytes>>>, size: usize) -> Duration
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let start = Instant::now();
    for request in requests {
        let response = service.call(request).await.expect("a response");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        assert_eq!(body.len(), size);
        black_box((head, body));
    }
    start.elapsed()
}
