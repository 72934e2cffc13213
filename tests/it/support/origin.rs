//! [`Origin`]: an HTTP/1.1 upstream in the test's process that does what the test says and counts.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::within;

type FrameResult = Result<Frame<Bytes>, io::Error>;
type Frames = Pin<Box<dyn Stream<Item = FrameResult> + Send>>;
type Calls = watch::Sender<HashMap<String, usize>>;

/// One request as the origin got it.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Which call of this path it is, from 1 on.
    pub(crate) number: usize,
    body: Incoming,
}

impl Call {
    /// The next bytes of the body, `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Bytes> {
        let frame = within("a part of the request's body", self.body.frame()).await?;
        frame.ok()?.into_data().ok()
    }

    /// The whole body and its trailers.
    pub(crate) async fn collect(self) -> (Bytes, HeaderMap) {
        let collected = within("the request's body", self.body.collect()).await;
        let collected = collected.expect("a whole body");
        let trailers = collected.trailers().cloned().unwrap_or_default();
        (collected.to_bytes(), trailers)
    }
}

/// What the origin answers.
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    frames: Frames,
    reset: bool,
}

impl Reply {
    /// 200 with this body and its length.
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let length = body.len();
        Self::frames(stream::iter([Ok(Frame::data(body))])).header("content-length", &length.to_string())
    }

    /// 200 with this body for a minute of caching.
    pub(crate) fn fresh(body: impl Into<Bytes>) -> Self {
        Self::ok(body).header("cache-control", "max-age=60")
    }

    /// 200 with a chunked body that the test sends as it likes; dropping the sender ends the body.
    pub(crate) fn streamed() -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(1);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        (BodySender(sender), Self::frames(frames))
    }

    /// 200 with a body that breaks off after these bytes: chunked, or short of the length if one is declared with
    /// [`header`](Self::header).
    pub(crate) fn truncated(body: impl Into<Bytes>) -> Self {
        let broken = Err(on_purpose());
        let frames = stream::iter([Ok(Frame::data(body.into())), broken]);
        // hyper holds back what it has not flushed when the body fails: the client would see no response at all.
        Self::frames(frames.then(|frame| async {
            tokio::task::yield_now().await;
            frame
        }))
    }

    /// No answer: the connection is closed.
    pub(crate) fn reset() -> Self {
        Self {
            reset: true,
            ..Self::ok("")
        }
    }

    fn frames(frames: impl Stream<Item = FrameResult> + Send + 'static) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            frames: Box::pin(frames),
            reset: false,
        }
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).expect("a status");
        self
    }

    /// Adds a field; one of this name that is there already stays.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let (name, value) = field(name, value);
        self.headers.append(name, value);
        self
    }

    /// Ends the body, which must not have a length, with one trailer, and announces it.
    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        let (name, value) = field(name, value);
        self.headers.remove("content-length");
        self.headers.append("trailer", name.as_str().parse().expect("a value"));
        let trailers = Frame::trailers(HeaderMap::from_iter([(name, value)]));
        self.frames = Box::pin(self.frames.chain(stream::iter([Ok(trailers)])));
        self
    }

    fn into_response(self) -> Result<Response<StreamBody<Frames>>, io::Error> {
        if self.reset {
            return Err(on_purpose());
        }
        let mut response = Response::new(StreamBody::new(self.frames));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }
}

fn on_purpose() -> io::Error {
    io::Error::other("broken off on purpose")
}

fn field(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    (name.parse().expect("a name"), value.parse().expect("a value"))
}

/// Sends the parts of [`Reply::streamed`].
pub(crate) struct BodySender(mpsc::Sender<FrameResult>);

impl BodySender {
    pub(crate) async fn send(&self, part: impl Into<Bytes>) {
        let part = Ok(Frame::data(part.into()));
        let sent = within("a client that reads the body", self.0.send(part)).await;
        assert!(sent.is_ok(), "no client reads the body any more");
    }

    /// The same, where there need not be a request. Returns whether there was.
    pub(crate) async fn try_send(&self, part: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(part.into()))).await.is_ok()
    }

    /// Breaks the body off.
    pub(crate) async fn abort(self) {
        let _ = self.0.send(Err(on_purpose())).await;
    }
}

/// An HTTP/1.1 server on a free port. Gone on drop.
pub(crate) struct Origin {
    addr: SocketAddr,
    calls: Arc<Calls>,
    _server: JoinSet<()>,
}

impl Origin {
    /// Starts an origin that answers each call with what `behaviour` makes of it.
    pub(crate) async fn start<F, R>(behaviour: F) -> Self
    where
        F: Fn(Call) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its number");
        let calls = Arc::new(watch::Sender::new(HashMap::new()));
        let mut server = JoinSet::new();
        server.spawn(accept(listener, Arc::clone(&calls), behaviour));
        Self {
            addr,
            calls,
            _server: server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn authority(&self) -> String {
        self.addr.to_string()
    }

    /// How many calls of this path there were.
    pub(crate) fn calls(&self, path: &str) -> usize {
        self.calls.borrow().get(path).copied().unwrap_or(0)
    }

    /// How many calls there were.
    pub(crate) fn all_calls(&self) -> usize {
        self.calls.borrow().values().sum()
    }

    /// Waits until `number` calls of this path have arrived.
    pub(crate) async fn called(&self, path: &str, number: usize) {
        let mut calls = self.calls.subscribe();
        let arrived = calls.wait_for(|calls| calls.get(path).is_some_and(|n| *n >= number));
        let _ = within(&format!("call {number} of {path}"), arrived).await;
    }
}

async fn accept<F, R>(listener: TcpListener, calls: Arc<Calls>, behaviour: F)
where
    F: Fn(Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&calls), behaviour.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<F, R>(stream: TcpStream, calls: Arc<Calls>, behaviour: F)
where
    F: Fn(Call) -> R + Send + Sync,
    R: Future<Output = Reply> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let call = count(request, &calls);
        let reply = behaviour(call);
        async move { reply.await.into_response() }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn count(request: Request<Incoming>, calls: &Calls) -> Call {
    let (parts, body) = request.into_parts();
    let mut number = 0;
    calls.send_modify(|calls| {
        let count = calls.entry(parts.uri.path().to_owned()).or_default();
        *count += 1;
        number = *count;
    });
    Call {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        number,
        body,
    }
}
