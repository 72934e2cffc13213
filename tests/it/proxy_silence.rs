//! `reverse_proxy` in front of an upstream that goes silent, and clients that do not wait for it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::support::{HttpClient, Node, Origin, Reply, eventually, within};

const SHORT: [&str; 2] = ["--upstream-timeout", "300ms"];

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up() {
    let origin = Origin::start(|_| pending()).await;
    let node = Node::reverse_proxy(&origin.url(), &SHORT).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let answer = within("an answer", client.get(&node.url("/")))
            .await
            .expect("an answer");
        assert_eq!(answer.status, 504);
    }
}

#[tokio::test]
async fn a_body_that_goes_silent_is_broken_and_one_that_is_slow_is_not() {
    let origin = Origin::start(|call| async move {
        let (body, reply) = Reply::streamed();
        tokio::spawn(async move {
            for _ in 0..8 {
                body.send("piece").await;
                sleep(Duration::from_millis(100)).await;
            }
            if call.uri.path() == "/silent" {
                pending::<()>().await;
            }
        });
        reply
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &SHORT).await;
    let slow = within("an answer", HttpClient::http1().get(&node.url("/slow"))).await;
    assert_eq!(slow.expect("all of it").text(), "piece".repeat(8));
    let silent = within("an end", HttpClient::http1().get(&node.url("/silent"))).await;
    silent.expect_err("a body that breaks off");
}

#[tokio::test]
async fn requests_that_are_reset_leave_few_calls_of_the_upstream_behind() {
    const RESETS: usize = 300;
    let running = Arc::new(Semaphore::new(RESETS));
    let handlers = Arc::clone(&running);
    let origin = Origin::start(move |call| {
        let running = Arc::clone(&handlers);
        async move {
            if call.uri.path() == "/honest" {
                return Reply::ok("served");
            }
            let _running = running.acquire().await;
            pending().await
        }
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    let url: http::Uri = node.url("/").parse().expect("a URL");
    let authority = url.authority().expect("one").to_string();
    let stream = TcpStream::connect(&authority).await.expect("a connection");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (client, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(async move { drop(connection.await) });
    for i in 0..RESETS {
        let (mut client, path) = (client.clone(), format!("/{i}"));
        let request = Request::get(node.url(&path)).body(Empty::<Bytes>::new());
        let asked = tokio::spawn(async move { client.send_request(request.expect("a request")).await });
        origin.called(&path, 1).await;
        asked.abort();
    }
    eventually("an end of the calls", || RESETS - running.available_permits() <= 64).await;
    let honest = HttpClient::http2().get(&node.url("/honest")).await.expect("an answer");
    assert_eq!(honest.text(), "served");
}
