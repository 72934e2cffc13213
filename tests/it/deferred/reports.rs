//! Reports that a worker renders: all clients get the one there is.

use std::time::{Duration, Instant};

use super::fixture::{Worker, get, jobs, listening, nodes, one_pdf, post, queued, statuses};
use crate::support::{HttpClient, RedisServer, within};

const SIZE: usize = 300 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_of_three_processes_get_the_one_report() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let mut worker = Worker::start(&redis, 1).await;
    let answers = get(&nodes, "/report/42", 100).await.expect("no panic");
    let pdf = one_pdf(answers);
    assert_eq!(pdf.len(), SIZE);
    assert!(pdf.starts_with(b"%PDF-1.7\n% report 42, "));
    assert_eq!(jobs(&redis), 1);
    worker.says("rendering 42").await;
    worker.says("rendered 42").await;

    // A later client gets it from the store, whichever node it asks.
    assert_eq!(one_pdf(get(&nodes, "/report/42", 6).await.expect("no panic")), pdf);
    assert_eq!(jobs(&redis), 1);
    assert!(redis.keys() == ["report:42"], "{:?}", redis.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_alone_is_a_response_as_well() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let _worker = Worker::start(&redis, 1).await;
    let pdf = one_pdf(get(&nodes, "/body/42", 100).await.expect("no panic"));
    assert_eq!((pdf.len(), jobs(&redis)), (SIZE, 1));
    // To the letter, for every program to read.
    assert_eq!(redis.cli(&["STRLEN", "body:42"]), SIZE.to_string());
    assert_eq!(redis.cli(&["GETRANGE", "body:42", "0", "7"]), "%PDF-1.7");
    assert_eq!(one_pdf(get(&nodes, "/body/42", 6).await.expect("no panic")), pdf);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_tells_what_to_render() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let _worker = Worker::start(&redis, 1).await;
    let (march, april) = (
        post(&nodes, "/report", "March", 50),
        post(&nodes, "/report", "April", 50),
    );
    let (march, april) = (
        one_pdf(march.await.expect("no panic")),
        one_pdf(april.await.expect("no panic")),
    );
    assert!(march.starts_with(b"%PDF-1.7\n% report March, "));
    assert!(april.starts_with(b"%PDF-1.7\n% report April, "));
    assert_eq!(jobs(&redis), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_is_succeeded_after_the_lease() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "2s", "30s").await;
    let mut doomed = Worker::start(&redis, 3600).await;
    let asked = Instant::now();
    let answers = get(&nodes, "/report/7", 100);
    doomed.says("rendering 7").await;
    listening(&redis, "report/notif:7", 3).await;
    doomed.kill().await;
    let mut worker = Worker::start(&redis, 0).await;
    // The client of the dead leader, whose request is gone, gets the report as well.
    let pdf = one_pdf(answers.await.expect("no panic"));
    assert!(pdf.starts_with(b"%PDF-1.7\n% report 7, "));
    assert_eq!(jobs(&redis), 2, "started again, once");
    worker.says("rendering 7").await;
    assert!(asked.elapsed() >= Duration::from_secs(2), "the work had its lease");
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_worker_answers_no_request_waits_for_ever_and_the_handler_is_left_alone() {
    let redis = RedisServer::start();
    // The lease is longer than any client waits.
    let nodes = nodes(&redis, "20s", "3s").await;
    let asked = Instant::now();
    let answers = get(&nodes, "/report/7", 30);
    queued(&redis, 1).await;
    let answers = answers.await.expect("no panic");
    assert!(asked.elapsed() >= Duration::from_secs(3) && asked.elapsed() < Duration::from_secs(15));
    let accepted = answers.iter().flatten().find(|answer| answer.status == 202);
    assert_eq!(accepted.expect("the handler's own").header("retry-after"), ["5"]);
    let expected: Vec<u16> = [202].into_iter().chain([504; 29]).collect();
    assert_eq!(statuses(answers), expected);
    assert_eq!(jobs(&redis), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_started_so_many_times_and_then_waited_for() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "1s", "8s").await;
    let answers = get(&nodes, "/report/7", 30);
    queued(&redis, 3).await;
    let answers = answers.await.expect("no panic");
    // Clients whose requests were with the handler have the handler's word.
    let expected: Vec<u16> = [202; 3].into_iter().chain([504; 27]).collect();
    assert_eq!(statuses(answers), expected);
    assert_eq!(jobs(&redis), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_comes_before_the_worker_is_done_waits_with_the_others() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let first = get(&nodes[..1], "/report/42", 1);
    queued(&redis, 1).await;
    // On nodes that have heard nothing of it.
    let others = get(&nodes[1..], "/report/42", 20);
    listening(&redis, "report/notif:42", 3).await;
    let _worker = Worker::start(&redis, 0).await;
    let pdf = one_pdf(first.await.expect("no panic"));
    assert_eq!(one_pdf(others.await.expect("no panic")), pdf);
    assert_eq!(jobs(&redis), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_while_others_wait_loses_nothing() {
    let redis = RedisServer::start();
    let mut nodes = nodes(&redis, "3s", "30s").await;
    let first = get(&nodes[..1], "/report/42", 1);
    queued(&redis, 1).await;
    let others = get(&nodes[1..], "/report/42", 20);
    listening(&redis, "report/notif:42", 3).await;
    nodes[0].kill().await;
    assert!(first.await.expect("no panic")[0].is_err());
    let _worker = Worker::start(&redis, 0).await;
    let pdf = one_pdf(others.await.expect("no panic"));
    assert!(pdf.starts_with(b"%PDF-1.7\n% report 42, "));
    assert_eq!(jobs(&redis), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_answered_by_what_is_stored_and_defers_nothing() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let head = || http::Request::head(nodes[0].url("/report/42")).body(http_body_util::Empty::new());
    let client = HttpClient::http1();
    let answer = within("an answer", client.send(head().expect("a request"))).await;
    assert_eq!(answer.expect("an answer").status, 503, "it came with no promise");
    assert_eq!(jobs(&redis), 0);
}
