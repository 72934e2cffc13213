//! Hits in Redis by many tasks at once, beside `GET`s of the same stored bytes on a connection of redis-rs itself.
//!
//! Two workers, 64 keys, one connection, requests made beforehand. Needs `redis-server` on the path. Where tasks and server share
//! the cores, throughput is the inverse of all the CPU that a request takes, so that is told as well; and instructions and
//! allocations of the client, with eight tasks on one thread.

mod support;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, SamplingMode, Throughput};
use http::Request;
use http_body_util::Full;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use support::{BUILT, Costs, KEYS, KIB, KIB_64, RedisServer, Rounds, Table, Target, cpu, get, handler, runtime, serve};
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

/// Tells a copy of this program, which runs under valgrind, which side asks which server, and how often.
const ASK: &str = "REDIS_HIT_ASK";

/// What [`ASK`] says.
async fn ask(what: &str) {
    let [who, url, count] = what.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{what}");
    };
    let count: usize = count.parse().expect("a count");
    let (tag, size) = ("ask", KIB.1);
    let store = RedisStore::connect(url).await.expect("a store");
    let layer = MemoLockLayer::new(store, tag).ttl(TTL);
    let service = layer.layer(handler(size));
    while layer.handle().stats().hits < KEYS as u64 {
        serve(&mut service.clone(), requests(0, KEYS), size).await;
    }
    let mut connection = connect(url).await;
    let keys: Arc<[String]> = stored(&mut connection, tag).await.into();
    // As many whatever is asked for, so that the difference of two runs says nothing of how they are made.
    let mut all = requests(0, Costs::made());
    all.truncate(count);
    let mut tasks = JoinSet::new();
    for first in 0..ASKING {
        let mut own = all.split_off(all.len() - count / ASKING);
        // Each at a key of its own, or they would share look-ups, now more of them and now fewer.
        own.rotate_left(first * KEYS / ASKING);
        let (mut service, connection, keys) = (service.clone(), connection.clone(), Arc::clone(&keys));
        match who {
            "floor" => tasks.spawn(async move { raw(connection, &keys, first, own.len()).await }),
            _ => tasks.spawn(async move {
                serve(&mut service, own, size).await;
            }),
        };
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
}

/// So many tasks ask under valgrind: few enough for an answer to come as soon as most do, slow as all is there.
const ASKING: usize = 8;

/// A connection as redis-rs makes it, without Nagle's delay.
async fn connect(url: &str) -> MultiplexedConnection {
    let info: redis::ConnectionInfo = url.parse().expect("a URL");
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let client = redis::Client::open(info.set_tcp_settings(tcp)).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

/// The names of all that is stored under a tag.
async fn stored(connection: &mut MultiplexedConnection, tag: &str) -> Vec<String> {
    let mut keys = redis::cmd("KEYS");
    keys.arg(format!("{tag}:*"));
    keys.query_async(connection).await.expect("the keys")
}

/// The CPU time of this process and of the server, in microseconds.
#[derive(Clone, Copy, Default)]
struct CpuTime {
    client: f64,
    server: f64,
}

impl CpuTime {
    fn now(server: &RedisServer) -> Self {
        Self {
            client: cpu(std::process::id()),
            server: cpu(server.process()),
        }
    }

    /// Adds what it has been since.
    fn add_since(&mut self, before: Self, server: &RedisServer) {
        let now = Self::now(server);
        self.client += now.client - before.client;
        self.server += now.server - before.server;
    }

    fn shown(self, requests: usize) -> String {
        let each = |micros: f64| micros / requests as f64;
        format!("{:.2} + {:.2} us", each(self.client), each(self.server))
    }
}

fn requests(first: usize, count: usize) -> Vec<Request<Full<Bytes>>> {
    (first..first + count).map(|n| get(n % KEYS)).collect()
}

/// Has both run in turns. Returns how long each took, and the CPU of a request on each side.
fn compare(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    server: &RedisServer,
    operations: usize,
    hits: &dyn Fn() -> u64,
    [floor, ours]: [&dyn Fn() -> Duration; 2],
) -> (Rounds, [String; 2]) {
    let (cpu_floor, cpu_ours) = (Cell::new(CpuTime::default()), Cell::new(CpuTime::default()));
    let accounted = |total: &Cell<CpuTime>, run: &dyn Fn() -> Duration| {
        let (before, mut sum) = (CpuTime::now(server), total.get());
        let time = run();
        sum.add_since(before, server);
        total.set(sum);
        time
    };
    let (mut rounds, mut turns) = (Rounds::default(), 0);
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|iterations| {
            let before = hits();
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let (time_floor, time_ours) =
                    rounds.turns(|| accounted(&cpu_floor, floor), || accounted(&cpu_ours, ours));
                turns += 1;
                rounds.add(operations, time_floor, time_ours);
                total += time_ours;
            }
            assert_eq!(hits() - before, iterations * operations as u64);
            total
        });
    });
    let cpu = [cpu_floor, cpu_ours].map(|cpu| cpu.get().shown(turns * operations));
    (rounds, cpu)
}

fn main() {
    if let Ok(what) = std::env::var(ASK) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.expect("a runtime").block_on(ask(&what));
    }
    let mut criterion = support::criterion();
    let server = RedisServer::start();
    let mut table = Table::new("hit in Redis, per request");
    let mut notes = Vec::new();
    let mut group = criterion.benchmark_group("redis_hit");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for (kind, each) in [(KIB, 32), (KIB_64, 8)] {
        notes.extend(hits(&server, &mut group, &mut table, kind, each));
    }
    group.finish();
    criterion.final_summary();
    notes.extend(costs(&server));
    notes.push(BUILT.to_owned());
    notes.into_iter().for_each(|note| table.note(note));
    table.print();
}

/// Hits of responses of one size, each task `each` of them. Returns what the CPU had to do.
fn hits(
    server: &RedisServer,
    group: &mut BenchmarkGroup<'_, WallTime>,
    table: &mut Table,
    (name, size): (&str, usize),
    each: usize,
) -> Vec<String> {
    let runtime = runtime();
    let tag = name.replace(' ', "");
    let store = runtime.block_on(RedisStore::connect(&server.url())).expect("a store");
    let layer = MemoLockLayer::new(store, tag.as_str()).ttl(TTL);
    let service = layer.layer(handler(size));
    let mut connection = runtime.block_on(server.connect());
    let keys: Arc<[String]> = runtime.block_on(async {
        while layer.handle().stats().hits < KEYS as u64 {
            serve(&mut service.clone(), requests(0, KEYS), size).await;
        }
        stored(&mut connection, &tag).await.into()
    });
    assert_eq!(keys.len(), KEYS);
    let tasks = [(64, if size == KIB.1 { 0.75 } else { 0.85 }), (256, 0.85)];
    let notes = tasks.map(|(tasks, least)| {
        let floor = || {
            race(&runtime, tasks, |task, start| {
                let (connection, keys) = (connection.clone(), Arc::clone(&keys));
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
        let hits = || layer.handle().stats().hits;
        let id = BenchmarkId::new(name, tasks);
        let (rounds, [floor, ours]) = compare(group, id, server, tasks * each, &hits, [&floor, &ours]);
        let row = format!("{name}, {tasks} tasks");
        table.row(&row, &rounds, Target::Throughput(least));
        format!("{row}: CPU a request, client + server: {ours} ours, {floor} floor")
    });
    notes.into()
}

/// Instructions and allocations of a hit, where they can be counted.
fn costs(server: &RedisServer) -> [String; 2] {
    ["ours", "floor"].map(|side| match Costs::of(ASK, &format!("{side} {}", server.url())) {
        Some(costs) if side == "ours" => format!("a hit of 1 KiB, ours: {costs} (<= 13000, <= 4000 bytes)"),
        Some(costs) => format!("a hit of 1 KiB, floor: {costs}"),
        None => "Instructions and allocations are counted where valgrind is installed.".to_owned(),
    })
}
