//! The inner service, its responses, and the nodes around it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_memolock::middleware::{Freshness, MemoBody, MemoLockService, UriKey};
use tower_memolock::{MemoLockLayer, MemoryStore, Store};

pub(super) use crate::support::Gate;
use crate::support::within;

/// What goes wrong inside. Not `Clone`, as most errors are not.
#[derive(Debug, PartialEq)]
pub(super) struct Broken(pub(super) &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Broken {}

/// Neither `Clone` nor `Sync`, as most bodies are not.
pub(super) type TestBody = UnsyncBoxBody<Bytes, Broken>;
pub(super) type Part = Result<Frame<Bytes>, Broken>;
pub(super) type Reply = Result<Response<TestBody>, Broken>;
type Handler = dyn Fn(Request<Full<Bytes>>, usize) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync;

/// An inner service that counts its calls and panics if it is called on an instance that was not ready.
pub(super) struct Inner {
    handler: Arc<Handler>,
    calls: Arc<AtomicUsize>,
    /// Whether readiness takes an instance two polls.
    slow: bool,
    ready: Readiness,
}

#[derive(Clone, Copy, PartialEq)]
enum Readiness {
    Unasked,
    Asked,
    Ready,
}

impl Inner {
    /// `handler` gets the request and the number of the call, from 1.
    pub(super) fn new<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Full<Bytes>>, usize) -> R + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        Self {
            handler: Arc::new(move |request, call| Box::pin(handler(request, call))),
            calls: Arc::default(),
            slow: true,
            ready: Readiness::Unasked,
        }
    }

    /// Answers every call with what `reply` makes of its number.
    pub(super) fn replying(reply: impl Fn(usize) -> Response<TestBody> + Send + Sync + 'static) -> Self {
        Self::new(move |_, call| std::future::ready(Ok(reply(call))))
    }

    /// Lets each call pass the gate, and then answers with what `reply` makes of it.
    pub(super) fn gated<F>(gate: &Gate, reply: F) -> Self
    where
        F: Fn(Request<Full<Bytes>>, usize) -> Reply + Send + Sync + 'static,
    {
        let (gate, reply) = (gate.clone(), Arc::new(reply));
        Self::new(move |request, call| {
            let (gate, reply) = (gate.clone(), Arc::clone(&reply));
            async move {
                gate.pass().await;
                reply(request, call)
            }
        })
    }

    /// This service, ready as soon as it is asked.
    pub(super) fn always_ready(mut self) -> Self {
        self.slow = false;
        self
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            calls: Arc::clone(&self.calls),
            slow: self.slow,
            ready: Readiness::Unasked,
        }
    }
}

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<TestBody>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.slow && self.ready == Readiness::Unasked {
            self.ready = Readiness::Asked;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = Readiness::Ready;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let ready = std::mem::replace(&mut self.ready, Readiness::Unasked);
        assert!(ready == Readiness::Ready, "called before it was ready");
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        (self.handler)(request, call)
    }
}

/// 200 with this body.
pub(super) fn text(body: impl Into<Bytes>) -> Response<TestBody> {
    let body = Full::new(body.into());
    Response::new(body.map_err(|never| match never {}).boxed_unsync())
}

/// 200 with this body, fresh for a minute by its own account.
pub(super) fn fresh(body: impl Into<Bytes>) -> Response<TestBody> {
    with(text(body), "cache-control", "max-age=60")
}

pub(super) fn with(mut response: Response<TestBody>, name: &'static str, value: &'static str) -> Response<TestBody> {
    response.headers_mut().append(name, value.parse().expect("a value"));
    response
}

/// 200 with a body of these parts, of undeclared length.
pub(super) fn streamed(parts: impl Stream<Item = Part> + Send + 'static) -> Response<TestBody> {
    Response::new(StreamBody::new(parts).boxed_unsync())
}

pub(super) fn parts<const N: usize>(parts: [Part; N]) -> Response<TestBody> {
    streamed(stream::iter(parts))
}

pub(super) fn data(part: impl Into<Bytes>) -> Part {
    Ok(Frame::data(part.into()))
}

/// Parts that the test hands out one by one.
pub(super) fn by_hand() -> (mpsc::UnboundedSender<Part>, impl Stream<Item = Part> + Send + 'static) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let parts = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|part| (part, receiver))
    });
    (sender, parts)
}

pub(super) type Node = MemoLockService<Inner, UriKey>;

/// Two nodes of one cluster around one inner service.
pub(super) fn pair(inner: &Inner, set: impl Fn(MemoLockLayer) -> MemoLockLayer) -> [Node; 2] {
    let store = MemoryStore::new();
    pair_over([store.clone(), store], inner, set)
}

pub(super) fn pair_over<St: Store>(
    stores: [St; 2],
    inner: &Inner,
    set: impl Fn(MemoLockLayer) -> MemoLockLayer,
) -> [Node; 2] {
    // Tests say exactly how long what is fresh.
    let layer = |store| MemoLockLayer::new(store, "layer").freshness(Freshness::new().ttl_jitter(0.0));
    stores.map(|store| set(layer(store)).layer(inner.clone()))
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

/// Why there is no whole response.
#[derive(Debug)]
pub(super) enum Failure<E = Broken> {
    /// The service failed.
    Call(E),
    /// The body failed.
    Body(BoxError),
}

pub(super) type Asked<E = Broken> = JoinHandle<Result<Answer, Failure<E>>>;

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).expect("a request")
}

pub(super) fn get_with(path: &str, name: &str, value: &str) -> Request<Full<Bytes>> {
    let request = Request::get(path).header(name, value);
    request.body(Full::default()).expect("a request")
}

/// Sends a request from a task of its own and reads the response to its end.
pub(super) fn send<S, B>(service: &S, request: Request<Full<Bytes>>) -> Asked<S::Error>
where
    S: Service<Request<Full<Bytes>>, Response = Response<MemoBody<B>>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let service = service.clone();
    tokio::spawn(async move {
        let response = service.oneshot(request).await.map_err(Failure::Call)?;
        read(response).await.map_err(Failure::Body)
    })
}

pub(super) async fn read<B>(response: Response<MemoBody<B>>) -> Result<Answer, BoxError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: collected.to_bytes(),
        trailers,
    })
}

/// The whole response to a request that does not fail.
pub(super) async fn answer<E: fmt::Debug>(asked: Asked<E>) -> Answer {
    let joined = within("an answer", asked).await;
    joined.expect("no panic").expect("a response")
}

/// The bodies of all of them, as text.
pub(super) async fn bodies<E: fmt::Debug>(asked: impl IntoIterator<Item = Asked<E>>) -> Vec<String> {
    let mut bodies = Vec::new();
    for asked in asked {
        let body = answer(asked).await.body;
        bodies.push(String::from_utf8(body.into()).expect("UTF-8"));
    }
    bodies
}

/// Sends `count` requests to the nodes in turn.
pub(super) fn send_many(nodes: &[Node; 2], count: usize, request: impl Fn() -> Request<Full<Bytes>>) -> Vec<Asked> {
    (0..count).map(|i| send(&nodes[i % 2], request())).collect()
}

/// Lets every task run that can, without time going by.
pub(super) async fn settle() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}
