//! `reverse_proxy` with more requests than it lets pass at a time, and with keys that are asked for once.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Gate, HttpClient, Node, Origin, RedisServer, Reply, send_get, within};

/// How many calls an origin has at this moment, and how many at most.
#[derive(Clone)]
struct Inside(Arc<watch::Sender<(usize, usize)>>);

impl Inside {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new((0, 0))))
    }

    fn enter(&self) -> impl Drop + use<> {
        struct Left(Inside);
        impl Drop for Left {
            fn drop(&mut self) {
                self.0.0.send_modify(|(inside, _)| *inside -= 1);
            }
        }
        self.0.send_modify(|(inside, most)| {
            *inside += 1;
            *most = (*most).max(*inside);
        });
        Left(self.clone())
    }

    fn most(&self) -> usize {
        self.0.borrow().1
    }
}

#[tokio::test]
async fn beyond_the_limit_requests_reach_the_upstream_a_few_at_a_time() {
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let (gate, inside) = (Gate::new(), Inside::new());
        let origin = {
            let (gate, inside) = (gate.clone(), inside.clone());
            Origin::start(move |call| {
                let (gate, inside) = (gate.clone(), inside.clone());
                async move {
                    let _inside = inside.enter();
                    gate.pass().await;
                    // For its own client, and not remembered.
                    let reply = Reply::ok(call.number.to_string()).status(404);
                    reply.header("cache-control", "private")
                }
            })
            .await
        };
        let node = Node::reverse_proxy(&origin.url(), &["--max-waiters", "1", "--queue", "3"]).await;
        let url = node.url("/");
        let mut asked = JoinSet::new();
        for _ in 0..100 {
            let (client, url) = (client.clone(), url.clone());
            asked.spawn(async move { client.get(&url).await.expect("an answer").status });
        }
        // The leader, and three requests whose turn it is.
        gate.reached_by(4).await;
        while !asked.is_empty() {
            gate.let_go(1);
            let status = within("an answer", asked.join_next()).await.expect("one of them");
            assert_eq!(status.expect("no panic"), 404);
        }
        // The caller that waited as it may goes its own way.
        assert!(inside.most() <= 5, "{} at once", inside.most());
    }
}

#[tokio::test]
async fn clients_that_hang_up_in_line_are_not_passed_on() {
    let gate = Gate::new();
    let origin = {
        let gate = gate.clone();
        Origin::start(move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Reply::ok("").header("cache-control", "private")
            }
        })
        .await
    };
    let node = Node::reverse_proxy(&origin.url(), &["--max-waiters", "1", "--queue", "1"]).await;
    let url = node.url("/");
    let leader = send_get(&url).await;
    gate.reached_by(1).await;
    let mut left = Vec::new();
    for _ in 0..40 {
        left.push(send_get(&url).await);
    }
    gate.reached_by(2).await;
    drop(left);
    let client = HttpClient::http1();
    let last = tokio::spawn(async move { client.get(&url).await.expect("an answer").status });
    gate.open();
    assert_eq!(within("an answer", last).await.expect("no panic"), 200);
    drop(leader);
    // Some may have had a turn before the proxy saw that they had gone.
    assert!(origin.all_calls() <= 20, "{} calls", origin.all_calls());
}

#[tokio::test]
async fn keys_that_are_asked_for_once_are_not_in_redis() {
    let redis = RedisServer::start();
    let origin = Origin::start(|call| async move { Reply::fresh(call.number.to_string()) }).await;
    let url = redis.url();
    let node = Node::reverse_proxy(&origin.url(), &["--redis", &url, "--store-after", "2"]).await;
    let client = HttpClient::http1();
    let get = async |path: &str| client.get(&node.url(path)).await.expect("an answer").text().to_owned();
    for key in 0..50 {
        assert_eq!(get(&format!("/{key}")).await, "1");
    }
    assert_eq!(get("/0").await, "2");
    // Once it is there, every earlier one would be.
    assert_eq!(get("/0").await, "2");
    let keys = redis.keys();
    assert_eq!(keys.len(), 1, "{keys:?}");
}
