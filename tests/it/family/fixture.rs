//! A Redis, nodes of ours with a connection each, and a caller that speaks to the same Redis without this crate.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::ToRedisArgs;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;
use tower_memolock::{Error, MemoLock};

use crate::support::{RedisServer, until, within};

/// What ours take a lock for.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// A little more than what is left of a lease, on a slow machine.
pub(super) const SLACK: Duration = Duration::from_secs(2);

/// How many nodes wait, and how many callers.
pub(super) const NODES: usize = 4;
const CALLERS: usize = 20;

pub(super) type Memo = MemoLock;
pub(super) type Answers = Vec<JoinHandle<(Result<Bytes, Error>, Duration)>>;

pub(super) struct World {
    pub(super) redis: RedisServer,
    pub(super) nodes: Vec<Memo>,
    foreign: MultiplexedConnection,
}

impl World {
    pub(super) async fn new() -> Self {
        let redis = RedisServer::start();
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(node(&redis).await);
        }
        let foreign = connect(&redis).await;
        Self { redis, nodes, foreign }
    }

    /// The nodes with other settings.
    pub(super) fn nodes_with(&self, settings: impl Fn(Memo) -> Memo) -> Vec<Memo> {
        self.nodes.iter().cloned().map(settings).collect()
    }

    /// What a foreign member says to Redis.
    pub(super) async fn say<T: redis::FromRedisValue>(
        &self,
        command: &str,
        args: impl IntoIterator<Item = impl ToRedisArgs>,
    ) -> T {
        let mut connection = self.foreign.clone();
        let mut said = redis::cmd(command);
        for arg in args {
            said.arg(arg);
        }
        let answer = within(command, said.query_async(&mut connection)).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Stores a value and cuts all listeners, in one step: a node that looks it up in between listens no more. Returns
    /// how many were cut.
    pub(super) async fn store_and_cut(&self, key: &str, value: &str) -> usize {
        let mut step = redis::pipe();
        step.atomic().cmd("SET").arg(key).arg(value).ignore();
        step.cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub");
        let mut connection = self.foreign.clone();
        let (cut,) = within("a step", step.query_async(&mut connection))
            .await
            .expect("a step");
        cut
    }

    /// What Redis has under a name.
    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.say("GET", [key]).await
    }

    pub(super) async fn is_locked(&self, id: &str) -> bool {
        self.say("EXISTS", [format!("likes/lock:{id}")]).await
    }

    /// What a worker does that keeps to the contract.
    pub(super) async fn resolve(&self, id: &str, value: &str) {
        let () = self.say("SET", [&format!("likes:{id}"), value, "EX", "60"]).await;
        let () = self.say("PUBLISH", [&format!("likes/notif:{id}"), value]).await;
    }

    /// Waits until so many nodes hear what is published. A node is deaf until it is subscribed to both of its channels,
    /// and this is the second.
    pub(super) async fn listening(&self, id: &str, nodes: usize) {
        let channel = format!("likes/ctl:{id}");
        until("nodes that listen", async || {
            let (_, count): (Vec<u8>, usize) = self.say("PUBSUB", ["NUMSUB", &channel]).await;
            count == nodes
        })
        .await;
    }
}

pub(super) async fn node(redis: &RedisServer) -> Memo {
    let store = redis.store().await;
    MemoLock::new(store, "likes")
        .lease(LEASE)
        .wait_timeout(Duration::from_secs(20))
}

async fn connect(redis: &RedisServer) -> MultiplexedConnection {
    let client = redis::Client::open(redis.url()).expect("a url");
    let connected = within("a connection", client.get_multiplexed_async_connection()).await;
    connected.expect("a connection")
}

/// Counts computations, each of which says its number.
#[derive(Clone, Default)]
pub(super) struct Ours(Arc<AtomicUsize>);

impl Ours {
    pub(super) fn runs(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Many callers on all nodes, which compute within some time if it is theirs to do.
    pub(super) fn ask(&self, nodes: &[Memo], id: &'static str, time: Duration) -> Answers {
        let begun = Instant::now();
        let asked = (0..CALLERS).map(|n| {
            let (memo, runs) = (nodes[n % nodes.len()].clone(), Arc::clone(&self.0));
            tokio::spawn(async move {
                let compute = move || async move {
                    let number = runs.fetch_add(1, Ordering::SeqCst) + 1;
                    tokio::time::sleep(time).await;
                    Ok::<_, Infallible>(format!("ours {number}").into())
                };
                let answer = memo.get_or_compute(id, compute).await;
                (answer, begun.elapsed())
            })
        });
        asked.collect()
    }

    /// Many callers on all nodes that have another program do the work.
    pub(super) fn request(&self, nodes: &[Memo], id: &'static str) -> Answers {
        let begun = Instant::now();
        let asked = (0..CALLERS).map(|n| {
            let (memo, runs) = (nodes[n % nodes.len()].clone(), Arc::clone(&self.0));
            tokio::spawn(async move {
                let request = move || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    async { Ok::<_, Infallible>(()) }
                };
                let answer = memo.get_or_request(id, request).await;
                (answer, begun.elapsed())
            })
        });
        asked.collect()
    }
}

/// All answers, and how long the slowest took.
pub(super) async fn all(answers: Answers) -> (Vec<Result<Bytes, Error>>, Duration) {
    let mut all = Vec::new();
    let mut slowest = Duration::ZERO;
    for answer in answers {
        let (answer, took) = within("an answer", answer).await.expect("no panic");
        all.push(answer);
        slowest = slowest.max(took);
    }
    (all, slowest)
}

/// The value that all got, and how long the slowest waited.
pub(super) async fn agreed(answers: Answers) -> (Bytes, Duration) {
    let (answers, slowest) = all(answers).await;
    let values: Vec<Bytes> = answers.into_iter().map(|answer| answer.expect("a value")).collect();
    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    (values[0].clone(), slowest)
}
