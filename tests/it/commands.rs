//! What a stampede costs on Redis, in commands that its clients send: a script is one of them, whatever it runs, and the
//! heartbeat of a connection is none.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all, join3};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::middleware::MemoBody;
use tower_memolock::{MemoLockLayer, RedisStore};

use crate::support::{Gate, RedisServer, eventually, within};

/// Where the service waits for the test.
const STAMPEDE: &str = "/stampede";

type Node = BoxCloneService<Request<Full<Bytes>>, Response<MemoBody<Full<Bytes>>>, Infallible>;

/// Nodes of one cluster around one service.
struct Cluster {
    redis: RedisServer,
    nodes: Vec<Node>,
    calls: Arc<AtomicUsize>,
    gate: Gate,
}

impl Cluster {
    /// With connections that are up and scripts that are known.
    async fn start(size: usize) -> Self {
        let (redis, calls, gate) = (RedisServer::start(), Arc::new(AtomicUsize::new(0)), Gate::new());
        let mut nodes = Vec::new();
        for _ in 0..size {
            let store = RedisStore::connect(&redis.url()).await.expect("a store");
            let (calls, gate) = (Arc::clone(&calls), gate.clone());
            let handler = service_fn(move |request: Request<_>| {
                let (calls, gate) = (Arc::clone(&calls), gate.clone());
                async move {
                    if request.uri() == STAMPEDE {
                        calls.fetch_add(1, Ordering::SeqCst);
                        gate.pass().await;
                    }
                    Ok::<_, Infallible>(Response::new(Full::from("one for all")))
                }
            });
            nodes.push(BoxCloneService::new(MemoLockLayer::new(store, "layer").layer(handler)));
        }
        let cluster = Self {
            redis,
            nodes,
            calls,
            gate,
        };
        within("the first answer", all_at_once(&cluster.nodes, "/first", 1)).await;
        eventually("the end of the first commit", || cluster.is_settled(0)).await;
        cluster
    }

    /// Whether no process computes, and so many channels are subscribed to.
    fn is_settled(&self, listening: usize) -> bool {
        let (locks, channels) = (["KEYS", "layer/lock:*"], ["PUBSUB", "CHANNELS", "layer/*"]);
        self.redis.cli(&locks).is_empty() && self.redis.cli(&channels).lines().count() == listening
    }

    /// What is sent while so many requests to each node cost one call, which ends once `is_in` says so. The `first` nodes are
    /// asked before the others. So many channels are subscribed to when all is over.
    async fn stampede(
        &self,
        first: usize,
        each: usize,
        listening: usize,
        is_in: impl Fn(&Self) -> bool,
    ) -> Vec<String> {
        self.redis.reset_commandstats();
        let monitor = self.redis.monitor();
        let (first, others) = self.nodes.split_at(first);
        let called = self.gate.reached() + 1;
        let following = async {
            self.gate.reached_by(called).await;
            all_at_once(others, STAMPEDE, each).await;
        };
        let all_in = async {
            self.gate.reached_by(called).await;
            eventually("all requests", || is_in(self)).await;
            self.gate.let_go(1);
        };
        within(
            "all answers",
            join3(all_at_once(first, STAMPEDE, each), following, all_in),
        )
        .await;
        eventually("the end of the commit", || self.is_settled(listening)).await;
        assert_eq!(self.calls.swap(0, Ordering::SeqCst), 1);
        let own = ["KEYS", "PUBSUB", "INFO", "CONFIG"];
        let sent = monitor.commands().into_iter().filter(|command| {
            let is_heartbeat = command[..] == ["PING"];
            !is_heartbeat && !own.contains(&command[0].as_str())
        });
        sent.map(|command| command.join(" ")).collect()
    }
}

/// Sends so many requests to each node, all of which have begun before any of them hears from Redis.
fn all_at_once(nodes: &[Node], path: &str, each: usize) -> BoxFuture<'static, ()> {
    let requests = nodes.iter().flat_map(|node| std::iter::repeat_n(node, each));
    // In one task, whose first poll is the first of all of them.
    let asked: Vec<_> = requests
        .map(|node| {
            let request = Request::get(path).body(Full::default()).expect("a request");
            let answered = node.clone().oneshot(request);
            async move {
                let Ok(answer) = answered.await;
                let body = answer.into_body().collect().await.expect("a body").to_bytes();
                assert_eq!(body, "one for all");
            }
        })
        .collect();
    Box::pin(async move { drop(join_all(asked).await) })
}

/// Whether two nodes follow: each of them has asked for the lock's end before it listened, and once it did.
fn two_follow(cluster: &Cluster) -> bool {
    cluster.redis.commandstats().get("pttl") == Some(&4)
}

#[tokio::test]
async fn three_hundred_requests_for_one_cold_key_are_at_most_ten_commands() {
    let cluster = Cluster::start(1).await;
    let sent = cluster.stampede(1, 300, 0, |_| true).await;
    assert!(sent.len() <= 10, "{}: {sent:#?}", sent.len());
}

#[tokio::test]
async fn six_hundred_requests_on_three_nodes_are_at_most_forty_commands() {
    let cluster = Cluster::start(3).await;
    let sent = cluster.stampede(3, 200, 0, two_follow).await;
    assert!(sent.len() <= 40, "{}: {sent:#?}", sent.len());
}

#[tokio::test]
async fn waves_of_stampedes_cost_no_subscription_each() {
    let cluster = Cluster::start(3).await;
    let mut subscriptions = Vec::new();
    for wave in 1..=5 {
        // The same node leads each time. What the others listen to lingers from the second time on.
        let listening = if wave == 1 { 0 } else { 2 };
        let sent = cluster.stampede(1, 200, listening, two_follow).await;
        assert!(sent.len() <= 40, "{}: {sent:#?}", sent.len());
        let about = |name: &str| sent.iter().filter(|sent| sent.starts_with(name)).count();
        let fences = about("UNSUBSCRIBE memolock/fence");
        subscriptions.push((about("SUBSCRIBE"), about("UNSUBSCRIBE") - fences, fences));
    }
    let (first, second, later) = ((4, 4, 0), (4, 0, 0), (0, 0, 2));
    assert_eq!(subscriptions, [first, second, later, later, later]);
}
