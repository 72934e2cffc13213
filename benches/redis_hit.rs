//! Hits in Redis by many tasks at once, beside `GET`s of the same stored bytes on a connection of redis-rs itself.
//!
//! Two workers, 64 keys, one connection, requests made beforehand. Needs `redis-server` on the path.

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, SamplingMode, Throughput};
use http::Request;
use http_body_util::Full;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use support::{KEYS, KIB, KIB_64, RedisServer, Rounds, Table, Target, get, handler, runtime, serve};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tower::Layer;
use tower_memolock::{MemoLockLayer, RedisStore};

const TTL: Duration = Duration::from_secs(3600);

/// Runs `tasks` tasks, and says how long it takes from the moment when all wait at the barrier until the last has
/// ended.
fn race<F>(runtime: &Runtime, tasks: usize, task: impl Fn(usize, Arc<Barrier>) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks + 1));
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for n in 0..tasks {
            all.spawn(task(n, Arc::clone(&start)));
        }
        start.wait().await;
        let started = Instant::now();
        while let Some(ended) = all.join_next().await {
            ended.expect("no panic");
        }
        started.elapsed()
    })
}

/// The raw `GET`s of one task.
async fn raw(mut connection: MultiplexedConnection, keys: &[String], first: usize, count: usize) {
    for n in first..first + count {
        let mut get = Cmd::new();
        get.arg("GET").arg(&keys[n % KEYS]);
        let reply = connection.send_packed_command(&get).await.expect("a reply");
        assert!(matches!(reply, Value::BulkString(_)));
        black_box(reply);
    }
}

fn requests(first: usize, count: usize) -> Vec<Request<Full<Bytes>>> {
    (first..first + count).map(|n| get(n % KEYS)).collect()
}

fn main() {
    let mut criterion = support::criterion();
    let server = RedisServer::start();
    let runtime = runtime();
    let mut table = Table::new("hit in Redis, per request");
    let mut group = criterion.benchmark_group("redis_hit");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);

    for ((name, size), each) in [(KIB, 32), (KIB_64, 8)] {
        let tag = name.replace(' ', "");
        let store = runtime.block_on(RedisStore::connect(&server.url())).expect("a store");
        let layer = MemoLockLayer::new(store, tag.as_str()).ttl(TTL);
        let service = layer.layer(handler(size));
        let mut connection = runtime.block_on(server.connect());
        let stored: Arc<[String]> = runtime.block_on(async {
            while layer.stats().hits < KEYS as u64 {
                serve(&mut service.clone(), requests(0, KEYS), size).await;
            }
            let mut keys = redis::cmd("KEYS");
            keys.arg(format!("{tag}:*"));
            let keys: Vec<String> = keys.query_async(&mut connection).await.expect("the keys");
            keys.into()
        });
        assert_eq!(stored.len(), KEYS);

        for tasks in [64, 256] {
            let mut rounds = Rounds::default();
            let operations = tasks * each;
            group.throughput(Throughput::Elements(operations as u64));
            group.bench_function(BenchmarkId::new(name, tasks), |bencher| {
                bencher.iter_custom(|iterations| {
                    let floor = || {
                        race(&runtime, tasks, |task, start| {
                            let (connection, keys) = (connection.clone(), Arc::clone(&stored));
                            async move {
                                start.wait().await;
                                raw(connection, &keys, task, each).await;
                            }
                        })
                    };
                    let ours = || {
                        race(&runtime, tasks, |task, start| {
                            let mut service = service.clone();
                            async move {
                                // Made on the thread that frees them, most likely.
                                let requests = requests(task, each);
                                start.wait().await;
                                serve(&mut service, requests, size).await;
                            }
                        })
                    };
                    let before = layer.stats();
                    let mut total = Duration::ZERO;
                    for _ in 0..iterations {
                        let (time_floor, time_ours) = rounds.turns(floor, ours);
                        rounds.add(operations, time_floor, time_ours);
                        total += time_ours;
                    }
                    let after = layer.stats();
                    assert_eq!(after.hits - before.hits, iterations * operations as u64);
                    total
                });
            });
            let row = format!("{name}, {tasks} tasks");
            table.row(&row, &rounds, Target::Throughput(0.85));
        }
    }
    group.finish();
    criterion.final_summary();
    table.print();
}
