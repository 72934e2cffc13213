//! Calls whose messages come one by one.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::middleware::{BufferedBody, GrpcKey, GrpcMethod, MemoBody, MemoLockService};
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{METHOD, OTHER, Server, call, contents, fields, message, ok, request, status};
use crate::layer::fixture::{Broken, Part, TestBody, answer, by_hand, data, read, settle, streamed};
use crate::support::within;

type Echo = BoxCloneService<Request<BufferedBody<TestBody>>, Response<TestBody>, Broken>;

/// A server whose reply is the request, frame by frame.
fn echo() -> MemoLockService<Echo, GrpcKey> {
    let service = service_fn(|request: Request<BufferedBody<TestBody>>| async {
        let (head, body) = request.into_parts();
        let mut response = Response::new(body.boxed_unsync());
        *response.headers_mut() = head.headers;
        Ok(response)
    });
    let layer = MemoLockLayer::grpc(MemoryStore::new(), "grpc").method(GrpcMethod::new(METHOD));
    layer.layer(BoxCloneService::new(service))
}

/// A call whose messages the test sends by hand.
fn open_call(path: &str, timeout: &'static str) -> (UnboundedSender<Part>, Request<TestBody>) {
    let (sender, parts) = by_hand();
    let mut request = Request::post(path)
        .body(StreamBody::new(parts).boxed_unsync())
        .expect("a request");
    *request.headers_mut() = fields(&[("content-type", "application/grpc")]);
    if !timeout.is_empty() {
        let timeout = HeaderValue::from_static(timeout);
        request.headers_mut().insert("grpc-timeout", timeout);
    }
    (sender, request)
}

async fn next(body: &mut MemoBody<TestBody>) -> Bytes {
    let frame = within("a message", body.frame())
        .await
        .expect("a frame")
        .expect("no error");
    frame.into_data().expect("data")
}

#[tokio::test(start_paused = true)]
async fn a_method_that_is_not_named_streams_both_ways() {
    let (sender, request) = open_call(OTHER, "");
    let begun = Instant::now();
    let response = within("a head", echo().oneshot(request)).await.expect("a response");
    let mut body = response.into_body();
    for content in ["a", "", "b"] {
        sender.send(data(message(content))).expect("a reader");
        assert_eq!(next(&mut body).await, message(content));
    }
    drop(sender);
    assert!(within("the end", body.frame()).await.is_none());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_named_by_mistake_streams_after_a_while() {
    let (sender, request) = open_call(METHOD, "");
    sender.send(data(message("a"))).expect("a reader");
    let response = within("a head", echo().oneshot(request)).await.expect("a response");
    let mut body = response.into_body();
    assert_eq!(next(&mut body).await, message("a"));
    sender.send(data(message("b"))).expect("a reader");
    assert_eq!(next(&mut body).await, message("b"));

    let (sender, request) = open_call(METHOD, "");
    let begun = Instant::now();
    for content in ["a", "b"] {
        sender.send(data(message(content))).expect("a reader");
    }
    let response = within("a head", echo().oneshot(request)).await.expect("a response");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let mut body = response.into_body();
    for content in ["a", "b"] {
        assert_eq!(next(&mut body).await, message(content));
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_while_the_message_is_on_its_way() {
    let (sender, request) = open_call(METHOD, "2S");
    sender.send(data(message("a")[..3].to_vec())).expect("a reader");
    let begun = Instant::now();
    let response = within("a head", echo().oneshot(request)).await.expect("a response");
    let answer = within("an answer", read(response)).await.expect("a body");
    assert_eq!(status(&answer), "4");
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_secs(2) && waited < Duration::from_secs(3),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_reply_sends_those_who_wait_their_own_ways() {
    let (sender, parts) = by_hand();
    let parts = std::sync::Mutex::new(Some(parts));
    let server = Server::open(move |call| match parts.lock().expect("no panic").take() {
        Some(parts) => {
            let mut response = streamed(parts);
            *response.headers_mut() = fields(&[("content-type", "application/grpc")]);
            response
        }
        None => ok(&call.to_string()),
    });
    let nodes = server.nodes(|layer| layer);
    let leading = call(&nodes[0], &[]);
    server.gate.reached_by(1).await;
    let following = nodes.each_ref().map(|node| call(node, &[]));
    for content in ["a", "b"] {
        settle().await;
        assert_eq!(server.calls(), 1);
        sender.send(data(message(content))).expect("a reader");
    }
    // The first reply goes on.
    for asked in following {
        assert_eq!(status(&answer(asked).await), "0");
    }
    assert_eq!(server.calls(), 3);
    drop(sender);
    let whole = [message("a"), message("b")].concat();
    assert_eq!(answer(leading).await.body, whole);
}

/// Named by mistake, and quiet after its first message.
#[tokio::test(start_paused = true)]
async fn a_reply_that_goes_on_after_its_message_keeps_no_call_waiting_for_long() {
    let server = Server::open(|call| {
        let first = stream::iter([data(message(&call.to_string()))]);
        let mut response = streamed(first.chain(stream::pending()));
        *response.headers_mut() = fields(&[("content-type", "application/grpc")]);
        response
    });
    let nodes = server.nodes(|layer| layer);
    let begun = Instant::now();
    let calls = (0..6).map(|i| nodes[i % 2].clone().oneshot(request(METHOD, "m", &[])));
    let replies = within("heads", join_all(calls)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for reply in replies {
        next(&mut reply.expect("a response").into_body()).await;
    }
    assert_eq!(server.calls(), 6);
}

/// The head comes at once, and the message once it has been made.
#[tokio::test(start_paused = true)]
async fn a_reply_whose_message_takes_its_time_costs_one_call() {
    let server = Server::open(|call| {
        let slow = stream::once(async move {
            sleep(Duration::from_secs(5)).await;
            data(message(&call.to_string()))
        });
        let end = Ok(Frame::trailers(fields(&[("grpc-status", "0")])));
        let mut response = streamed(slow.chain(stream::iter([end])));
        *response.headers_mut() = fields(&[("content-type", "application/grpc")]);
        response
    });
    let nodes = server.nodes(|layer| layer);
    let calls: Vec<_> = (0..6).map(|i| call(&nodes[i % 2], &[])).collect();
    assert_eq!(contents(calls).await, ["1"; 6]);
}
