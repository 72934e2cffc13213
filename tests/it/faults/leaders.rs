//! Leaders that die, linger or stand still, as processes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::Empty;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tower::BoxError;

use super::fixture::SLACK;
use crate::support::cluster::{LEASE, all_served, ask, gated, nodes, nodes_at, one_body, urls, waiting};
use crate::support::{Answer, HttpClient, Node, Origin, RedisServer, Reply, send_get, within};

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
    assert!(taken_over < LEASE + SLACK, "{taken_over:?}");
    assert_eq!(one_body(answers.await.expect("no panic")), "call 2");
    assert_eq!(origin.all_calls(), 2);
    let lost = lost.await.expect("no panic");
    assert!(lost.iter().all(Result::is_err), "answers from a dead node");
}

/// Asks each node `times` times at once. The origin is told which node asks it.
fn ask_each(nodes: &[Node], path: &str, times: usize) -> Vec<JoinHandle<Vec<Result<Answer, BoxError>>>> {
    let asked = nodes.iter().enumerate().map(|(number, node)| {
        let url = node.url(path);
        tokio::spawn(async move {
            let client = HttpClient::http1();
            let requests = (0..times).map(|_| {
                let request = Request::get(&url).header("x-node", number.to_string());
                client.send(request.body(Empty::new()).expect("a request"))
            });
            futures_util::future::join_all(requests).await
        })
    });
    asked.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_leader_that_dies_costs_one_call() {
    const DEATHS: usize = 3;
    let redis = RedisServer::start();
    let (sender, mut leaders) = mpsc::unbounded_channel();
    let origin = Origin::start(move |call| {
        let leader = call.headers["x-node"].to_str().expect("ASCII").to_owned();
        let _ = sender.send(leader.parse::<usize>().expect("a number"));
        async move {
            if call.number <= DEATHS {
                std::future::pending::<()>().await;
            }
            Reply::fresh(format!("call {}", call.number))
        }
    })
    .await;
    let mut nodes = nodes_at(&origin, &redis.url(), DEATHS + 2).await;
    let asked = ask_each(&nodes, "/", 10);
    waiting(&redis, DEATHS + 1).await;
    let mut dead = Vec::new();
    for deaths in 1..=DEATHS {
        let leader = leaders.recv().await.expect("a leader");
        nodes[leader].kill().await;
        dead.push(leader);
        let killed = Instant::now();
        origin.called("/", deaths + 1).await;
        let taken_over = killed.elapsed();
        assert!(taken_over < LEASE + SLACK, "{taken_over:?}");
        assert_eq!(origin.all_calls(), deaths + 1);
    }
    for (number, answers) in asked.into_iter().enumerate() {
        let answers = within("answers", answers).await.expect("no panic");
        if dead.contains(&number) {
            assert!(answers.iter().all(Result::is_err), "answers from a dead node");
        } else {
            assert_eq!(one_body(answers), format!("call {}", DEATHS + 1));
        }
    }
    assert_eq!(origin.all_calls(), DEATHS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computation_outlives_three_leases_and_its_client() {
    let redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let first = send_get(&nodes[0].url("/")).await;
    origin.called("/", 1).await;
    drop(first);
    let answers = ask(urls(&nodes, "/", 60));
    waiting(&redis, 2).await;
    tokio::time::sleep(LEASE * 3).await;
    gate.add_permits(1);
    assert_eq!(one_body(answers.await.expect("no panic")), "call 1");
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_past_its_lease_changes_nothing() {
    let redis = RedisServer::start();
    let gate = Arc::new(Semaphore::new(0));
    let first = Arc::clone(&gate);
    let origin = Origin::start(move |call| {
        let gate = Arc::clone(&first);
        async move {
            if call.number == 1 {
                let _permit = gate.acquire().await;
            }
            Reply::fresh(format!("call {}", call.number))
        }
    })
    .await;
    let nodes = nodes(&origin, &redis).await;
    let slept = ask(urls(&nodes[..1], "/", 5));
    origin.called("/", 1).await;
    let others = ask(urls(&nodes[1..], "/", 20));
    waiting(&redis, 2).await;

    nodes[0].stop();
    assert_eq!(one_body(others.await.expect("no panic")), "call 2");
    gate.add_permits(1);
    nodes[0].cont();
    let slept = within("answers", slept).await.expect("no panic");
    let late = slept.iter().flatten().filter(|answer| answer.body == "call 1").count();
    let newer = slept.iter().flatten().filter(|answer| answer.body == "call 2").count();
    assert_eq!((late, newer), (1, 4), "{slept:?}");
    all_served(slept);

    let now = ask(urls(&nodes, "/", 9));
    assert_eq!(one_body(now.await.expect("no panic")), "call 2");
    assert_eq!(origin.all_calls(), 2);
}
