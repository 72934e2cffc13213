//! What many requests for one cold key cost: calls of the handler, and how long the last of them waits.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tokio::task::JoinSet;
use tower::{BoxError, Service};

use crate::caches::{in_memory, in_redis};
use crate::floor::GetWith;
use crate::handler::{Body, Handler, fetch, get};
use crate::median;
use crate::server::Server;

const ROUNDS: usize = 9;
/// How long the handler takes.
const DELAY: Duration = Duration::from_millis(50);
const BYTES: usize = 1024;

/// A thousand requests to one service.
pub(crate) async fn in_one_process() -> String {
    let mut table = Table::new("1,000 requests at once, one process, 50 ms of work");
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = || Handler {
        calls: calls.clone(),
        ..Handler::new(DELAY, StatusCode::OK, BYTES)
    };
    macro_rules! run {
        ($name:literal, $service:expr) => {{
            let nodes = [$service];
            let mut waves = Waves::new(calls.clone());
            for round in 0..ROUNDS {
                waves.send(&nodes, 1000, round).await;
            }
            table.row($name, waves);
        }};
    }
    run!("`moka` `get_with` (floor)", GetWith::new(handler()));
    in_memory!(handler(), run);
    table.text
}

/// Three hundred requests to each of three services that have nothing in common but a Redis.
pub(crate) async fn on_three_nodes(server: &Server) -> String {
    let mut tables = String::new();
    for (status, title) in [
        (StatusCode::OK, "3 × 300 requests at once, three nodes over one Redis"),
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The same with a handler that answers 500",
        ),
    ] {
        let mut table = Table::new(title);
        for name in ["tower-memolock", "tower-http-cache 0.6", "hitbox 0.2"] {
            server.clear();
            let calls = Arc::new(AtomicUsize::new(0));
            let handler = || Handler {
                calls: calls.clone(),
                ..Handler::new(DELAY, status, BYTES)
            };
            macro_rules! run {
                ($other:literal, $service:expr) => {
                    if name == $other {
                        let nodes = [$service, $service, $service];
                        let mut waves = Waves::new(calls.clone());
                        for round in 0..ROUNDS {
                            waves.send(&nodes, 300, round).await;
                        }
                        table.row(name, waves);
                    }
                };
            }
            in_redis!(server, handler(), run);
        }
        tables.push_str(&table.text);
        tables.push('\n');
    }
    tables
}

/// Waves of requests, each for a key of its own.
struct Waves {
    calls: Arc<AtomicUsize>,
    called: Vec<f64>,
    /// How much longer than the handler the last request took, in milliseconds.
    tails: Vec<f64>,
}

impl Waves {
    fn new(calls: Arc<AtomicUsize>) -> Self {
        Self {
            calls,
            called: Vec::new(),
            tails: Vec::new(),
        }
    }

    async fn send<S, B>(&mut self, nodes: &[S], requests: usize, id: usize)
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.calls.store(0, Ordering::Relaxed);
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for _ in 0..requests {
            for node in nodes {
                tasks.spawn(fetch(node.clone(), get(id)));
            }
        }
        tasks.join_all().await;
        self.tails
            .push(start.elapsed().saturating_sub(DELAY).as_secs_f64() * 1e3);
        self.called.push(self.calls.load(Ordering::Relaxed) as f64);
    }
}

struct Table {
    text: String,
}

impl Table {
    fn new(title: &str) -> Self {
        let text = format!("### {title}\n\n| | calls of the handler | tail, ms |\n|---|---:|---:|\n");
        Self { text }
    }

    fn row(&mut self, name: &str, waves: Waves) {
        let (calls, tail) = (median(waves.called), median(waves.tails));
        let _ = writeln!(self.text, "| {name} | {calls:.0} | {tail:.1} |");
    }
}
