//! Bodies over the limit: they go to their own client whole, at its speed, and to no other caller.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body::{Body, SizeHint};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_memolock::middleware::ResponseLimits;

use super::fixture::{
    Broken, Gate, Inner, Node, Part, TestBody, answer, data, get, pair, read, send, send_many, settle, streamed, text,
    with,
};
use crate::support::within;

const LIMIT: u64 = 25;

/// 200 with `parts` parts of ten bytes each, and how many of them have been asked for.
fn counted(parts: usize) -> (impl Fn() -> Response<TestBody> + Clone, Arc<AtomicUsize>) {
    let asked_for = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked_for);
    let reply = move || {
        let counter = Arc::clone(&counter);
        let body = stream::iter(0..parts).map(move |part| {
            counter.fetch_add(1, Ordering::SeqCst);
            data(format!("part {part:4}\n"))
        });
        with(streamed(body), "cache-control", "max-age=60")
    };
    (reply, asked_for)
}

fn whole(parts: usize) -> String {
    (0..parts).map(|part| format!("part {part:4}\n")).collect()
}

fn limited(inner: &Inner) -> [Node; 2] {
    pair(inner, |layer| {
        layer.response_limits(ResponseLimits::new().max_body(LIMIT))
    })
}

#[tokio::test(start_paused = true)]
async fn a_body_that_turns_out_too_long_is_not_read_ahead_of_its_client() {
    let (reply, asked_for) = counted(9);
    let inner = Inner::replying(move |_| reply());
    let [node, _] = limited(&inner);
    let response = within("a head", node.oneshot(get("/"))).await.expect("a response");
    let mut body = response.into_body();
    settle().await;
    assert_eq!(asked_for.load(Ordering::SeqCst), 3, "read to the limit, and no further");

    let mut got = String::new();
    for read in 1..=9_usize {
        let frame = within("a part", body.frame()).await.expect("a part").expect("no error");
        got += std::str::from_utf8(&frame.into_data().expect("data")).expect("UTF-8");
        settle().await;
        assert_eq!(asked_for.load(Ordering::SeqCst), read.max(3));
    }
    assert!(within("the end", body.frame()).await.is_none());
    assert_eq!(got, whole(9));
}

#[tokio::test(start_paused = true)]
async fn a_body_declared_too_long_is_not_read_before_its_client_does() {
    for declared in ["90", "26"] {
        let (reply, asked_for) = counted(9);
        let inner = Inner::replying(move |_| with(reply(), "content-length", declared));
        let [node, _] = limited(&inner);
        let response = within("a head", node.oneshot(get("/"))).await.expect("a response");
        settle().await;
        assert_eq!(asked_for.load(Ordering::SeqCst), 0);
        assert_eq!(within("a body", read(response)).await.expect("a body").body, whole(9));
    }
}

/// A body that knows its length, whatever the header fields say.
pub(super) struct Hinted(pub(super) TestBody, pub(super) u64);

impl Body for Hinted {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Part>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.1)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_knows_it_is_too_long_is_not_read_before_its_client_does() {
    let (reply, asked_for) = counted(9);
    let inner = Inner::replying(move |_| reply().map(|body| Hinted(body, 90).boxed_unsync()));
    let [node, _] = limited(&inner);
    let response = within("a head", node.oneshot(get("/"))).await.expect("a response");
    settle().await;
    assert_eq!(asked_for.load(Ordering::SeqCst), 0);
    assert_eq!(response.body().size_hint().exact(), Some(90));
    assert_eq!(within("a body", read(response)).await.expect("a body").body, whole(9));
}

/// Every client gets all of a response of its own.
async fn nothing_is_shared(inner: &Inner, expected: &str) {
    let nodes = limited(inner);
    for round in 1..=2 {
        for asked in send_many(&nodes, 8, || get("/")) {
            assert_eq!(answer(asked).await.body, expected);
        }
        assert_eq!(inner.calls(), round * 8);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_too_long_are_neither_stored_nor_shared() {
    let (reply, _) = counted(5);
    let found_out = Inner::replying(move |_| reply());
    nothing_is_shared(&found_out, &whole(5)).await;

    let (reply, _) = counted(5);
    let declared = Inner::replying(move |_| with(reply(), "content-length", "50"));
    nothing_is_shared(&declared, &whole(5)).await;

    let hinted = Inner::replying(|_| with(text(whole(5)), "cache-control", "max-age=60"));
    nothing_is_shared(&hinted, &whole(5)).await;
}

#[tokio::test(start_paused = true)]
async fn waiters_are_sent_on_together_as_soon_as_a_body_is_too_long() {
    const REQUESTS: usize = 8;
    let (reply, _) = counted(5);
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |_, _| {
            let (gate, reply) = (gate.clone(), reply.clone());
            async move {
                gate.pass().await;
                Ok(reply())
            }
        })
    };
    let nodes = limited(&inner);
    let leader = tokio::spawn(nodes[0].clone().oneshot(get("/")));
    gate.reached_by(1).await;
    let waiting = send_many(&nodes, REQUESTS - 1, || get("/"));
    settle().await;
    assert_eq!(gate.reached(), 1);

    gate.let_go(1);
    gate.reached_by(REQUESTS).await;
    gate.open();

    for waiting in waiting {
        assert_eq!(answer(waiting).await.body, whole(5));
    }
    let unread = within("a head", leader).await.expect("no panic").expect("a response");
    assert_eq!(read(unread).await.expect("a body").body, whole(5));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_exactly_the_limit_is_stored() {
    for hinted in [true, false] {
        let inner = Inner::replying(move |_| {
            let body = "x".repeat(25);
            let reply = if hinted {
                text(body)
            } else {
                streamed(stream::iter([data(body)]))
            };
            with(reply, "cache-control", "max-age=60")
        });
        let nodes = limited(&inner);
        for asked in send_many(&nodes, 8, || get("/")) {
            assert_eq!(answer(asked).await.body, "x".repeat(25));
        }
        assert_eq!(inner.calls(), 1, "{hinted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_may_declare_any_length() {
    let inner = Inner::replying(|_| with(text(""), "content-length", "900"));
    let nodes = limited(&inner);
    for asked in send_many(&nodes, 8, || {
        http::Request::head("/")
            .body(http_body_util::Full::default())
            .expect("a request")
    }) {
        assert_eq!(answer(asked).await.header("content-length"), Some("900"));
    }
    assert_eq!(inner.calls(), 8);
}

#[tokio::test(start_paused = true)]
async fn the_client_of_a_long_body_may_hang_up() {
    let (reply, asked_for) = counted(9);
    let inner = Inner::replying(move |_| reply());
    let nodes = limited(&inner);
    let response = within("a head", nodes[0].clone().oneshot(get("/")))
        .await
        .expect("a response");
    settle().await;
    drop(response);
    settle().await;
    assert_eq!(asked_for.load(Ordering::SeqCst), 3);
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, whole(9));
}

#[test]
fn the_limit_is_eight_mebibytes_unless_set() {
    assert_eq!(ResponseLimits::DEFAULT_MAX_BODY, 8 << 20);
}
