//! Three `reverse_proxy` processes over one Redis, as their clients and their upstream see them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::BoxError;

use crate::support::{Answer, HttpClient, Node, Origin, RedisServer, Reply, eventually, hang_up_after_request};

const LEASE: Duration = Duration::from_secs(2);

async fn nodes(origin: &Origin, redis: &RedisServer) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let flags = ["--redis", &redis.url(), "--lease", "2s"];
        nodes.push(Node::reverse_proxy(&origin.url(), &flags).await);
    }
    nodes
}

/// `count` URLs of a path, on all nodes in turn.
fn urls(nodes: &[Node], path: &str, count: usize) -> Vec<String> {
    let nodes = nodes.iter().cycle().take(count);
    nodes.map(|node| node.url(path)).collect()
}

/// Asks for all URLs at the same time, in the background.
fn ask(urls: Vec<String>) -> JoinHandle<Vec<Result<Answer, BoxError>>> {
    tokio::spawn(async move { HttpClient::http1().get_all(&urls).await })
}

/// Asks for all URLs at the same time, and checks that all get 200 and one body.
async fn agree(urls: Vec<String>) -> Bytes {
    one_body(ask(urls).await.expect("no panic"))
}

fn one_body(answers: Vec<Result<Answer, BoxError>>) -> Bytes {
    let mut bodies = HashSet::new();
    for answer in answers {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200);
        bodies.insert(answer.body);
    }
    assert_eq!(bodies.len(), 1, "so many different bodies");
    bodies.into_iter().next().unwrap_or_default()
}

/// Checks that all get 200.
fn all_served(answers: Vec<Result<Answer, BoxError>>) {
    for answer in answers {
        assert_eq!(answer.expect("an answer").status, 200);
    }
}

/// Waits until every promise that is waited for has at least `processes` processes waiting.
async fn waiting(redis: &RedisServer, processes: usize) {
    eventually("waiting processes", || {
        let channels = redis.cli(&["PUBSUB", "CHANNELS", "proxy/notif:*"]);
        !channels.is_empty()
            && channels.lines().all(|channel| {
                let subscribers = redis.cli(&["PUBSUB", "NUMSUB", channel]);
                let count = subscribers.lines().last().and_then(|n| n.parse().ok());
                count.is_some_and(|count: usize| count >= processes)
            })
    })
    .await;
}

/// An origin whose calls all wait for a permit, and then say which one they are.
async fn gated() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let origin = Origin::start(move |call| {
        let gate = Arc::clone(&closed);
        async move {
            let _permit = gate.acquire().await;
            Reply::fresh(format!("call {}", call.number))
        }
    })
    .await;
    (origin, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_hundred_concurrent_requests_are_one_call() {
    let redis = RedisServer::start();
    let origin = Origin::start(|call| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Reply::fresh(format!("call {}", call.number))
    })
    .await;
    let nodes = nodes(&origin, &redis).await;
    assert_eq!(agree(urls(&nodes, "/", 900)).await, "call 1");
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_keys_are_fifty_calls() {
    let redis = RedisServer::start();
    let origin = Origin::start(|call| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Reply::fresh(call.uri.to_string())
    })
    .await;
    let nodes = nodes(&origin, &redis).await;
    let paths: Vec<String> = (0..50).map(|n| format!("/key?n={n}")).collect();
    let asked: Vec<_> = paths.iter().map(|path| ask(urls(&nodes, path, 12))).collect();
    for (path, answers) in paths.iter().zip(asked) {
        assert_eq!(one_body(answers.await.expect("no panic")), path);
    }
    assert_eq!(origin.all_calls(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computation_faster_than_a_round_trip_is_one_call() {
    let redis = RedisServer::start();
    let origin = Origin::start(|call| async move { Reply::fresh(call.uri.to_string()) }).await;
    let nodes = nodes(&origin, &redis).await;
    for n in 0..30 {
        let path = format!("/{n}");
        assert_eq!(agree(urls(&nodes, &path, 60)).await, path);
        assert_eq!(origin.calls(&path), 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_reaches_everybody_whole() {
    let content: Bytes = (0..900_000_u32).map(|n| (n % 251) as u8).collect();
    let redis = RedisServer::start();
    let sent = content.clone();
    let origin = Origin::start(move |_| {
        let content = sent.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Reply::fresh(content)
        }
    })
    .await;
    let nodes = nodes(&origin, &redis).await;
    for _ in ["collapsed", "stored"] {
        let got = agree(urls(&nodes, "/", 60)).await;
        assert!(got == content, "{} bytes", got.len());
    }
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_replays_status_fields_and_trailers() {
    let redis = RedisServer::start();
    let origin = Origin::start(|_| async {
        Reply::fresh("content")
            .status(203)
            .header("x-many", "1")
            .header("x-many", "2")
            .trailer("x-sum", "7")
    })
    .await;
    let nodes = nodes(&origin, &redis).await;
    for url in urls(&nodes, "/", 6) {
        let request = Request::get(url).header("te", "trailers");
        let request = request.body(Empty::new()).expect("a request");
        let answer = HttpClient::http2().send(request).await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (203, "content"));
        assert_eq!(answer.header("x-many"), ["1", "2"]);
        assert_eq!(answer.trailers.get("x-sum").expect("a trailer"), "7");
    }
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_process_collapses_alone() {
    let (origin, gate) = gated().await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    let answers = ask(urls(std::slice::from_ref(&node), "/", 100));
    origin.called("/", 1).await;
    gate.add_permits(1);
    assert_eq!(one_body(answers.await.expect("no panic")), "call 1");
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_succeeded_by_one_follower_within_the_lease() {
    let redis = RedisServer::start();
    let origin = Origin::start(|call| async move {
        if call.number == 1 {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        Reply::fresh(format!("call {}", call.number))
    })
    .await;
    let mut nodes = nodes(&origin, &redis).await;
    let lost = ask(urls(&nodes[..1], "/", 5));
    origin.called("/", 1).await;
    let answers = ask(urls(&nodes[1..], "/", 40));
    waiting(&redis, 2).await;

    nodes[0].kill().await;
    let killed = Instant::now();
    origin.called("/", 2).await;
    let taken_over = killed.elapsed();
    assert!(taken_over < LEASE + Duration::from_secs(1), "{taken_over:?}");
    assert_eq!(one_body(answers.await.expect("no panic")), "call 2");
    assert_eq!(origin.all_calls(), 2);
    let lost = lost.await.expect("no panic");
    assert!(lost.iter().all(Result::is_err), "answers from a dead node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computation_outlives_its_lease_and_its_client() {
    let redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let first = hang_up_after_request(&nodes[0].url("/")).await;
    origin.called("/", 1).await;
    drop(first);
    let answers = ask(urls(&nodes, "/", 60));
    waiting(&redis, 2).await;
    tokio::time::sleep(LEASE + LEASE / 2).await;
    gate.add_permits(1);
    assert_eq!(one_body(answers.await.expect("no panic")), "call 1");
    assert_eq!(origin.all_calls(), 1);
}

/// Waits until the nodes share again, and checks that they then do.
async fn share_again(origin: &Origin, nodes: &[Node]) {
    let mut attempt = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let path = format!("/again/{attempt}");
        all_served(ask(urls(nodes, &path, 3)).await.expect("no panic"));
        if origin.calls(&path) == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the nodes do not share again");
        tokio::time::sleep(Duration::from_millis(50)).await;
        attempt += 1;
    }
    for n in 0..5 {
        let path = format!("/healed/{n}");
        agree(urls(nodes, &path, 60)).await;
        assert_eq!(origin.calls(&path), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_down_from_the_start_a_process_makes_one_call() {
    let mut redis = RedisServer::start();
    redis.kill();
    let origin = Origin::start(|call| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Reply::fresh(call.uri.to_string())
    })
    .await;
    let nodes = nodes(&origin, &redis).await;
    for path in ["/first", "/second"] {
        assert_eq!(agree(urls(&nodes, path, 90)).await, path);
        assert!(origin.calls(path) <= 3, "{} calls", origin.calls(path));
    }
    redis.restart_empty();
    share_again(&origin, &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_going_down_midway_a_process_makes_one_call() {
    let mut redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let leading = ask(urls(&nodes[..1], "/", 30));
    origin.called("/", 1).await;
    let following = ask(urls(&nodes[1..], "/", 60));
    waiting(&redis, 2).await;

    redis.kill();
    gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(one_body(leading.await.expect("no panic")), "call 1");
    all_served(following.await.expect("no panic"));
    assert!(origin.calls("/") <= 3, "{} calls", origin.calls("/"));

    redis.restart_empty();
    share_again(&origin, &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_is_one_command_and_a_miss_is_three_round_trips() {
    let redis = RedisServer::start();
    let origin = Origin::start(|_| async { Reply::fresh("x") }).await;
    let nodes = nodes(&origin, &redis).await;
    // The first commit of all finds its script unknown and sends it whole.
    let committed = || redis.cli(&["KEYS", "proxy/lock:*"]).is_empty();
    agree(urls(&nodes, "/first", 1)).await;
    eventually("the end of the first commit", committed).await;

    let monitor = redis.monitor();
    agree(urls(&nodes[..1], "/", 1)).await;
    eventually("the end of the commit", committed).await;
    assert_eq!(names(monitor.commands()), ["GET", "SET", "GET", "PTTL", "EVALSHA"]);

    let client = HttpClient::http1();
    for node in &nodes {
        let monitor = redis.monitor();
        client.get(&node.url("/")).await.expect("an answer");
        assert_eq!(names(monitor.commands()), ["GET"]);
    }

    redis.reset_commandstats();
    for url in urls(&nodes, "/", 90) {
        client.get(&url).await.expect("an answer");
    }
    let stats = redis.commandstats();
    assert_eq!(stats.get("get"), Some(&90), "{stats:?}");
    for unused in ["subscribe", "psubscribe", "publish", "set", "evalsha", "eval"] {
        assert_eq!(stats.get(unused), None, "{stats:?}");
    }
    assert_eq!(origin.calls("/"), 1);
}

/// The names of commands, without those that keep a connection alive and those of the tests.
fn names(commands: Vec<Vec<String>>) -> Vec<String> {
    let names = commands.into_iter().map(|mut command| command.remove(0));
    names
        .filter(|name| !["PING", "KEYS"].contains(&name.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_nothing_subscribes_to_nothing() {
    let redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let answers = ask(urls(&nodes[..2], "/", 40));
    let channels = || redis.cli(&["PUBSUB", "CHANNELS", "*"]);
    let both = || channels().lines().count() == 2;
    eventually("the promise and its control channel", both).await;
    let channels = channels();
    for channel in channels.lines() {
        let subscribers = redis.cli(&["PUBSUB", "NUMSUB", channel]);
        assert!(subscribers.ends_with("\n1"), "one follower a cluster: {subscribers}");
    }
    gate.add_permits(1);
    one_body(answers.await.expect("no panic"));
    let silence = || redis.cli(&["PUBSUB", "CHANNELS", "*"]).is_empty();
    eventually("an end to listening", silence).await;
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_restarts_empty_midway_costs_no_process_a_second_call() {
    let mut redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let asked = ask(urls(&nodes, "/", 30));
    origin.called("/", 1).await;
    waiting(&redis, 2).await;
    redis.kill();
    redis.restart_empty();
    // Time for every process to notice: those that waited, and the leader at its next heartbeat.
    tokio::time::sleep(LEASE).await;
    gate.add_permits(Semaphore::MAX_PERMITS);
    all_served(asked.await.expect("no panic"));
    assert!(origin.all_calls() <= 3, "{} calls", origin.all_calls());
    share_again(&origin, &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_own_process_does_not_compute_again_because_redis_restarted_empty() {
    let mut redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let asked = ask(urls(&nodes[..1], "/", 30));
    origin.called("/", 1).await;
    redis.restart_empty();
    // Several heartbeats, each of which finds the lock gone: a second call would come now.
    tokio::time::sleep(LEASE).await;
    gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(one_body(asked.await.expect("no panic")), "call 1");
    assert_eq!(origin.all_calls(), 1);
}
