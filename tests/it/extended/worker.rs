//! Workers that do not come to an end.

use super::fixture::{Demo, Message, promise};
use crate::support::{Node, eventually, signal, within};

/// Waits for the worker that stems `word`.
pub(super) async fn pid(demo: &Demo, word: &str) -> u32 {
    let end = format!(" stems {word:?}");
    eventually("a worker", || demo.begun("process", &end) == 1).await;
    let written: String = demo.nodes.iter().map(Node::stdout).collect();
    let mut pids = written.lines().filter_map(|line| line.strip_suffix(&end));
    let pid = pids.next().and_then(|line| line.strip_prefix("process "));
    pid.and_then(|pid| pid.parse().ok()).expect("a process")
}

pub(super) async fn a_worker_that_is_killed_is_succeeded(demo: &Demo) -> Vec<Message> {
    let unlucky = demo.ask(0, "/ext/stemmer/jumping");
    signal(pid(demo, "jumping").await, "KILL");
    // No node knows, until the lease of fifteen seconds ends.
    let unlucky = within("an answer", unlucky).await.expect("no panic");
    assert_eq!(unlucky.status, 504);
    assert!(unlucky.text().contains("wait timeout"), "{}", unlucky.text());
    demo.ask_all("/ext/stemmer/jumping", 30).agree_on("jump").await;
    assert_eq!(demo.begun("process", "stems \"jumping\""), 2);
    eventually("a word about it", || {
        let mut words = demo.nodes.iter().map(Node::stderr);
        words.any(|words| words.contains("did not come to a stem: signal: 9"))
    })
    .await;
    promise("ext", "jumping", "jump")
}
