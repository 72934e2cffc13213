//! Three `reverse_proxy` processes over one Redis, as their clients and their upstream see them.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;

use crate::support::cluster::{agree, ask, gated, nodes, one_body, urls};
use crate::support::{HttpClient, Node, Origin, RedisServer, Reply, eventually};

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
async fn a_long_body_reaches_all_clients_whole() {
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
    assert_eq!(names(monitor.commands()), ["GET", "SET", "GET", "ZREVRANGE", "EVALSHA"]);

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
