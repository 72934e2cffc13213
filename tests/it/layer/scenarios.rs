//! What twenty concurrent requests cost, on one node and on two over one Redis: the cases by which collapsing caches
//! differ. That requests run in parallel is told by a gate which all of them reach before any is let through.

mod leaders;

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::Layer;
use tower_memolock::MemoLockLayer;
use tower_memolock::middleware::{CacheStatus, Freshness};

use super::fixture::{
    Answer, Asked, Broken, Failure, Gate, Inner, Node, Reply, TestBody, answer, by_hand, data, fresh, get, get_with,
    send, streamed, text, with,
};
use super::redis::commands;
use crate::support::{RedisServer, eventually, within};

const REQUESTS: usize = 20;

/// Some nodes over one Redis, in front of an inner service behind a gate.
struct Cluster {
    server: RedisServer,
    layers: Vec<MemoLockLayer>,
    nodes: Vec<Node>,
    inner: Inner,
    gate: Gate,
}

impl Cluster {
    async fn start<F>(nodes: usize, set: fn(MemoLockLayer) -> MemoLockLayer, reply: F) -> Self
    where
        F: Fn(Request<Full<bytes::Bytes>>, usize) -> Reply + Clone + Send + Sync + 'static,
    {
        let server = RedisServer::start();
        let gate = Gate::new();
        let inner = {
            let gate = gate.clone();
            Inner::new(move |request, call| {
                let (gate, reply) = (gate.clone(), reply.clone());
                async move {
                    gate.pass().await;
                    reply(request, call)
                }
            })
        };
        let mut layers = Vec::new();
        for _ in 0..nodes {
            let store = server.store().await;
            layers.push(set(
                MemoLockLayer::new(store, "layer").freshness(Freshness::new().ttl_jitter(0.0))
            ));
        }
        let nodes = layers.iter().map(|layer| layer.layer(inner.clone())).collect();
        Self {
            server,
            layers,
            nodes,
            inner,
            gate,
        }
    }

    fn send(&self, request: impl Fn(usize) -> Request<Full<bytes::Bytes>>) -> Vec<Asked> {
        let nodes = self.nodes.iter().cycle().take(REQUESTS).enumerate();
        nodes.map(|(at, node)| send(node, request(at))).collect()
    }

    /// Sends the requests and waits until one of them leads, and all the others wait for it, on whichever node.
    async fn wave(&self) -> Vec<Asked> {
        let before = self.gate.reached();
        let asked = self.send(|_| get("/"));
        self.gate.reached_by(before + 1).await;
        self.others_wait(REQUESTS - 1).await;
        assert_eq!(self.gate.reached(), before + 1);
        asked
    }

    async fn others_wait(&self, count: usize) {
        eventually("requests that wait", || self.waiting() == count).await;
        let elsewhere = self.nodes.len() > 1;
        eventually("a subscriber", || {
            !elsewhere || !self.server.cli(&["PUBSUB", "CHANNELS", "layer/*"]).is_empty()
        })
        .await;
    }

    fn waiting(&self) -> usize {
        let waiting = self.layers.iter().map(|layer| layer.handle().stats().waiting);
        waiting.sum::<u64>() as usize
    }

    /// Waits until nothing is under way any more, so that all that is to be stored is.
    async fn drained(&self) {
        for layer in &self.layers {
            within("the end of all computations", layer.handle().drained()).await;
        }
    }
}

/// Runs a scenario on one node, then on two.
async fn on_one_and_two<F, R>(scenario: F)
where
    F: Fn(usize) -> R,
    R: Future<Output = ()>,
{
    for nodes in [1, 2] {
        scenario(nodes).await;
    }
}

async fn answers(asked: Vec<Asked>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(answer(asked).await);
    }
    answers
}

fn distinct(answers: &[Answer]) -> usize {
    let bodies: HashSet<_> = answers.iter().map(|answer| &answer.body).collect();
    bodies.len()
}

fn numbered(call: usize, directives: &'static str) -> Response<TestBody> {
    with(text(call.to_string()), "cache-control", directives)
}

#[tokio::test]
async fn cacheable() {
    on_one_and_two(async |nodes| {
        let cluster = Cluster::start(nodes, |layer| layer, |_, call| Ok(numbered(call, "max-age=60"))).await;
        let asked = cluster.wave().await;
        cluster.gate.open();
        assert_eq!(distinct(&answers(asked).await), 1);
        cluster.drained().await;
        assert_eq!(distinct(&answers(cluster.send(|_| get("/"))).await), 1);
        assert_eq!(cluster.inner.calls(), 1);
    })
    .await;
}

/// A leader, and all others at once as soon as it is known; from then on all at once.
async fn is_for_one_request_each(reply: fn(usize) -> Response<TestBody>) {
    on_one_and_two(async |nodes| {
        let cluster = Cluster::start(nodes, |layer| layer, move |_, call| Ok(reply(call))).await;
        let first = cluster.wave().await;
        cluster.gate.let_go(1);
        cluster.gate.reached_by(REQUESTS).await;
        cluster.gate.let_go(REQUESTS - 1);
        let first = answers(first).await;
        let marked = || cluster.server.keys() == ["layer:{GET ///}"];
        eventually("the marker, and no lock", marked).await;

        // Whichever node did not lead finds the marker; none of them asks for more.
        for asks in [nodes > 1, false] {
            cluster.server.reset_commandstats();
            let before = cluster.gate.reached();
            let wave = cluster.send(|_| get("/"));
            cluster.gate.reached_by(before + REQUESTS).await;
            cluster.gate.let_go(REQUESTS);
            let wave = answers(wave).await;
            let said: Vec<_> = commands(&cluster.server).into_keys().collect();
            assert_eq!(said, if asks { vec!["get"] } else { vec![] });
            assert_eq!((distinct(&first), distinct(&wave)), (REQUESTS, REQUESTS));
            let cookies: HashSet<_> = wave.iter().map(|answer| answer.header("set-cookie")).collect();
            assert!(cookies.len() == REQUESTS || cookies == HashSet::from([None]));
        }
        assert_eq!(cluster.inner.calls(), 3 * REQUESTS);
    })
    .await;
}

#[tokio::test]
async fn no_store() {
    is_for_one_request_each(|call| numbered(call, "no-store")).await;
}

#[tokio::test]
async fn set_cookie_and_max_age() {
    is_for_one_request_each(|call| {
        let mut reply = numbered(call, "max-age=60");
        let cookie = format!("id={call}").parse().expect("a value");
        reply.headers_mut().insert("set-cookie", cookie);
        reply
    })
    .await;
}

/// One call for all waiters, and another for later callers.
async fn is_shared_and_not_stored(reply: fn(usize) -> Response<TestBody>, status: u16) {
    on_one_and_two(async |nodes| {
        let cluster = Cluster::start(nodes, |layer| layer, move |_, call| Ok(reply(call))).await;
        for calls in 1..=2 {
            let asked = cluster.wave().await;
            cluster.gate.let_go(1);
            let answers = answers(asked).await;
            assert!(answers.iter().all(|answer| answer.status.as_u16() == status));
            assert_eq!((distinct(&answers), cluster.inner.calls()), (1, calls));
            cluster.drained().await;
        }
    })
    .await;
}

#[tokio::test]
async fn max_age_0() {
    is_shared_and_not_stored(|call| numbered(call, "max-age=0"), 200).await;
}

#[tokio::test]
async fn not_found() {
    let reply = |call: usize| {
        let mut reply = text(call.to_string());
        *reply.status_mut() = StatusCode::NOT_FOUND;
        reply
    };
    is_shared_and_not_stored(reply, 404).await;
}

#[tokio::test]
async fn body_comes_slowly() {
    on_one_and_two(async |nodes| {
        let (parts, body) = by_hand();
        let body = std::sync::Mutex::new(Some(body.boxed()));
        let body = std::sync::Arc::new(body);
        let reply = move |_, _| {
            let body = body.lock().expect("not poisoned").take().expect("one call");
            Ok(with(streamed(body), "cache-control", "max-age=60"))
        };
        let cluster = Cluster::start(nodes, |layer| layer, reply).await;
        let asked = cluster.wave().await;
        cluster.gate.open();
        for _ in 0..20 {
            parts.send(data(vec![b'x'; 1000])).expect("a reader");
        }
        drop(parts);
        let answers = answers(asked).await;
        assert!(answers.iter().all(|answer| answer.body.len() == 20_000));
        assert_eq!(cluster.inner.calls(), 1);
    })
    .await;
}

#[tokio::test]
async fn four_variants() {
    const LANGUAGES: [&str; 4] = ["en", "de", "fr", "nl"];
    on_one_and_two(async |nodes| {
        let reply = |request: Request<Full<bytes::Bytes>>, _| {
            let language = request.headers()["accept-language"].to_str().expect("ASCII");
            Ok(with(fresh(language.to_owned()), "vary", "accept-language"))
        };
        let cluster = Cluster::start(nodes, |layer| layer, reply).await;
        // Pairs, so that two nodes get each language.
        let language = |at: usize| LANGUAGES[at / 2 % LANGUAGES.len()];
        for calls in [4, 4] {
            let asked = cluster.send(|at| get_with("/", "accept-language", language(at)));
            if cluster.gate.reached() == 0 {
                cluster.gate.reached_by(1).await;
                cluster.others_wait(REQUESTS - 1).await;
                assert_eq!(cluster.gate.reached(), 1);
                cluster.gate.let_go(1);
                // The other three, at the same time.
                cluster.gate.reached_by(4).await;
                cluster.gate.open();
            }
            for (at, answer) in answers(asked).await.iter().enumerate() {
                assert_eq!(answer.body, language(at));
            }
            cluster.drained().await;
            assert_eq!(cluster.inner.calls(), calls);
        }
    })
    .await;
}

#[tokio::test]
async fn stale_while_revalidate() {
    on_one_and_two(async |nodes| {
        let reply = |_, call| Ok(numbered(call, "max-age=1, stale-while-revalidate=60"));
        let cluster = Cluster::start(nodes, |layer| layer.cache_status(CacheStatus::Outcome), reply).await;
        cluster.gate.let_go(1);
        answer(send(&cluster.nodes[0], get("/"))).await;
        cluster.drained().await;
        // What says how long it is fresh is the clock.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let stale = answers(cluster.send(|_| get("/"))).await;
        for stale in stale {
            assert_eq!(stale.body, "1");
            let age: u64 = stale.header("age").expect("an age").parse().expect("a number");
            assert!(age >= 1, "{age}");
        }
        cluster.gate.reached_by(2).await;
        assert_eq!(cluster.gate.reached(), 2);
        cluster.gate.let_go(1);
        cluster.drained().await;
        for node in &cluster.nodes {
            assert_eq!(answer(send(node, get("/"))).await.body, "2");
        }
    })
    .await;
}

#[tokio::test]
async fn half_of_them_with_credentials() {
    on_one_and_two(async |nodes| {
        let cluster = Cluster::start(nodes, |layer| layer, |_, call| Ok(numbered(call, "max-age=60"))).await;
        let half = REQUESTS / 2;
        let asked = cluster.send(|at| match at < half {
            true => get("/"),
            false => get_with("/", "authorization", "Basic eDp5"),
        });
        cluster.gate.reached_by(half + 1).await;
        cluster.others_wait(half - 1).await;
        assert_eq!(cluster.gate.reached(), half + 1);
        cluster.gate.open();
        let answers = answers(asked).await;
        assert_eq!((distinct(&answers[..half]), distinct(&answers[half..])), (1, half));
        assert_eq!(distinct(&answers), half + 1);
        assert_eq!(cluster.inner.calls(), half + 1);
    })
    .await;
}
