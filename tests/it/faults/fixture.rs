//! What several of these tests need.

use std::time::{Duration, Instant};

use crate::support::{HttpClient, Node, Origin, Reply};

/// How long a node waits for an answer of Redis.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks a node for so many different things, one after the other, and says how long that took.
pub(super) async fn one_after_the_other(node: &Node, origin: &Origin, name: &str, count: usize) -> Duration {
    let client = HttpClient::http1();
    let since = Instant::now();
    for n in 0..count {
        let path = format!("/{name}/{n}");
        let answer = client.get(&node.url(&path)).await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, path.as_str()));
        assert_eq!(origin.calls(&path), 1);
    }
    since.elapsed()
}

/// An origin that answers with the path, the slow paths after a while.
pub(super) async fn echo() -> Origin {
    Origin::start(|call| async move {
        if call.uri.path().starts_with("/slow") {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Reply::fresh(call.uri.path().to_owned())
    })
    .await
}
