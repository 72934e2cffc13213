//! One process of the cluster: [`run`] is its own side, [`Node`] the driver's.
//!
//! Orders come in on stdin and reports go out on stdout, a line each, so that whatever a process has reported
//! survives it.

use std::fmt::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tower_memolock::{MemoLock, RedisStore, Store};

use crate::history::History;
use crate::plan::Computation;
use crate::support::signal;
use crate::{COMMAND_TIMEOUT, LEASE, NEAR_LAG, WAIT_TIMEOUT};

/// The first argument of a process that is a node.
const NODE: &str = "schedule-node";

pub(crate) fn is_one() -> bool {
    std::env::args().nth(1).is_some_and(|arg| arg == NODE)
}

/// Microseconds on a clock that all processes share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A process, from outside. Killed on drop.
pub(crate) struct Node {
    process: Child,
    orders: ChildStdin,
}

impl Node {
    /// Starts a process over the Redis at `url`, with near copies or without. What it reports goes into `history`.
    pub(crate) fn start(number: usize, url: &str, near: bool, history: &History) -> Self {
        let program = std::env::current_exe().expect("this program's path");
        let mut process = Command::new(program)
            .args([NODE, &number.to_string(), url, if near { "near" } else { "plain" }])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("another process");
        let orders = process.stdin.take().expect("its stdin");
        let mut reports = BufReader::new(process.stdout.take().expect("its stdout")).lines();
        let history = history.clone();
        tokio::spawn(async move {
            // The last line of a process that was killed may be half of one: it has no end, and is lost.
            while let Ok(Some(line)) = reports.next_line().await {
                history.report(number, &line);
            }
        });
        Self { process, orders }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("a process that lives")
    }

    pub(crate) async fn get(&mut self, request: usize, key: usize, computation: &Computation) {
        let Computation { cost, ttl, fails } = computation;
        let order = format!("get {request} {key} {} {} {fails}\n", cost.as_millis(), ttl.as_millis());
        self.order(&order).await;
    }

    pub(crate) async fn invalidate(&mut self, request: usize, key: usize) {
        self.order(&format!("invalidate {request} {key}\n")).await;
    }

    async fn order(&mut self, order: &str) {
        self.orders
            .write_all(order.as_bytes())
            .await
            .expect("a node that listens");
    }

    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("a process to kill");
    }

    pub(crate) fn stop(&self) {
        signal(self.pid(), "STOP");
    }

    pub(crate) fn cont(&self) {
        signal(self.pid(), "CONT");
    }
}

/// What a node is made of.
#[derive(Clone)]
struct Own {
    number: usize,
    store: RedisStore,
    memo: MemoLock,
    computations: Arc<AtomicUsize>,
}

/// What a node does: it obeys until its stdin ends.
#[tokio::main(worker_threads = 2)]
pub(crate) async fn run() {
    let mut args = std::env::args().skip(2);
    let number = args.next().and_then(|arg| arg.parse().ok()).expect("a number");
    let url = args.next().expect("a URL");
    let mut store = RedisStore::builder(url)
        .timeout(COMMAND_TIMEOUT)
        .connect_timeout(COMMAND_TIMEOUT);
    if args.next().as_deref() == Some("near") {
        store = store.near(1 << 20).near_lag(NEAR_LAG);
    }
    let store = store.connect().await.expect("a store");
    let memo = MemoLock::new(store.clone(), "schedule")
        .lease(LEASE)
        .wait_timeout(WAIT_TIMEOUT);
    let own = Own {
        number,
        store,
        memo,
        computations: Arc::default(),
    };
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(order)) = orders.next_line().await {
        let own = own.clone();
        tokio::spawn(async move {
            let words: Vec<&str> = order.split(' ').collect();
            match words[..] {
                ["get", request, key, cost, ttl, fails] => {
                    let computation = Computation {
                        cost: millis(cost),
                        ttl: millis(ttl),
                        fails: fails == "true",
                    };
                    own.get(request, key, computation).await;
                }
                ["invalidate", request, key] => own.invalidate(request, key).await,
                _ => panic!("not an order: {order}"),
            }
        });
    }
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(word.parse().expect("a number"))
}

impl Own {
    /// Whether the store has let this node down since `before`: its computations are not fenced then.
    fn trouble(&self) -> (u64, u64) {
        (self.memo.stats().failed_open, self.store.epoch())
    }

    async fn get(&self, request: &str, key: &str, computation: Computation) {
        let (called, before) = (now(), self.trouble());
        let own = self.clone();
        let (name, leader) = (key.to_owned(), request.to_owned());
        let compute = move || async move {
            let count = own.computations.fetch_add(1, Ordering::Relaxed);
            let value = format!("{name}/{}/{}/{count}", own.number, std::process::id());
            println!("began {leader} {name} {value} {}", now());
            tokio::time::sleep(computation.cost).await;
            if computation.fails {
                return Err("it was to fail");
            }
            Ok(value.into())
        };
        let memo = self.memo.clone().ttl(computation.ttl);
        let result = memo.get_or_compute(key, compute).await;
        let trouble = before != self.trouble();
        let mut report = format!("got {request} {key} {called} {} {trouble} ", now());
        match result {
            Ok(value) => write!(report, "value {}", String::from_utf8_lossy(&value)),
            Err(error) => write!(report, "error {}", error.to_string().replace(' ', "_")),
        }
        .expect("a string takes everything");
        println!("{report}\nnear {}", self.store.stats().near.hits);
    }

    async fn invalidate(&self, request: &str, key: &str) {
        let called = now();
        let done = self.memo.invalidate(key).await.is_ok();
        println!("invalidated {request} {key} {called} {} {done}", now());
    }
}
