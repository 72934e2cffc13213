//! What several of these tests need.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::{MemoLockLayer, RedisStore, Stats};

use crate::support::cluster::LEASE;
use crate::support::{HttpClient, Node, Origin, RedisServer, Reply, within};

/// What everything but waiting may take on a busy machine.
pub(super) const SLACK: Duration = Duration::from_secs(2);

/// How long a node waits for an answer of Redis.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks a node for so many different things, one after the other, and says how long that took.
pub(super) async fn one_after_the_other(node: &Node, origin: &Origin, name: &str, count: usize) -> Duration {
    let client = HttpClient::http1();
    let since = Instant::now();
    for n in 0..count {
        let path = format!("/{name}/{n}");
        let answer = client.get(&node.url(&path)).await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, path.as_str()));
        assert_eq!(origin.calls(&path), 1);
    }
    since.elapsed()
}

/// An origin that answers with the path, the slow paths after a while.
pub(super) async fn echo() -> Origin {
    Origin::start(|call| async move {
        if call.uri.path().starts_with("/slow") {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Reply::fresh(call.uri.path().to_owned())
    })
    .await
}

/// A node in this process, whose counters a test can read. Its upstream answers with the path, those that begin with
/// `/slow` once they are let go.
#[derive(Clone)]
pub(super) struct Peer {
    layer: MemoLockLayer,
    calls: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Peer {
    pub(super) async fn connect(url: &str) -> Self {
        let store = RedisStore::connect(url).await.expect("a store");
        Self {
            layer: MemoLockLayer::new(store, "proxy").lease(LEASE),
            calls: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    /// The body of the response to a GET, which is 200.
    pub(super) async fn get(&self, path: &str) -> String {
        let (calls, gate) = (Arc::clone(&self.calls), Arc::clone(&self.gate));
        let upstream = service_fn(move |request: Request<Empty<Bytes>>| {
            calls.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                let path = request.uri().path().to_owned();
                if path.starts_with("/slow") {
                    let _permit = gate.acquire().await;
                }
                let response = Response::builder().header("cache-control", "max-age=60");
                response.body(Full::new(Bytes::from(path)))
            }
        });
        let request = Request::get(path).body(Empty::new()).expect("a request");
        let response = within("a response", self.layer.layer(upstream).oneshot(request)).await;
        let response = response.expect("a response");
        assert_eq!(response.status(), 200);
        let body = within("a body", response.into_body().collect()).await.expect("a body");
        String::from_utf8(body.to_bytes().into()).expect("UTF-8")
    }

    /// The same in the background.
    pub(super) fn ask(&self, path: &str) -> JoinHandle<String> {
        let (peer, path) = (self.clone(), path.to_owned());
        tokio::spawn(async move { peer.get(&path).await })
    }

    /// Lets all calls of slow paths go.
    pub(super) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn stats(&self) -> Stats {
        self.layer.handle().stats()
    }

    /// Waits until everything is stored that was computed.
    pub(super) async fn drained(&self) {
        within("the end of all computations", self.layer.handle().drained()).await;
    }
}

/// The names of everything that Redis keeps of one path.
pub(super) struct Names {
    pub(super) value: String,
    pub(super) lock: String,
    pub(super) promise: String,
    pub(super) control: String,
}

impl Names {
    /// Learned from the key of `known`, the only one there is.
    pub(super) fn learn(redis: &RedisServer, known: &str) -> impl Fn(&str) -> Self {
        let key = redis.cli(&["KEYS", "proxy:*"]);
        assert!(key.lines().count() == 1 && key.contains(known), "{key:?}");
        let (before, after) = key.split_once(known).expect("the path");
        let id = (before.replacen("proxy:", "", 1), after.to_owned());
        move |path| {
            let name = |kind: &str| format!("proxy{kind}:{}{path}{}", id.0, id.1);
            Self {
                value: name(""),
                lock: name("/lock"),
                promise: name("/notif"),
                control: name("/ctl"),
            }
        }
    }
}

/// A connection of the test's own, for bytes of any kind.
pub(super) fn raw(redis: &RedisServer) -> redis::Connection {
    let client = redis::Client::open(redis.url()).expect("a URL");
    client.get_connection().expect("a connection")
}
