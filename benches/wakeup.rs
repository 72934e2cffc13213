//! How soon a follower on another node has what a leader committed, beside a message of the same bytes from one of
//! redis-rs' connections to another.
//!
//! The clock starts when the computation returns and stops when the follower's call does; that includes the script
//! that commits. Both nodes are stores of their own, in one process. Needs `redis-server` on the path.

mod support;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, SamplingMode};
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use support::{KIB, KIB_64, RedisServer, Rounds, Table, Target, runtime};
use tokio::sync::oneshot;
use tower_memolock::{MemoLock, RedisStore};

const CHANNEL: &str = "wakeup";

/// How long all waiters rest before a measurement.
const IDLE: Duration = Duration::from_millis(2);

struct Nodes {
    leader: MemoLock,
    follower: MemoLock,
    connection: MultiplexedConnection,
    subscription: PubSub,
}

impl Nodes {
    async fn connect(server: &RedisServer) -> Self {
        let node = async || {
            let store = RedisStore::connect(&server.url()).await.expect("a store");
            MemoLock::new(store, "wakeup").ttl(Duration::from_secs(10))
        };
        let mut subscription = server.client().get_async_pubsub().await.expect("a connection");
        subscription.subscribe(CHANNEL).await.expect("a subscription");
        Self {
            leader: node().await,
            follower: node().await,
            connection: server.connect().await,
            subscription,
        }
    }

    async fn message(&mut self, payload: &Bytes) -> Duration {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(CHANNEL).arg(&payload[..]);
        let mut connection = self.connection.clone();
        // Both begin when everything is idle.
        tokio::time::sleep(IDLE).await;
        let start = Instant::now();
        let publish = tokio::spawn(async move { connection.send_packed_command(&publish).await.map(drop) });
        let message = self.subscription.on_message().next().await.expect("a message");
        let time = start.elapsed();
        assert_eq!(message.get_payload_bytes(), payload);
        publish.await.expect("no panic").expect("a reply");
        time
    }

    async fn promise(&mut self, id: usize, payload: &Bytes) -> Duration {
        let key = format!("{}-{id}", payload.len());
        let (started, leading) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let lead = {
            let (node, key, payload) = (self.leader.clone(), key.clone(), payload.clone());
            tokio::spawn(async move {
                let (returned, start) = oneshot::channel();
                let compute = || async move {
                    started.send(()).expect("a bench that waits");
                    finished.await.expect("a bench that goes on");
                    returned.send(Instant::now()).expect("a bench that waits");
                    Ok::<_, Infallible>(payload)
                };
                node.get_or_compute(key, compute).await.expect("a value");
                start.await.expect("a computation")
            })
        };
        leading.await.expect("a leader");
        let follow = {
            let (node, key) = (self.follower.clone(), key.clone());
            tokio::spawn(async move {
                let never = || async { unreachable!("there is a leader") };
                let value = node.get_or_compute::<_, _, _, Infallible>(key, never).await;
                (value.expect("a value"), Instant::now())
            })
        };
        self.subscribed(&key).await;
        finish.send(()).expect("a leader");
        let (value, end) = follow.await.expect("no panic");
        assert_eq!(value, payload);
        end - lead.await.expect("no panic")
    }

    /// Waits until the follower is subscribed and has read the value once more.
    async fn subscribed(&mut self, key: &str) {
        let mut numsub = redis::cmd("PUBSUB");
        numsub.arg("NUMSUB").arg(format!("wakeup/notif:{key}"));
        loop {
            let (_, count): (String, usize) = numsub.query_async(&mut self.connection).await.expect("a count");
            tokio::time::sleep(IDLE).await;
            if count > 0 {
                return;
            }
        }
    }
}

fn main() {
    let mut criterion = support::criterion();
    let server = RedisServer::start();
    let runtime = runtime();
    let mut nodes = runtime.block_on(Nodes::connect(&server));
    let mut table = Table::new("wake-up elsewhere");
    let mut group = criterion.benchmark_group("wakeup");
    group.sampling_mode(SamplingMode::Flat).sample_size(50);

    let mut id = 0;
    for (name, size) in [KIB, KIB_64] {
        let payload = Bytes::from(vec![b'x'; size]);
        let mut rounds = Rounds::default();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    id += 1;
                    let time_floor = runtime.block_on(nodes.message(&payload));
                    let time_ours = runtime.block_on(nodes.promise(id, &payload));
                    rounds.add(1, time_floor, time_ours);
                    total += time_ours;
                }
                total
            });
        });
        table.row(name, &rounds, Target::Times(2.0));
    }
    group.finish();
    criterion.final_summary();
    table.print();
}
