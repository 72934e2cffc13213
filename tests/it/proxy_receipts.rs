//! A client that writes through one proxy and reads through another gets what it has written, whatever becomes of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;

use crate::support::{Answer, HttpClient, Node, Origin, RedisServer, Reply, within};

const FIELD: &str = "memolock-receipt";

async fn ask(node: &Node, method: &str, path: &str, receipt: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(node.url(path))
        .header(FIELD, receipt);
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    within("an answer", HttpClient::http1().send(request))
        .await
        .expect("an answer")
}

/// What the origin says is how often it was changed.
async fn origin() -> (Origin, Arc<AtomicUsize>) {
    let version = Arc::new(AtomicUsize::new(0));
    let state = Arc::clone(&version);
    let origin = Origin::start(move |call| {
        let state = Arc::clone(&state);
        async move {
            if call.method == "POST" {
                state.fetch_add(1, Ordering::SeqCst);
            }
            Reply::fresh(state.load(Ordering::SeqCst).to_string())
        }
    })
    .await;
    (origin, version)
}

async fn proxies(origin: &Origin, redis: &RedisServer, more: &[&str]) -> [Node; 2] {
    let url = redis.url();
    let flags: Vec<_> = ["--redis", &url].into_iter().chain(more.iter().copied()).collect();
    [
        Node::reverse_proxy(&origin.url(), &flags).await,
        Node::reverse_proxy(&origin.url(), &flags).await,
    ]
}

#[tokio::test]
async fn a_get_after_a_post_through_another_proxy_shows_the_change_though_messages_are_cut() {
    for near in [false, true] {
        let redis = Arc::new(RedisServer::start());
        let (origin, version) = origin().await;
        let more: &[&str] = if near {
            &["--receipts", "--near", "1000000"]
        } else {
            &["--receipts"]
        };
        let [one, two] = proxies(&origin, &redis, more).await;
        // No subscription lasts.
        let (cutting, cut) = (Arc::new(AtomicUsize::new(1)), Arc::clone(&redis));
        let going_on = Arc::clone(&cutting);
        let cutter = tokio::task::spawn_blocking(move || {
            while going_on.load(Ordering::SeqCst) > 0 {
                cut.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut receipt = String::new();
        for round in 1..=10 {
            // What is about to be old, on both.
            for node in [&one, &two] {
                assert_eq!(
                    ask(node, "GET", "/list", &receipt).await.text(),
                    (round - 1).to_string()
                );
            }
            let posted = ask(&one, "POST", "/item", "").await;
            receipt = posted.header(FIELD).first().expect("a receipt").to_string();
            // Another target: nothing but the receipt makes it out of date.
            for path in ["/list", "/item"] {
                let read = ask(&two, "GET", path, &receipt).await;
                assert_eq!(read.text(), round.to_string(), "{path}, near: {near}");
            }
            assert_eq!(version.load(Ordering::SeqCst), round);
        }
        cutting.store(0, Ordering::SeqCst);
        cutter.await.expect("no panic");
    }
}

#[tokio::test]
async fn receipts_are_given_and_heeded_where_they_are_wanted() {
    let redis = RedisServer::start();
    let (origin, _) = origin().await;
    let [one, two] = proxies(&origin, &redis, &[]).await;
    assert_eq!(ask(&two, "GET", "/list", "").await.text(), "0");
    let posted = ask(&one, "POST", "/item", "").await;
    assert!(posted.header(FIELD).is_empty());
    assert_eq!(ask(&two, "GET", "/list", "1").await.text(), "0");
}
