//! [`Upstream`]: the innermost service, which asks the upstream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::util::MapResponse;
use tower::{BoxError, Service, ServiceExt};

use crate::connection::{Connection, answered, came_to_its_end};
use crate::rewrite::clean;

/// A body from the upstream, or the text of an error of ours.
pub(crate) type UpstreamBody = Either<Incoming, Full<Bytes>>;

/// How often a request is repeated: a few connections may have come to their end at once, but a request that the upstream
/// does not survive must not be tried on all of them.
const REPEATS: usize = 3;

type Connector = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> Connection>;
type MaybeEmpty<B> = Either<B, Empty<<B as Body>::Data>>;

/// Sends requests to wherever their URI says, streaming both ways.
pub(crate) struct Upstream<B: Body> {
    client: Client<Connector, MaybeEmpty<B>>,
}

impl<B> Upstream<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let marked: fn(_) -> _ = Connection::from;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector.map_response(marked));
        Self { client }
    }

    /// Asks, and asks again where it was the connection that had come to its end and the request may be repeated
    /// (RFC 9110 section 9.2.2). A new connection gets no second chance.
    async fn ask(&self, request: Request<B>) -> Result<Response<Incoming>, Error> {
        let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        if !repeatable {
            return self.client.request(request.map(Either::Left)).await;
        }
        let (head, _) = request.into_parts();
        let mut repeats = 0;
        loop {
            let request = Request::from_parts(head.clone(), Either::Right(Empty::new()));
            match self.client.request(request).await {
                Err(error) if repeats < REPEATS && came_to_its_end(&error) => repeats += 1,
                result => return result,
            }
        }
    }

    async fn answer(&self, request: Request<B>) -> Result<Response<UpstreamBody>, Error> {
        if request.method() == Method::CONNECT {
            let refusal = text(StatusCode::NOT_IMPLEMENTED, "this is no tunnel\n");
            return Ok(refusal.map(Either::Right));
        }
        let mut response = self.ask(request).await?;
        // Nobody asked for another protocol: Upgrade is not passed on.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let refusal = text(StatusCode::BAD_GATEWAY, "the upstream changed the protocol\n");
            return Ok(refusal.map(Either::Right));
        }
        answered(&mut response);
        Ok(clean(response).map(Either::Left))
    }
}

impl<B: Body> Clone for Upstream<B> {
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
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let upstream = self.clone();
        Box::pin(async move { upstream.answer(request).await })
    }
}

/// What the client gets when there is no answer. Outside the layer: to the layer it is an error, after which one of
/// those who wait tries again.
pub(crate) fn bad_gateway(error: &Error) -> Response<Full<Bytes>> {
    let cause = error as &dyn std::error::Error;
    tracing::warn!(error = cause, "no answer from the upstream");
    text(StatusCode::BAD_GATEWAY, "no answer from the upstream\n")
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
