//! How the demo starts and ends.

use super::fixture::Demo;
use crate::support::{HttpClient, Node, eventually, run_example, within};

/// A port on which nothing listens.
const NO_REDIS: &str = "redis://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_asked_to_stop_finishes_what_it_computes_for_all_who_wait() {
    let mut demo = Demo::start(2).await;
    let own = demo.ask(0, "/query/simple/42");
    eventually("a query", || demo.begun("query", "\"42\"") == 1).await;
    let other = demo.ask(1, "/query/simple/42");
    demo.listening("query", "42", 1).await;
    demo.nodes[0].signal("TERM");
    for answer in [own, other] {
        let answer = within("an answer", answer).await.expect("no panic");
        assert_eq!((answer.status, answer.text()), (200, "<query set result 42>"));
    }
    assert_eq!(demo.begun("query", "\"42\""), 1);
    assert_eq!(demo.nodes[0].ended().await.code(), Some(0));
    assert_eq!(demo.nodes[0].stderr(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_redis_that_it_was_given_a_node_computes_alone_and_waits_in_vain() {
    let node = Node::start("extended", &["--listen", "127.0.0.1:0", "--redis", NO_REDIS]).await;
    let client = HttpClient::http1();
    let urls = vec![node.url("/query/simple/42"); 30];
    for answer in client.get_all(&urls).await {
        assert_eq!(answer.expect("an answer").text(), "<query set result 42>");
    }
    assert_eq!(node.stdout(), "query \"42\"\n");
    assert!(node.stderr().contains("WARN"), "{}", node.stderr());
    // No worker can resolve it there.
    let answer = client.get(&node.url("/ext/stemmer/running")).await.expect("an answer");
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(node.stdout().lines().count(), 2, "{}", node.stdout());
}

#[tokio::test]
async fn a_worker_that_cannot_tell_of_its_work_fails_and_says_why() {
    let worker = run_example("extended", &["--worker", "running", "--redis", NO_REDIS]).await;
    assert_eq!(worker.status.code(), Some(1));
    let stderr = String::from_utf8(worker.stderr).expect("UTF-8");
    assert!(stderr.starts_with("error: ") && stderr.contains("refused"), "{stderr}");
}
