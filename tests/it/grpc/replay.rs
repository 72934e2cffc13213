//! Replies frame for frame: what a method sends, and what the callers get that share it.
//!
//! Only `date` differs, which the server adds to whatever it sends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::post;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tower::layer::util::Identity;
use tower_memolock::{MemoryStore, Store};

use super::fixture::{MAKE, Memoized, Server, layer, order};
use super::raw::{Frames, Raw, frames, message};
use crate::support::{Gate, RedisServer, eventually, within};

type Fields = &'static [(&'static str, &'static str)];

/// What a method sends.
#[derive(Clone, Copy)]
struct Reply {
    what: &'static str,
    head: Fields,
    messages: usize,
    trailers: Option<Fields>,
    /// Whether the next call gets it too.
    kept: bool,
}

const OK: (&str, &str) = ("grpc-status", "0");
const PROTO: (&str, &str) = ("content-type", "application/grpc+proto");

const REPLIES: [Reply; 6] = [
    Reply {
        what: "as short as can be",
        head: &[("content-type", "application/grpc")],
        messages: 1,
        trailers: Some(&[OK]),
        kept: true,
    },
    Reply {
        what: "with all that may be there",
        head: &[
            PROTO,
            ("x-mark", "first"),
            ("x-mark", "second"),
            ("x-mark-bin", "AP8K,AAE"),
            ("x-empty", ""),
            ("grpc-accept-encoding", "identity,gzip"),
        ],
        messages: 1,
        trailers: Some(&[
            OK,
            ("grpc-message", ""),
            ("x-cost", "17"),
            ("x-cost", "4"),
            ("x-cost-bin", "AAECAw"),
            ("grpc-status-details-bin", "CAA"),
        ]),
        kept: true,
    },
    Reply {
        what: "Trailers-Only",
        head: &[
            PROTO,
            ("grpc-status", "5"),
            ("grpc-message", "no%20such%20report"),
            ("grpc-status-details-bin", "CAUSA3doeQD/"),
            ("x-cost", "17"),
        ],
        messages: 0,
        trailers: None,
        kept: false,
    },
    Reply {
        what: "a failure behind a head",
        head: &[PROTO, ("x-mark", "first")],
        messages: 0,
        trailers: Some(&[("grpc-status", "5"), ("grpc-message", "no%20such%20report")]),
        kept: false,
    },
    Reply {
        what: "a failure behind a message",
        head: &[PROTO],
        messages: 1,
        trailers: Some(&[("grpc-status", "12"), ("x-cost", "17")]),
        kept: false,
    },
    Reply {
        what: "two messages",
        head: &[PROTO],
        messages: 2,
        trailers: Some(&[OK]),
        kept: false,
    },
];

fn fields(fields: Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    map
}

/// A service whose calls wait at the gate, and then answer as they should.
fn scripted(reply: Reply, gate: &Gate, calls: &Arc<AtomicUsize>) -> Routes {
    let (gate, calls) = (gate.clone(), Arc::clone(calls));
    let method = move |_: Request<axum::body::Body>| {
        let (gate, calls) = (gate.clone(), Arc::clone(&calls));
        async move {
            calls.fetch_add(1, Ordering::SeqCst);
            gate.pass().await;
            let messages = (0..reply.messages).map(|i| Frame::data(message(&order(&format!("{i}")))));
            let trailers = reply.trailers.map(|trailers| Frame::trailers(fields(trailers)));
            let frames: Vec<_> = messages.chain(trailers).map(Ok::<Frame<Bytes>, Infallible>).collect();
            let body = match frames.is_empty() {
                true => axum::body::Body::empty(),
                false => axum::body::Body::new(StreamBody::new(stream::iter(frames))),
            };
            let mut response = Response::new(body);
            *response.headers_mut() = fields(reply.head);
            response
        }
    };
    Routes::from(axum::Router::new().route(MAKE, post(method)))
}

/// What the method sends without the layer.
async fn original(reply: Reply) -> Frames {
    let gate = Gate::new();
    gate.open();
    let server = Server::tonic(Identity::new(), scripted(reply, &gate, &Arc::default())).await;
    frames(server.raw().await.order(MAKE, &[], &order("x"))).await
}

/// Two nodes over one store, with one service and a connection to each.
struct Pair {
    layers: [Memoized; 2],
    _servers: [Server; 2],
    raw: [Raw; 2],
    gate: Gate,
    calls: Arc<AtomicUsize>,
}

impl Pair {
    async fn start<St: Store>(stores: [St; 2], reply: Reply) -> Self {
        let (gate, calls) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        let layers = stores.map(layer);
        let server = |layer: &Memoized| Server::tonic(layer.clone(), scripted(reply, &gate, &calls));
        let servers = [server(&layers[0]).await, server(&layers[1]).await];
        let raw = [servers[0].raw().await, servers[1].raw().await];
        Self {
            layers,
            _servers: servers,
            raw,
            gate,
            calls,
        }
    }

    async fn waiting(&self, calls: u64) {
        let waiting = || {
            self.layers
                .iter()
                .map(|layer| layer.handle().stats().waiting)
                .sum::<u64>()
        };
        eventually("calls that wait", || waiting() == calls).await;
    }

    async fn settled(&self) {
        for layer in &self.layers {
            within("the end of all computations", layer.handle().drained()).await;
        }
    }

    /// Lets a leader and its followers go, and compares what they get, and what later callers on both nodes get, with what
    /// the method sends.
    async fn compare(&self, together: Vec<JoinHandle<Frames>>, reply: Reply) {
        let what = reply.what;
        let original = original(reply).await;
        let timeless = original.timeless();
        let count = together.len();
        self.gate.open();
        for call in together {
            let got = frames(call).await;
            assert_eq!(got.timeless(), timeless, "{what}");
        }
        self.settled().await;
        let before = self.calls.load(Ordering::SeqCst);
        assert_eq!(before, if reply.messages < 2 { 1 } else { count }, "{what}");
        for raw in &self.raw {
            let later = frames(raw.order(MAKE, &[], &order("x"))).await;
            assert_eq!(later.timeless(), timeless, "{what}, later");
            self.settled().await;
        }
        let executed = self.calls.load(Ordering::SeqCst) - before;
        assert_eq!(executed, if reply.kept { 0 } else { 2 }, "{what}, later");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_this_process_replies_are_what_was_sent() {
    for reply in REPLIES {
        let store = MemoryStore::new();
        let pair = Pair::start([store.clone(), store], reply).await;
        let together = (0..4).map(|_| pair.raw[0].order(MAKE, &[], &order("x"))).collect();
        pair.gate.reached_by(1).await;
        pair.waiting(3).await;
        pair.compare(together, reply).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_redis_replies_are_what_was_sent() {
    for reply in REPLIES {
        let redis = RedisServer::start();
        let pair = Pair::start(redis.two_stores().await, reply).await;
        let leader = pair.raw[0].order(MAKE, &[], &order("x"));
        pair.gate.reached_by(1).await;
        let follower = pair.raw[1].order(MAKE, &[], &order("x"));
        // What is shared and not stored reaches listeners already.
        eventually("a node that listens", || {
            !redis.cli(&["PUBSUB", "CHANNELS", "workshop/notif:*"]).is_empty()
        })
        .await;
        pair.waiting(1).await;
        pair.compare(vec![leader, follower], reply).await;
    }
}
