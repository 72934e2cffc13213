//! Many followers of one key in one process: what each of them costs, in time and in memory.
//!
//! A task a request, on one thread; all wait before the handler goes on. The floor collapses them with `moka`'s
//! `get_with`. Time is what each further follower adds to a leader alone, from its start to its answer. Memory is what
//! 100,000 of them add to the resident set of a process that does nothing else, requests and tasks included.
//!
//! The memory of a thousand tasks is more than an allocator keeps at hand and more than a processor caches, so from
//! there on the floor grows too; ours must not grow faster.

mod support;

use std::convert::Infallible;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, SamplingMode, Throughput};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use support::{Collapse, KIB, Rounds, Table, Target, get, response};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::{Layer, Service, service_fn};
use tower_memolock::{Limits, MemoLockLayer, MemoryStore};

/// The first argument of a process that measures memory, and the second where it is the floor's.
const MEMORY: &str = "followers-memory";
const FLOOR: &str = "floor";

const MANY: usize = 10_000;

/// How many wait while memory is measured: more than may, unless told otherwise.
const CROWD: usize = 100_000;

type Body = Full<Bytes>;

/// A handler that waits at a gate.
fn gated(
    gate: &Arc<Semaphore>,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ 'static {
    let gate = Arc::clone(gate);
    let body = Bytes::from(vec![b'x'; KIB.1]);
    service_fn(move |_| {
        let (gate, response) = (Arc::clone(&gate), response(body.clone()));
        async move {
            gate.acquire().await.expect("a gate").forget();
            Ok(response)
        }
    })
}

fn floor(gate: &Arc<Semaphore>) -> Crowd<impl Client> {
    Crowd::new(gate, Collapse::new(gated(gate)))
}

fn ours(gate: &Arc<Semaphore>) -> Crowd<impl Client> {
    let layer = MemoLockLayer::new(MemoryStore::new(), "bench")
        .ttl(Duration::from_secs(3600))
        .limits(Limits::new().max_waiters(CROWD));
    Crowd::new(gate, layer.layer(gated(gate)))
}

/// A service that many ask at once.
trait Client: Clone + Send + 'static {
    fn ask(&mut self, request: Request<Body>) -> impl Future<Output = ()> + Send;
}

impl<S, B> Client for S
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: std::fmt::Debug,
{
    async fn ask(&mut self, request: Request<Body>) {
        // Frame by frame, as a server does: what a client gathers is not the layer's.
        let response = self.call(request).await.expect("a response");
        let mut body = pin!(response.into_body());
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.expect("a frame").into_data().map_or(0, |data| data.len());
        }
        assert_eq!(length, KIB.1);
    }
}

struct Crowd<S> {
    service: S,
    gate: Arc<Semaphore>,
    id: usize,
}

impl<S: Client> Crowd<S> {
    fn new(gate: &Arc<Semaphore>, service: S) -> Self {
        Self {
            service,
            gate: Arc::clone(gate),
            id: 0,
        }
    }

    /// Gathers `requests` for a cold key, all of which then wait.
    async fn gather(&mut self, requests: Vec<Request<Body>>) -> JoinSet<()> {
        let count = requests.len();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for request in requests {
            let mut service = self.service.clone();
            let asked = Arc::clone(&asked);
            tasks.spawn(async move {
                // Nothing here is ready on its first poll, which is when it joins the waiters.
                asked.fetch_add(1, Ordering::Relaxed);
                service.ask(request).await;
            });
        }
        while asked.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
        tasks
    }

    fn requests(&mut self, count: usize) -> Vec<Request<Body>> {
        self.id += 1;
        (0..count).map(|_| get(self.id)).collect()
    }

    /// How long a leader and `followers` take.
    fn run(&mut self, runtime: &Runtime, followers: usize) -> Duration {
        let requests = self.requests(1 + followers);
        runtime.block_on(async {
            let start = Instant::now();
            let mut tasks = self.gather(requests).await;
            self.gate.add_permits(1);
            while let Some(ended) = tasks.join_next().await {
                ended.expect("no panic");
            }
            start.elapsed()
        })
    }

    /// How many bytes [`CROWD`] adds to the resident set while they wait.
    fn memory(mut self, runtime: &Runtime) -> usize {
        let requests = self.requests(CROWD);
        runtime.block_on(async {
            let before = resident();
            let tasks = self.gather(requests).await;
            let bytes = resident() - before;
            self.gate.add_permits(1);
            tasks.join_all().await;
            bytes
        })
    }
}

/// The resident set of this process, where the system tells.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() * 1024
}

/// Bytes a follower, from a process that does nothing else.
fn memory(whose: &str) -> Option<usize> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).args([MEMORY, whose]).output().ok()?;
    let bytes: usize = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(bytes / CROWD)
}

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let gate = Arc::new(Semaphore::new(0));
    let args: Vec<String> = std::env::args().skip(1).take(2).collect();
    if args.first().is_some_and(|arg| arg == MEMORY) {
        let bytes = if args[1] == FLOOR {
            floor(&gate).memory(&runtime)
        } else {
            ours(&gate).memory(&runtime)
        };
        println!("{bytes}");
        return;
    }

    let mut criterion = support::criterion();
    let mut table = Table::new("each follower in one process");
    let mut group = criterion.benchmark_group("followers");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for followers in [1, 10, 100, 1_000, MANY] {
        let mut rounds = Rounds::default();
        let (mut floor, mut ours) = (floor(&gate), ours(&gate));
        group.throughput(Throughput::Elements(followers as u64));
        group.bench_function(BenchmarkId::from_parameter(followers), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    let alone = [floor.run(&runtime, 0), ours.run(&runtime, 0)];
                    let time_floor = floor.run(&runtime, followers);
                    let time_ours = ours.run(&runtime, followers);
                    let each = |all: Duration, alone| all.saturating_sub(alone);
                    rounds.add(followers, each(time_floor, alone[0]), each(time_ours, alone[1]));
                    total += time_ours;
                }
                total
            });
        });
        // A single one costs less than the measurement of the leader alone varies.
        let target = if followers == 1 {
            Target::None
        } else {
            Target::Times(1.2)
        };
        table.row(&format!("{followers} followers"), &rounds, target);
    }
    if let (Some(floor), Some(ours)) = (memory(FLOOR), memory("ours")) {
        table.note(format!(
            "bytes a follower, of {CROWD}: {floor} the floor's, {ours} ours"
        ));
    }
    group.finish();
    criterion.final_summary();
    table.print();
}
