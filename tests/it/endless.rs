//! Upstreams whose answers never end, behind proxies of one cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};

use crate::support::{HttpClient, Node, Origin, RedisServer, Reply, eventually, within};

/// Far more than a client waits for what goes on, and far less than for what may end.
const MOST: Duration = Duration::from_secs(12);

/// An upstream whose answers are a line every 50 ms, and how many of them a caller reads.
async fn feed() -> (Origin, Arc<AtomicUsize>) {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    let origin = Origin::start(move |call| {
        let open = Arc::clone(&counted);
        async move {
            let (sender, reply) = Reply::streamed();
            open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                while sender.try_send(format!("{{\"change\":{}}}\n", call.number)).await {
                    sleep(Duration::from_millis(50)).await;
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
            reply.header("content-type", "application/json")
        }
    })
    .await;
    (origin, open)
}

async fn open(node: &Node) -> Response<Incoming> {
    // On a connection of its own.
    let request = Request::get(node.url("/feed")).body(Empty::<Bytes>::new());
    let response = HttpClient::http1().start(request.expect("a request")).await;
    response.expect("a head")
}

async fn reads(mut response: Response<Incoming>, parts: usize) {
    for _ in 0..parts {
        let frame = within("a part", response.body_mut().frame()).await;
        frame.expect("no end").expect("no error");
    }
}

async fn no_request_waits_for_a_feed(nodes: &[Node]) {
    let leader = open(&nodes[0]).await;
    let begun = Instant::now();
    let waiting = join_all((0..8).map(|i| open(&nodes[i % nodes.len()])));
    let waiting = timeout(MOST, waiting).await.expect("free");
    // They may have waited a little; a client that comes now does not, and would again if the layer forgot.
    let rounds = 10;
    for round in 0..rounds {
        drop(timeout(MOST, open(&nodes[round % nodes.len()])).await.expect("a head"));
    }
    assert!(begun.elapsed() < MOST, "{:?}", begun.elapsed());
    reads(leader, 20).await;
    join_all(waiting.into_iter().map(|response| reads(response, 5))).await;
}

#[tokio::test]
async fn a_feed_keeps_no_request_waiting_on_any_node_and_ends_with_its_clients() {
    let redis = RedisServer::start();
    let (origin, read) = feed().await;
    let url = redis.url();
    let nodes = [
        Node::reverse_proxy(&origin.url(), &["--redis", &url]).await,
        Node::reverse_proxy(&origin.url(), &["--redis", &url]).await,
    ];
    no_request_waits_for_a_feed(&nodes).await;
    eventually("an upstream that no client reads any more", || {
        read.load(Ordering::SeqCst) == 0
    })
    .await;
    assert!(!redis.cli(&["KEYS", "*"]).contains("/lock:"));
}

#[tokio::test]
async fn a_feed_keeps_no_request_waiting_where_there_is_no_redis() {
    let (origin, read) = feed().await;
    let nodes = [Node::reverse_proxy(&origin.url(), &[]).await];
    no_request_waits_for_a_feed(&nodes).await;
    eventually("an upstream that no client reads any more", || {
        read.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn a_feed_whose_only_client_has_left_is_ended_and_its_lock_given_back() {
    let redis = RedisServer::start();
    let (origin, read) = feed().await;
    let node = Node::reverse_proxy(&origin.url(), &["--redis", &redis.url()]).await;
    drop(open(&node).await);
    assert_eq!(read.load(Ordering::SeqCst), 1);
    let left = Instant::now();
    eventually("an upstream that no client reads", || read.load(Ordering::SeqCst) == 0).await;
    eventually("a lock that is given back", || {
        !redis.cli(&["KEYS", "*"]).contains("/lock:")
    })
    .await;
    assert!(left.elapsed() < MOST, "{:?}", left.elapsed());
}

#[tokio::test]
async fn a_slow_page_with_its_length_costs_one_call_on_all_nodes() {
    let redis = RedisServer::start();
    let origin = Origin::start(|_| async {
        let (sender, reply) = Reply::streamed();
        tokio::spawn(async move {
            for _ in 0..6 {
                sleep(Duration::from_millis(500)).await;
                sender.send("a line of it\n").await;
            }
        });
        reply.header("content-length", "78")
    })
    .await;
    let url = redis.url();
    let nodes = [
        Node::reverse_proxy(&origin.url(), &["--redis", &url]).await,
        Node::reverse_proxy(&origin.url(), &["--redis", &url]).await,
    ];
    let urls: Vec<_> = (0..12).map(|i| nodes[i % 2].url("/page")).collect();
    for answer in HttpClient::http1().get_all(&urls).await {
        assert_eq!(answer.expect("an answer").body.len(), 78);
    }
    assert_eq!(origin.calls("/page"), 1);
}
