//! A response that grows by the test's hand, and its readers.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, poll_immediate};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{CacheStatus, MemoBody, StreamFollowers};
use tower_memolock::{MemoLockLayer, MemoryStore, Store};

use crate::freshness::gated::Gated;
use crate::layer::fixture::{
    Answer, Asked, Inner, Node, Part, TestBody, by_hand, data, fresh, get, read, send, settle, streamed, with,
};
use crate::support::within;

pub(super) type Reply = Response<MemoBody<TestBody>>;

/// Answers the first call with parts that the test hands out, and later ones at once with their number. `dress` adds to
/// each what its call is to say.
pub(super) fn growing(
    dress: impl Fn(Response<TestBody>, &Request<Full<Bytes>>) -> Response<TestBody> + Send + Sync + 'static,
) -> (UnboundedSender<Part>, Inner) {
    let (sender, parts) = by_hand();
    let parts = Mutex::new(Some(parts));
    let inner = Inner::new(move |request, call| {
        let reply = match parts.lock().expect("no panic").take() {
            Some(parts) => with(streamed(parts), "cache-control", "max-age=60"),
            None => fresh(call.to_string()),
        };
        std::future::ready(Ok(dress(reply, &request)))
    });
    (sender, inner)
}

/// What says nothing but that it may be kept.
pub(super) fn plain(reply: Response<TestBody>, _: &Request<Full<Bytes>>) -> Response<TestBody> {
    reply
}

pub(super) fn layer<St: Store>(store: St) -> MemoLockLayer {
    MemoLockLayer::new(store, "layer")
        .stream_followers(StreamFollowers::Process)
        .cache_status(CacheStatus::Outcome)
}

/// Two nodes over one store, and their layers.
pub(super) fn cluster(inner: &Inner) -> ([MemoLockLayer; 2], [Node; 2]) {
    cluster_with(inner, |layer| layer)
}

pub(super) fn cluster_with(
    inner: &Inner,
    set: impl Fn(MemoLockLayer) -> MemoLockLayer,
) -> ([MemoLockLayer; 2], [Node; 2]) {
    let store = MemoryStore::new();
    let layers = [store.clone(), store].map(|store| set(layer(store)));
    let nodes = layers.each_ref().map(|layer| layer.layer(inner.clone()));
    (layers, nodes)
}

/// A node whose way to the store the test holds in its hands, and another that has a way of its own.
pub(super) fn gated(inner: &Inner) -> (Gated, MemoLockLayer, Node, MemoLockLayer) {
    let store = MemoryStore::new();
    let slow = Gated::new(&store);
    let here = layer(slow.clone());
    let node = here.layer(inner.clone());
    (slow, here, node, layer(store))
}

/// The head of the response.
pub(super) async fn open(node: &Node, request: Request<Full<Bytes>>) -> Reply {
    within("a head", node.clone().oneshot(request))
        .await
        .expect("a response")
}

/// The same, in a task of its own.
pub(super) fn open_later(node: &Node) -> JoinHandle<Reply> {
    let node = node.clone();
    tokio::spawn(async move { open(&node, get("/")).await })
}

pub(super) async fn open_many(node: &Node, count: usize) -> Vec<Reply> {
    join_all((0..count).map(|_| open(node, get("/")))).await
}

/// The next data.
pub(super) async fn next(reply: &mut Reply) -> Bytes {
    let frame = within("a part", reply.body_mut().frame()).await.expect("a part");
    frame.expect("no error").into_data().expect("data")
}

/// Lets the store be asked about callers that have come: a little later than it was asked last.
pub(super) async fn asked_about() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

pub(super) async fn nothing_yet(reply: &mut Reply) {
    settle().await;
    assert!(poll_immediate(reply.body_mut().frame()).await.is_none());
}

pub(super) async fn whole(reply: Reply) -> Answer {
    within("a body", read(reply)).await.expect("a whole body")
}

/// Reads on to what has to be an error.
pub(super) async fn fails(reply: Reply) {
    let ended = within("an end", read(reply)).await;
    assert!(ended.is_err(), "ended as if it were whole: {ended:?}");
}

pub(super) fn give(sender: &UnboundedSender<Part>, part: &str) {
    sender.send(data(part.to_owned())).expect("a reader");
}

pub(super) fn trailers(name: &'static str, value: &str) -> Part {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, value.parse().expect("a value"));
    Ok(Frame::trailers(trailers))
}

/// Requests that wait at a store that does not say whether they may read yet, besides a request that reads.
pub(super) struct Half {
    pub(super) node: Node,
    pub(super) layer: MemoLockLayer,
    pub(super) leader: Reply,
    pub(super) reading: Reply,
    pub(super) waiting: Vec<Asked>,
    pub(super) slow: Gated,
}

impl Half {
    pub(super) async fn of(inner: &Inner, set: impl Fn(MemoLockLayer) -> MemoLockLayer) -> Self {
        let slow = Gated::new(&MemoryStore::new());
        let layer = set(layer(slow.clone()));
        let node = layer.layer(inner.clone());
        let leader = open(&node, get("/")).await;
        let reading = open(&node, get("/")).await;
        slow.gates.renewed.close();
        let waiting = (0..4).map(|_| send(&node, get("/"))).collect();
        asked_about().await;
        assert!(slow.gates.renewals.load(Ordering::SeqCst) >= 2, "asked for them, too");
        Self {
            node,
            layer,
            leader,
            reading,
            waiting,
            slow,
        }
    }
}
