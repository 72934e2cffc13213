//! A Redis that is gone: no worker can give a response that is waited for.

use std::time::{Duration, Instant};

use super::fixture::{Worker, get, listening, node, nodes, queued, statuses};
use crate::support::RedisServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_dies_while_requests_wait_keeps_none_longer_than_the_timeout() {
    let mut redis = RedisServer::start();
    let nodes = nodes(&redis, "2s", "6s").await;
    let asked = Instant::now();
    let answers = get(&nodes, "/report/42", 30);
    queued(&redis, 1).await;
    listening(&redis, "report/notif:42", 3).await;
    redis.kill();
    let statuses = statuses(answers.await.expect("no panic"));
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert!(
        statuses.iter().all(|status| [202, 503, 504].contains(status)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&202), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_costs_a_report_at_most() {
    let mut redis = RedisServer::start();
    let nodes = nodes(&redis, "2s", "30s").await;
    let answers = get(&nodes, "/report/42", 30);
    queued(&redis, 1).await;
    listening(&redis, "report/notif:42", 3).await;
    redis.restart_empty();
    // The job is gone with the rest. A node that asks Redis in this moment has the handler's word that it cannot help.
    let _worker = Worker::start(&redis, 0).await;
    let statuses = statuses(answers.await.expect("no panic"));
    assert!(
        statuses.iter().all(|status| [200, 503].contains(status)),
        "{statuses:?}"
    );
    let asked = Instant::now();
    loop {
        let answers = get(&nodes, "/report/43", 3).await.expect("no panic");
        // A job whose fate the queue did not tell may be rendered twice.
        let is_report = |body: &[u8]| body.starts_with(b"%PDF-1.7\n% report 43, ");
        if answers.iter().flatten().all(|answer| is_report(&answer.body)) {
            break;
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "the nodes do not recover");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_handler_answers_for_itself_at_once() {
    let mut redis = RedisServer::start();
    let node = node(&redis.url(), "10s", "30s").await;
    redis.kill();
    let asked = Instant::now();
    let statuses = statuses(get(&[node], "/report/42", 10).await.expect("no panic"));
    assert_eq!(statuses, [503; 10]);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}
