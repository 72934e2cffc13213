//! What nothing can be faster than and still do the work: a `moka` cache of responses.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::Service;

use crate::handler::{Body, Handler};

#[derive(Clone)]
struct Parts {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Parts {
    async fn of(response: Response<Body>) -> Arc<Self> {
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await;
        Arc::new(Self {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    fn response(&self) -> Response<Body> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

fn key(request: &Request<Body>) -> String {
    format!("{} {}", request.method(), request.uri())
}

/// `moka`'s `get`, and a response made of what is there: no policy, no `Age`, no `Vary`, and no misses.
#[derive(Clone)]
pub(crate) struct Get {
    responses: moka::sync::Cache<String, Arc<Parts>>,
}

impl Get {
    /// With the handler's response to each of these requests.
    pub(crate) async fn new(mut handler: Handler, requests: impl Iterator<Item = Request<Body>>) -> Self {
        let responses = moka::sync::Cache::builder().max_capacity(10_000);
        let responses = responses.time_to_live(crate::caches::TTL).build();
        for request in requests {
            let key = key(&request);
            let Ok(response) = handler.call(request).await;
            responses.insert(key, Parts::of(response).await);
        }
        Self { responses }
    }
}

impl Service<Request<Body>> for Get {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let parts = self.responses.get(&key(&request)).expect("a stored response");
        ready(Ok(parts.response()))
    }
}

/// `moka`'s `get_with` around the handler, in one process.
#[derive(Clone)]
pub(crate) struct GetWith {
    handler: Handler,
    responses: moka::future::Cache<String, Arc<Parts>>,
}

impl GetWith {
    pub(crate) fn new(handler: Handler) -> Self {
        let responses = moka::future::Cache::builder().max_capacity(10_000);
        let responses = responses.time_to_live(crate::caches::TTL).build();
        Self { handler, responses }
    }
}

impl Service<Request<Body>> for GetWith {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let key = key(&request);
        let Self { mut handler, responses } = self.clone();
        Box::pin(async move {
            let compute = async {
                let Ok(response) = handler.call(request).await;
                Parts::of(response).await
            };
            Ok(responses.get_with(key, compute).await.response())
        })
    }
}
