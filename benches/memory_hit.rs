//! What the layer costs where nothing has to be waited for: a hit in memory, and a request that bypasses it.
//!
//! The floor of a hit is a service that looks a `String` key up in `moka` and rebuilds the response from its stored
//! parts, with the `Age` and the `Date` that a cache has to tell (RFC 9111, section 4; RFC 9110, section 6.6.1); that of a bypass is the bare service. One thread, one request at a time, requests made beforehand.

mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use http::header::{AGE, DATE, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use support::{BUILT, Costs, KEYS, KIB, KIB_64, MIB, Rounds, Table, Target, get, handler, serve};
use tokio::runtime::Runtime;
use tower::{Layer, Service};
use tower_memolock::middleware::{CacheStatus, Freshness};
use tower_memolock::{MemoLockLayer, MemoryStore};

/// How many requests the floor and ours get in turn.
const TURN: usize = 256;

const TTL: Duration = Duration::from_secs(3600);

type Body = Full<Bytes>;

/// The least that a cache of responses can do.
#[derive(Clone)]
struct Floor {
    responses: moka::sync::Cache<String, Arc<Parts>>,
    /// Whether responses have the fields that a cache has to add. A map of responses has less to do than a cache.
    adds_fields: bool,
}

struct Parts {
    stored_at: Instant,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

fn floor_key(request: &Request<Body>) -> String {
    format!("{} {}", request.method(), request.uri())
}

impl Floor {
    async fn filled(
        mut handler: impl Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        adds_fields: bool,
    ) -> Self {
        let responses = moka::sync::Cache::builder()
            .max_capacity(10_000)
            .time_to_live(TTL)
            .build();
        for id in 0..KEYS {
            let request = get(id);
            let key = floor_key(&request);
            let Ok(response) = handler.call(request).await;
            let (mut head, body) = response.into_parts();
            let Ok(body) = body.collect().await;
            if adds_fields {
                // Here, so that a hit changes a value and no more.
                head.headers.insert(AGE, HeaderValue::from_static("0"));
                head.headers
                    .insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
            }
            let parts = Parts {
                stored_at: Instant::now(),
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            };
            responses.insert(key, Arc::new(parts));
        }
        Self { responses, adds_fields }
    }
}

impl Service<Request<Body>> for Floor {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let parts = self.responses.get(&floor_key(&request)).expect("a hit");
        let mut response = Response::new(Full::new(parts.body.clone()));
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers.clone();
        if self.adds_fields {
            let age = parts.stored_at.elapsed().as_secs();
            response.headers_mut().insert(AGE, age.into());
        }
        ready(Ok(response))
    }
}

/// Calls both with `iterations` requests, in turns.
async fn compare<F, O, B>(
    rounds: &mut Rounds,
    iterations: u64,
    (floor, ours): (&mut F, &mut O),
    request: impl Fn(usize) -> Request<Body>,
    size: usize,
) -> Duration
where
    F: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    O: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let mut total = Duration::ZERO;
    let mut left = usize::try_from(iterations).expect("a count");
    while left > 0 {
        let turn = left.min(TURN);
        left -= turn;
        let requests = || (0..turn).map(&request).collect();
        let (time_floor, time_ours);
        if rounds.floor_first() {
            time_floor = serve(floor, requests(), size).await;
            time_ours = serve(ours, requests(), size).await;
        } else {
            time_ours = serve(ours, requests(), size).await;
            time_floor = serve(floor, requests(), size).await;
        }
        // A short turn says more about the clock than about the service.
        if turn == TURN {
            rounds.add(turn, time_floor, time_ours);
        }
        total += time_ours;
    }
    total
}

/// Asks for everything until it is stored.
async fn fill<S, B>(layer: &MemoLockLayer, service: &mut S, size: usize)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    for id in 0..KEYS {
        let before = layer.handle().stats().hits;
        while layer.handle().stats().hits == before {
            serve(service, vec![get(id)], size).await;
            tokio::task::yield_now().await;
        }
    }
}

/// Tells a copy of this program, which runs under valgrind, which service to ask, with or without fields, and how often.
const ASK: &str = "MEMORY_HIT_ASK";

/// `GET /report/{id}` with the fields that a client sends, or without any.
fn request(id: usize, fields: bool) -> Request<Body> {
    let mut request = get(id);
    if !fields {
        request.headers_mut().clear();
    }
    request
}

/// What [`ASK`] says.
async fn ask(what: &str) {
    let [who, fields, count] = what.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{what}");
    };
    // As many whatever is asked for, so that the difference of two runs says nothing of how they are made.
    let mut requests: Vec<_> = (0..Costs::made())
        .map(|n| request(n % KEYS, fields == "four"))
        .collect();
    requests.truncate(count.parse().expect("a count"));
    let layer = MemoLockLayer::new(MemoryStore::with_capacity(256 << 20), "bench").ttl(TTL);
    let mut ours = layer.layer(handler(KIB.1));
    fill(&layer, &mut ours, KIB.1).await;
    let mut floor = Floor::filled(handler(KIB.1), who != "map").await;
    match who {
        "bare" => serve(&mut handler(KIB.1), requests, KIB.1).await,
        "floor" | "map" => serve(&mut floor, requests, KIB.1).await,
        _ => serve(&mut ours, requests, KIB.1).await,
    };
}

fn main() {
    if let Ok(what) = std::env::var(ASK) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.expect("a runtime").block_on(ask(&what));
    }
    let mut criterion = support::criterion();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut table = Table::new("per request, one thread");
    hits(&mut criterion, &runtime, &mut table);
    bypasses(&mut criterion, &runtime, &mut table);
    criterion.final_summary();
    costs(&mut table);
    table.note(BUILT.to_owned());
    table.print();
}

fn hits(criterion: &mut Criterion, runtime: &Runtime, table: &mut Table) {
    let mut group = criterion.benchmark_group("memory_hit");
    let told = ("1 KiB with Cache-Status", KIB.1);
    let map = ("1 KiB, the floor without Age and Date", KIB.1);
    for (name, size) in [KIB, KIB_64, MIB, told, map] {
        let tells = name == told.0;
        let adds_fields = name != map.0;
        let mut rounds = Rounds::default();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let layer = MemoLockLayer::new(MemoryStore::with_capacity(256 << 20), "bench").ttl(TTL);
                    let layer = layer.cache_status(if tells {
                        CacheStatus::Outcome
                    } else {
                        CacheStatus::Silent
                    });
                    let mut ours = layer.layer(handler(size));
                    fill(&layer, &mut ours, size).await;
                    let mut floor = Floor::filled(handler(size), adds_fields).await;
                    let hits = layer.handle().stats().hits;
                    let request = |n| get(n % KEYS);
                    let total = compare(&mut rounds, iterations, (&mut floor, &mut ours), request, size).await;
                    assert_eq!(layer.handle().stats().hits - hits, iterations);
                    total
                })
            });
        });
        let target = if adds_fields { Target::Times(1.1) } else { Target::None };
        table.row(&format!("hit in memory, {name}"), &rounds, target);
    }
    group.finish();
}

fn bypasses(criterion: &mut Criterion, runtime: &Runtime, table: &mut Table) {
    let mut group = criterion.benchmark_group("bypass");
    let post = |n| {
        let mut request = get(n % KEYS);
        *request.method_mut() = Method::POST;
        request
    };
    let upgrading = |n| {
        let mut request = get(n % KEYS);
        let websocket = HeaderValue::from_static("websocket");
        request.headers_mut().insert(UPGRADE, websocket);
        request
    };
    let requests: [(_, &dyn Fn(usize) -> Request<Body>); 2] = [("POST", &post), ("Upgrade", &upgrading)];
    for (name, request) in requests {
        let mut rounds = Rounds::default();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let layer = MemoLockLayer::new(MemoryStore::new(), "bench").ttl(TTL);
                    // To make what is stored out of date is no bypass.
                    let layer = layer.freshness(Freshness::new().invalidate_on_change(false));
                    let mut floor = handler(KIB.1);
                    let mut ours = layer.layer(handler(KIB.1));
                    let total = compare(&mut rounds, iterations, (&mut floor, &mut ours), request, KIB.1).await;
                    assert_eq!(layer.handle().stats(), tower_memolock::Stats::default());
                    total
                })
            });
        });
        table.row(&format!("bypass, {name}"), &rounds, Target::TimesPlus(1.2, 100.0));
    }
    group.finish();
}

/// Counts instructions and allocations, where that is possible.
fn costs(table: &mut Table) {
    for (fields, most) in [("no", 3_700), ("four", 5_000)] {
        for who in ["ours", "floor", "map", "bare"] {
            let Some(costs) = Costs::of(ASK, &format!("{who} {fields}")) else {
                table.note("Instructions and allocations are counted where valgrind is installed.".to_owned());
                break;
            };
            let target = if who == "ours" {
                format!(" (<= {most})")
            } else {
                String::new()
            };
            let who = if who == "map" {
                "floor without Age and Date"
            } else {
                who
            };
            table.note(format!("a hit with {fields} request fields, {who}: {costs}{target}"));
        }
    }
}
