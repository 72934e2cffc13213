//! How bodies flow while they are recorded.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::future::poll_immediate;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc::UnboundedSender;
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::middleware::MemoBody;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{
    Broken, Inner, Node, Part, TestBody, answer, bodies, by_hand, data, get, pair, send, send_many, settle, streamed,
    text, with,
};
use crate::support::within;

/// Two nodes, and what the test says is the body of the one response to be had.
fn by_the_test() -> ([Node; 2], UnboundedSender<Part>) {
    let (sender, parts) = by_hand();
    let parts = Arc::new(Mutex::new(Some(parts)));
    let inner = Inner::replying(move |_| {
        let parts = parts.lock().expect("no panic").take().expect("one call");
        with(streamed(parts), "cache-control", "max-age=60")
    });
    (pair(&inner, |layer| layer), sender)
}

async fn head(node: &Node) -> Response<MemoBody<TestBody>> {
    within("a head", node.clone().oneshot(get("/")))
        .await
        .expect("a response")
}

/// The next data of a body, once it is there.
async fn next<B>(body: &mut B) -> Option<Bytes>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    let frame = within("a part", body.frame()).await?;
    Some(frame.expect("no error").into_data().expect("data"))
}

#[tokio::test(start_paused = true)]
async fn the_leaders_client_reads_each_part_before_the_next_one_exists() {
    let (nodes, sender) = by_the_test();
    let mut body = head(&nodes[0]).await.into_body();
    for part in ["one", "two", "three"] {
        settle().await;
        assert!(poll_immediate(body.frame()).await.is_none(), "nothing there yet");
        sender.send(data(part)).expect("a reader");
        assert_eq!(next(&mut body).await.expect("a part"), part);
    }
    drop(sender);
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_does_not_keep_others_waiting() {
    let (nodes, sender) = by_the_test();
    let unread = head(&nodes[0]).await;
    let followers = send_many(&nodes, 6, || get("/"));
    settle().await;
    for part in ["one", "two", "three"] {
        sender.send(data(part)).expect("a reader");
    }
    drop(sender);
    assert_eq!(bodies(followers).await, ["onetwothree"; 6]);
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "onetwothree");
    assert_eq!(super::fixture::read(unread).await.expect("a body").body, "onetwothree");
}

#[tokio::test(start_paused = true)]
async fn followers_get_nothing_of_a_body_that_may_still_break_off() {
    let (nodes, sender) = by_the_test();
    let _leader = head(&nodes[0]).await;
    let follower = send(&nodes[0], get("/"));
    sender.send(data("one")).expect("a reader");
    settle().await;
    assert!(!follower.is_finished());
    drop(sender);
    assert_eq!(answer(follower).await.body, "one");
}

#[tokio::test(start_paused = true)]
async fn the_leaders_body_counts_down_what_is_left() {
    let inner = Inner::replying(|_| text("four"));
    let [node, _] = pair(&inner, |layer| layer);
    let mut body = head(&node).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(4));
    next(&mut body).await;
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn trailers_reach_the_leaders_client_too() {
    let (nodes, sender) = by_the_test();
    let leader = head(&nodes[0]).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-cost", "7".parse().expect("a value"));
    sender.send(data("one")).expect("a reader");
    sender.send(Ok(Frame::trailers(trailers.clone()))).expect("a reader");
    drop(sender);
    let answer = super::fixture::read(leader).await.expect("a body");
    assert_eq!((answer.body, answer.trailers), ("one".into(), Some(trailers)));
}

/// Data in two pieces.
struct Halves(Bytes, Bytes);

impl Buf for Halves {
    fn remaining(&self) -> usize {
        self.0.remaining() + self.1.remaining()
    }

    fn chunk(&self) -> &[u8] {
        if self.0.has_remaining() {
            self.0.chunk()
        } else {
            self.1.chunk()
        }
    }

    fn advance(&mut self, count: usize) {
        let first = count.min(self.0.remaining());
        self.0.advance(first);
        self.1.advance(count - first);
    }
}

/// A body of such data that is neither `Clone` nor `Unpin`.
struct InHalves {
    left: usize,
    _pinned: std::marker::PhantomPinned,
}

impl Body for InHalves {
    type Data = Halves;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Halves>, Broken>>> {
        // Nothing of it is moved out, so it may as well be rebuilt in place.
        let left = self.left;
        let mut this = self;
        this.set(Self {
            left: left.saturating_sub(1),
            _pinned: std::marker::PhantomPinned,
        });
        let halves = Halves("ab".into(), "cd".into());
        Poll::Ready((left > 0).then(|| Ok(Frame::data(halves))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64 * 4)
    }
}

#[tokio::test(start_paused = true)]
async fn data_of_any_type_passes_and_is_recorded() {
    let inner = service_fn(|request: Request<Full<Bytes>>| async move {
        let body = InHalves {
            left: 2,
            _pinned: std::marker::PhantomPinned,
        };
        let mut response = Response::new(body);
        let kept = if request.uri().path() == "/kept" {
            "max-age=60"
        } else {
            "no-store"
        };
        response
            .headers_mut()
            .insert("cache-control", kept.parse().expect("a value"));
        Ok::<_, Broken>(response)
    });
    let service = MemoLockLayer::new(MemoryStore::new(), "layer").layer(inner);
    for path in ["/kept", "/kept", "/passed"] {
        assert_eq!(answer(send(&service, get(path))).await.body, "abcdabcd", "{path}");
    }
}
