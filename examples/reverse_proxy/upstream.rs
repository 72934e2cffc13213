//! [`Upstream`]: the innermost service, which asks the upstream.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::{BoxError, Service};

use crate::rewrite::clean;

/// A body from the upstream, or the text of an error of ours.
pub(crate) type UpstreamBody = Either<Incoming, Full<Bytes>>;

/// Sends requests to wherever their URI says, streaming both ways. Trouble becomes a response of its own.
pub(crate) struct Upstream<B> {
    client: Client<HttpConnector, B>,
}

impl<B> Upstream<B>
where
    B: Body + Send,
    B::Data: Send,
{
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client }
    }
}

impl<B> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
        }
    }
}

impl<B> Service<Request<B>> for Upstream<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<UpstreamBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.client.clone();
        Box::pin(async move {
            if request.method() == Method::CONNECT {
                return Ok(text(StatusCode::NOT_IMPLEMENTED, "this is no tunnel\n"));
            }
            match client.request(request).await {
                // Nobody asked for another protocol: Upgrade is not passed on.
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Ok(text(
                    StatusCode::BAD_GATEWAY,
                    "the upstream changed the protocol\n",
                )),
                Ok(response) => Ok(clean(response).map(Either::Left)),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "no answer from the upstream"
                    );
                    Ok(text(
                        StatusCode::BAD_GATEWAY,
                        "no answer from the upstream\n",
                    ))
                }
            }
        })
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<UpstreamBody> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
