//! [`Upstream`]: the innermost service, which asks the upstream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::MapErr;
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::util::MapResponse;
use tower::{BoxError, Service, ServiceExt};

use crate::connection::{Connection, answered, came_to_its_end};
use crate::framing;
use crate::impatient::Impatient;
use crate::own::Asker;
use crate::rewrite::clean;
use crate::server::MAX_FIELDS;

/// A body from the upstream, or the text of an error of ours.
pub(crate) type UpstreamBody = Either<Impatient<Incoming>, Full<Bytes>>;

/// How often a request is repeated: a few connections may have come to their end at once, but a request that the upstream
/// does not survive must not be tried on all of them.
const REPEATS: usize = 3;

type Connector = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> Connection>;
type Marked<B> = MapErr<B, fn(<B as Body>::Error) -> BrokenRequest>;
type MaybeEmpty<B> = Either<Marked<B>, Empty<<B as Body>::Data>>;

/// Sends requests to wherever their URI says, streaming both ways.
pub(crate) struct Upstream<B: Body> {
    client: Client<Connector, MaybeEmpty<B>>,
    /// How long the upstream may be silent.
    timeout: Duration,
}

impl<B> Upstream<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(10)));
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let marked: fn(_) -> _ = Connection::from;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_FIELDS)
            .build(connector.map_response(marked));
        Self { client, timeout }
    }

    /// Asks, and asks again where it was the connection that had come to its end and the request may be repeated
    /// (RFC 9110 section 9.2.2). A new connection gets no second chance.
    async fn ask(&self, mut request: Request<B>) -> Result<Response<Incoming>, Error> {
        let repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        if !repeatable {
            if request.body().size_hint().exact().is_none() {
                // Unless told to, hyper sends no body of this kind with a GET.
                let chunked = HeaderValue::from_static("chunked");
                request.headers_mut().insert(TRANSFER_ENCODING, chunked);
            }
            let marked: fn(_) -> _ = |error: B::Error| BrokenRequest(error.into());
            let request = request.map(|body| Either::Left(body.map_err(marked)));
            return self.client.request(request).await;
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
        let (method, asker) = (request.method().clone(), Asker::of(&request));
        let refuse = |status, text| Ok(asker.tell(status, text).map(Either::Right));
        if method == Method::CONNECT {
            return refuse(StatusCode::NOT_IMPLEMENTED, "this is no tunnel");
        }
        // A client that sends a body leaves, and ends the call, if it does not go on.
        let patience = match request.body().is_end_stream() {
            true => self.timeout,
            false => Duration::MAX,
        };
        let Ok(response) = timeout(patience, self.ask(request)).await else {
            return refuse(StatusCode::GATEWAY_TIMEOUT, "the upstream does not answer");
        };
        let mut response = response?;
        // The client did not ask for another protocol: Upgrade is not passed on.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return refuse(StatusCode::BAD_GATEWAY, "the upstream changed the protocol");
        }
        answered(&mut response);
        let status = response.status();
        match framing::settle(&method, status, response.headers_mut()) {
            Ok(()) => Ok(clean(response).map(|body| Either::Left(Impatient::new(body, self.timeout)))),
            Err(framing::UnknownCoding) => refuse(StatusCode::BAD_GATEWAY, "the upstream's coding is unknown"),
        }
    }
}

impl<B: Body> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            timeout: self.timeout,
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

/// The client has broken its own request: what it sent is no body, or not all of it.
#[derive(Debug)]
struct BrokenRequest(BoxError);

impl fmt::Display for BrokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request's body is broken")
    }
}

impl std::error::Error for BrokenRequest {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// What the client gets when there is no answer. Outside the layer: to the layer it is an error, after which one of
/// its waiters tries again.
pub(crate) fn no_answer(error: &Error, asker: &Asker) -> Response<Full<Bytes>> {
    let cause = error as &dyn std::error::Error;
    if std::iter::successors(Some(cause), |error| error.source()).any(<dyn std::error::Error>::is::<BrokenRequest>) {
        tracing::debug!(error = cause, "a broken request");
        return asker.tell(StatusCode::BAD_REQUEST, "the request's body is broken");
    }
    tracing::warn!(error = cause, "no answer from the upstream");
    asker.tell(StatusCode::BAD_GATEWAY, "no answer from the upstream")
}
