//! One process of a stampede: [`run`] is its own side, [`Node`] the bench's.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::task::JoinSet;
use tower::{Layer, Service, service_fn};
use tower_memolock::{MemoLockLayer, RedisStore};

use crate::support::{Collapse, get, response, runtime, serve};

/// What the handler takes.
pub(crate) const HANDLER: Duration = Duration::from_millis(50);

/// The first argument of a process that is a node.
const NODE: &str = "stampede-node";

pub(crate) fn is_one() -> bool {
    std::env::args().nth(1).is_some_and(|arg| arg == NODE)
}

/// A moment that all processes can wait for.
pub(crate) fn soon() -> Duration {
    now() + Duration::from_millis(20)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A process, from outside.
pub(crate) struct Node {
    process: Child,
    orders: ChildStdin,
    results: BufReader<ChildStdout>,
    start: Duration,
}

/// What a node did in one stampede.
pub(crate) struct Run {
    pub(crate) calls: usize,
    /// When the last answer came, from the start.
    pub(crate) last_answer: Duration,
}

impl Node {
    /// Starts a process that makes `requests` requests at a time: through the layer over the Redis at `url`, or through
    /// the floor.
    pub(crate) fn start(url: Option<&str>, requests: usize, size: usize) -> Self {
        let program = std::env::current_exe().expect("this program's path");
        let mut process = Command::new(program)
            .args([NODE, &requests.to_string(), &size.to_string(), url.unwrap_or_default()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("another process");
        let orders = process.stdin.take().expect("its stdin");
        let results = BufReader::new(process.stdout.take().expect("its stdout"));
        Self {
            process,
            orders,
            results,
            start: Duration::ZERO,
        }
    }

    pub(crate) fn go(&mut self, start: Duration, id: usize) {
        self.start = start;
        writeln!(self.orders, "{} {id}", start.as_nanos()).expect("a node that listens");
    }

    pub(crate) fn result(&mut self) -> Run {
        let mut line = String::new();
        self.results.read_line(&mut line).expect("a node that answers");
        let [calls, end] = numbers(&line);
        Run {
            calls: calls as usize,
            last_answer: Duration::from_nanos(end).saturating_sub(self.start),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn numbers<const N: usize>(line: &str) -> [u64; N] {
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    numbers
        .try_into()
        .unwrap_or_else(|_| panic!("not {N} numbers: {line:?}"))
}

/// What a node does: a stampede for every line it reads.
pub(crate) fn run() {
    let mut args = std::env::args().skip(2);
    let mut number = || args.next().and_then(|arg| arg.parse().ok()).expect("a number");
    let (requests, size): (usize, usize) = (number(), number());
    let url = args.next().unwrap_or_default();

    let calls = Arc::new(AtomicUsize::new(0));
    let body = Bytes::from(vec![b'x'; size]);
    let counter = Arc::clone(&calls);
    let handler = service_fn(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        let response = response(body.clone());
        async move {
            tokio::time::sleep(HANDLER).await;
            Ok::<_, Infallible>(response)
        }
    });
    let runtime = runtime();
    if url.is_empty() {
        obey(&runtime, &calls, &Collapse::new(handler), requests, size);
    } else {
        let store = runtime.block_on(RedisStore::connect(&url)).expect("a store");
        let layer = MemoLockLayer::new(store, "bench").ttl(Duration::from_secs(60));
        obey(&runtime, &calls, &layer.layer(handler), requests, size);
    }
}

fn obey<S, B>(runtime: &tokio::runtime::Runtime, calls: &AtomicUsize, service: &S, requests: usize, size: usize)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug + Send,
{
    for line in std::io::stdin().lines() {
        let [start, id] = numbers(&line.expect("a line"));
        let end = runtime.block_on(async {
            std::thread::sleep(Duration::from_nanos(start).saturating_sub(now()));
            let mut tasks = JoinSet::new();
            for _ in 0..requests {
                let mut service = service.clone();
                let request = get(format_args!("{size}-{id}"));
                tasks.spawn(async move {
                    serve(&mut service, vec![request], size).await;
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended.expect("no panic");
            }
            now()
        });
        println!("{} {}", calls.swap(0, Ordering::Relaxed), end.as_nanos());
    }
}
