//! What is computed, and by which program.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tower_memolock::{Error, Lease, LeaseError, MemoLock, RedisStore};

// A `println!` that does not panic when standard output is closed.
use super::worker;
use support::println;

/// How long a client waits for what another node computes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client waits for the joke.
const PATIENCE_WITH_JOKES: Duration = Duration::from_secs(70);

/// All that is shared with other nodes. A clone is another handle on the same.
#[derive(Clone)]
pub(crate) struct Resources {
    queries: MemoLock,
    reports: MemoLock,
    promises: MemoLock,
    redis: Arc<str>,
}

impl Resources {
    /// `redis` is the URL of the store, for workers.
    pub(crate) fn new(store: &RedisStore, redis: &str) -> Self {
        let memo = |tag| MemoLock::new(store.clone(), tag).wait_timeout(PATIENCE);
        let kept = Duration::from_secs(5);
        Self {
            queries: memo("query").ttl(kept),
            reports: memo("report").ttl(kept).lease(Duration::from_secs(5)),
            promises: memo("ext").lease(Duration::from_secs(15)),
            redis: redis.into(),
        }
    }

    /// A computation like any other.
    pub(crate) async fn query(&self, id: String) -> Result<Bytes, Error> {
        let name = id.clone();
        let query = || async move {
            println!("query {name:?}");
            sleep(Duration::from_secs(2)).await;
            Ok::<_, Infallible>(format!("<query set result {name}>").into())
        };
        self.queries.get_or_compute(id, query).await
    }

    /// A computation that asks for more time before its lease has ended.
    pub(crate) async fn report(&self, id: String) -> Result<Bytes, Error> {
        let name = id.clone();
        let render = || async move {
            let lease = Lease::take().await;
            println!("report {name:?}");
            sleep(Duration::from_secs(2)).await;
            // It turns out to be a long one.
            lease.extend(Duration::from_secs(20)).await?;
            sleep(Duration::from_secs(6)).await;
            Ok::<_, LeaseError>(format!("https://somewhere/{name}-report.pdf").into())
        };
        self.reports.get_or_compute(id, render).await
    }

    /// A computation that asks for more time after its lease has ended.
    pub(crate) async fn late_report(&self, id: String) -> Result<Bytes, Error> {
        let name = id.clone();
        let render = || async move {
            let lease = Lease::take().await;
            println!("late report {name:?}");
            sleep(Duration::from_secs(6)).await;
            lease.extend(Duration::from_secs(20)).await?;
            Ok::<_, LeaseError>(format!("https://somewhere/{name}-report.pdf").into())
        };
        self.reports.get_or_compute(id, render).await
    }

    /// A promise that a worker resolves. A worker that dies is succeeded by another once the lease has ended.
    pub(crate) async fn stem(&self, word: String) -> Result<Bytes, Error> {
        let (name, redis) = (word.clone(), Arc::clone(&self.redis));
        let start = move || ready(worker::start(&name, &redis));
        self.promises.get_or_request(word, start).await
    }

    /// A promise that a program out there resolves, or none does.
    pub(crate) async fn joke(&self) -> Result<Bytes, Error> {
        let jokes = self.promises.clone().wait_timeout(PATIENCE_WITH_JOKES);
        jokes.get_or_request("joke", || async { Ok::<_, Infallible>(()) }).await
    }

    pub(crate) async fn shutdown(&self, grace: Duration) {
        tokio::join!(
            self.queries.shutdown(grace),
            self.reports.shutdown(grace),
            self.promises.shutdown(grace)
        );
    }
}
