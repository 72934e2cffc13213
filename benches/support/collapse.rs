//! [`Collapse`]: requests collapsed by `moka`, the floor where many wait for one.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use moka::future::Cache;
use tower::Service;

type Body = Full<Bytes>;

/// A service that calls another one for the first of several requests for a key, within one process, and keeps what
/// it answered.
#[derive(Clone)]
pub(crate) struct Collapse<S> {
    inner: S,
    responses: Cache<String, Arc<Parts>>,
}

struct Parts {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl<S> Collapse<S> {
    pub(crate) fn new(inner: S) -> Self {
        let ttl = Duration::from_secs(3600);
        let responses = Cache::builder().max_capacity(10_000).time_to_live(ttl).build();
        Self { inner, responses }
    }
}

impl<S> Service<Request<Body>> for Collapse<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let key = format!("{} {}", request.method(), request.uri());
        let responses = self.responses.clone();
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let compute = async {
                let Ok(response) = inner.call(request).await;
                let (head, body) = response.into_parts();
                let Ok(body) = body.collect().await;
                Arc::new(Parts {
                    status: head.status,
                    headers: head.headers,
                    body: body.to_bytes(),
                })
            };
            let parts = responses.get_with(key, compute).await;
            let mut response = Response::new(Full::new(parts.body.clone()));
            *response.status_mut() = parts.status;
            *response.headers_mut() = parts.headers.clone();
            Ok(response)
        })
    }
}
