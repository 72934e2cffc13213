//! What a hit costs.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;
use tower::{BoxError, Service};

use crate::caches::{in_memory, in_redis};
use crate::floor::Get;
use crate::handler::{Body, Handler, fetch, get};
use crate::median;
use crate::server::Server;

const KEYS: usize = 64;
const ROUNDS: usize = 15;
/// The length of each body.
const BYTES: usize = 1024;
/// How many tasks ask Redis at once.
const TASKS: usize = 64;
/// How often each of them asks in a round.
const ASKS: usize = 100;

/// Times of operations, each round's beside the floor's of the same round.
#[derive(Default)]
struct Rounds {
    floor: Vec<f64>,
    rows: Vec<(&'static str, Vec<f64>, Vec<f64>)>,
}

impl Rounds {
    /// Begins the row of a cache.
    fn begin(&mut self, name: &'static str) {
        self.rows.push((name, Vec::new(), Vec::new()));
    }

    /// Adds a round of so many operations to the last row.
    fn add(&mut self, operations: usize, floor: Duration, time: Duration) {
        let nanos = |time: Duration| time.as_nanos() as f64 / operations as f64;
        let (_, times, ratios) = self.rows.last_mut().expect("a row");
        times.push(nanos(time));
        ratios.push(nanos(time) / nanos(floor));
        self.floor.push(nanos(floor));
    }

    fn table(self, title: &str, floor: &str) -> String {
        let mut table = format!("### {title}\n\n| | ns | times the floor |\n|---|---:|---:|\n");
        let _ = writeln!(table, "| {floor} | {:.0} | 1.00 |", median(self.floor));
        for (name, times, ratios) in self.rows {
            let _ = writeln!(table, "| {name} | {:.0} | {:.2} |", median(times), median(ratios));
        }
        table
    }
}

/// One task asks for one stored response after the other.
pub(crate) async fn in_memory() -> String {
    const HITS: usize = 5_000;
    let mut rounds = Rounds::default();
    let floor = Get::new(Handler::quick(BYTES), (0..KEYS).map(get)).await;
    macro_rules! run {
        ($name:literal, $service:expr) => {{
            let service = $service;
            ask(&service, KEYS).await;
            rounds.begin($name);
            for _ in 0..ROUNDS {
                rounds.add(HITS, ask(&floor, HITS).await, ask(&service, HITS).await);
            }
        }};
    }
    in_memory!(Handler::quick(BYTES), run);
    rounds.table("A hit in memory, 1 KiB", "`moka` `get` and a response (floor)")
}

/// Many tasks at once, each with its own requests, over the one connection that each cache has by itself.
pub(crate) async fn in_redis(server: &Server) -> String {
    let mut rounds = Rounds::default();
    let client = redis::Client::open(server.url()).expect("a URL");
    let floor = client.get_multiplexed_async_connection().await.expect("a connection");
    for id in 0..KEYS {
        let set = redis::cmd("SET").arg(raw(id)).arg(vec![b'x'; BYTES]).to_owned();
        set.exec_async(&mut floor.clone()).await.expect("a stored value");
    }
    macro_rules! run {
        ($name:literal, $service:expr) => {{
            let service = $service;
            ask(&service, KEYS).await;
            rounds.begin($name);
            for _ in 0..ROUNDS {
                let raw = at_once(|| get_raw(floor.clone())).await;
                let cached = at_once(|| ask_in_turn(service.clone())).await;
                rounds.add(TASKS * ASKS, raw, cached);
            }
        }};
    }
    in_redis!(server, Handler::quick(BYTES), run);
    rounds.table("A hit in Redis, 1 KiB, 64 tasks", "a raw `GET` by redis-rs (floor)")
}

/// Sends so many requests one after the other. Returns how long they took, with making them left out.
async fn ask<S, B>(service: &S, requests: usize) -> Duration
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let requests: Vec<_> = (0..requests).map(|id| get(id % KEYS)).collect();
    let start = Instant::now();
    for request in requests {
        let (status, bytes) = fetch(service.clone(), request).await;
        assert_eq!((status.as_u16(), bytes), (200, BYTES));
    }
    start.elapsed()
}

async fn ask_in_turn<S, B>(service: S)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    ask(&service, ASKS).await;
}

async fn get_raw(mut connection: MultiplexedConnection) {
    for id in 0..ASKS {
        let get = redis::cmd("GET").arg(raw(id % KEYS)).to_owned();
        let value: Vec<u8> = get.query_async(&mut connection).await.expect("a value");
        assert_eq!(value.len(), BYTES);
    }
}

fn raw(id: usize) -> String {
    format!("raw:{id}")
}

/// How long all tasks take together.
async fn at_once<F>(task: impl Fn() -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..TASKS {
        tasks.spawn(task());
    }
    tasks.join_all().await;
    start.elapsed()
}
