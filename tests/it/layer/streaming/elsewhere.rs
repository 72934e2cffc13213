//! Followers on another node than their leader, over a real Redis: they read the response while it comes.

mod ends;
mod uploads;

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tower::Layer;
use tower_memolock::MemoLockLayer;
use tower_memolock::middleware::{CacheStatus, ResponseLimits, StreamFollowers};

use super::fixture::{Reply, fails, give, growing, next, open, open_later, plain, trailers, whole};
use crate::layer::failures::key;
use crate::layer::fixture::{Answer, Broken, Gate, Inner, Node, Part, by_hand, data, get, get_with, streamed, with};
use crate::support::{RedisServer, eventually, within};

/// What is stored and what is locked of `/`, and what is there of it before it is whole.
const VALUE: &str = "layer:{GET ///}";
const LOCK: &str = "layer/lock:{GET ///}";
const PART: &str = "layer/part:{GET ///}";

pub(super) async fn node_of(
    server: &RedisServer,
    inner: &Inner,
    set: impl Fn(MemoLockLayer) -> MemoLockLayer,
) -> (MemoLockLayer, Node) {
    let store = server.store().await;
    let layer = MemoLockLayer::new(store, "layer")
        .cache_status(CacheStatus::Outcome)
        .stream_followers(StreamFollowers::Cluster);
    let layer = set(layer);
    let node = layer.layer(inner.clone());
    (layer, node)
}

/// A leader's node, and another.
struct Pair {
    server: RedisServer,
    here: Node,
    there: Node,
    layers: [MemoLockLayer; 2],
}

impl Pair {
    async fn of(inner: &Inner) -> Self {
        Self::with(inner, |layer| layer).await
    }

    async fn with(inner: &Inner, set: impl Fn(MemoLockLayer) -> MemoLockLayer) -> Self {
        let server = RedisServer::start();
        let (one, here) = node_of(&server, inner, &set).await;
        let (two, there) = node_of(&server, inner, &set).await;
        Self {
            server,
            here,
            there,
            layers: [one, two],
        }
    }

    /// A leader's client, and one on the other node that reads along.
    async fn reading(&self) -> (Reply, Reply) {
        let leader = open(&self.here, get("/")).await;
        let follower = open(&self.there, get("/")).await;
        (leader, follower)
    }

    /// The same, once the one that reads along has read the first part, `one`.
    async fn reading_one(&self, sender: &UnboundedSender<Part>) -> (Reply, Reply) {
        let (leader, mut follower) = self.reading().await;
        give(sender, "one");
        assert_eq!(some(&mut follower, 3).await, "one");
        (leader, follower)
    }

    fn has(&self, key: &str) -> bool {
        self.server.cli(&["EXISTS", key]).trim() == "1"
    }
}

fn read_on(reply: Reply) -> JoinHandle<Answer> {
    tokio::spawn(whole(reply))
}

async fn read(reader: JoinHandle<Answer>) -> Answer {
    within("a whole body", reader).await.expect("no panic")
}

/// Reads so many bytes.
async fn some(reply: &mut Reply, length: usize) -> Bytes {
    let mut read = Vec::new();
    while read.len() < length {
        read.extend_from_slice(&next(reply).await);
    }
    read.into()
}

#[tokio::test]
async fn a_follower_elsewhere_reads_while_the_leaders_response_comes() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (mut leader, mut follower) = pair.reading().await;
    for part in ["one", "two", "three"] {
        give(&sender, part);
        assert_eq!(some(&mut leader, part.len()).await, part);
        assert_eq!(some(&mut follower, part.len()).await, part);
    }
    assert!(pair.has(PART) && pair.has(LOCK) && !pair.has(VALUE));
    sender.send(trailers("x-cost", "7")).expect("a reader");
    drop(sender);
    assert_eq!(whole(leader).await.trailers.expect("trailers")["x-cost"], "7");
    let followed = whole(follower).await;
    assert_eq!(followed.trailers.expect("trailers")["x-cost"], "7");
    assert_eq!(
        followed.headers["cache-status"],
        "memolock; fwd=uri-miss; collapsed; detail=absent"
    );
    eventually("a value", || pair.has(VALUE)).await;
    assert!(!pair.has(PART) && !pair.has(LOCK));
    for node in [&pair.here, &pair.there] {
        let hit = whole(open(node, get("/")).await).await;
        assert_eq!(hit.body, "onetwothree");
        assert_eq!(hit.trailers.expect("trailers")["x-cost"], "7");
        assert!(hit.headers["cache-status"].to_str().expect("ASCII").contains("hit"));
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn those_who_come_late_get_all_of_it_from_the_beginning() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "0123456789");
    assert_eq!(some(&mut follower, 10).await, "0123456789");
    let (_, third) = node_of(&pair.server, &inner, |layer| layer).await;
    let mut late = vec![open(&pair.there, get("/")).await, open(&third, get("/")).await];
    late.push(open(&third, get("/")).await);
    for reply in &mut late {
        assert_eq!(some(reply, 10).await, "0123456789");
    }
    give(&sender, "more");
    drop(sender);
    for reader in late.into_iter().chain([follower]).map(read_on) {
        assert_eq!(read(reader).await.body, "more");
    }
    assert_eq!(whole(leader).await.body, "0123456789more");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_follower_that_waits_before_there_is_a_head_gets_it_at_once() {
    let gate = Gate::new();
    let (sender, parts) = by_hand();
    let parts = Mutex::new(Some(parts));
    let inner = {
        let gate = gate.clone();
        Inner::new(move |_, _| {
            let (gate, parts) = (gate.clone(), parts.lock().expect("no panic").take());
            async move {
                gate.pass().await;
                Ok(with(streamed(parts.expect("one call")), "cache-control", "max-age=60"))
            }
        })
    };
    let pair = Pair::of(&inner).await;
    let leader = open_later(&pair.here);
    gate.reached_by(1).await;
    let followers = [open_later(&pair.there), open_later(&pair.there)];
    eventually("a subscriber", || {
        pair.server
            .cli(&["PUBSUB", "CHANNELS", "layer/ctl:*"])
            .contains("{GET ///}")
    })
    .await;
    gate.open();
    let mut leader = within("a head", leader).await.expect("no panic");
    give(&sender, "one");
    assert_eq!(some(&mut leader, 3).await, "one");
    for follower in followers {
        let mut follower = within("a head", follower).await.expect("no panic");
        assert_eq!(some(&mut follower, 3).await, "one");
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn what_is_lost_of_the_notices_is_read() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    let leader = read_on(leader);
    let mut expected = String::new();
    for n in 0..20 {
        pair.server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        let part = format!("{n:01000}");
        give(&sender, &part);
        expected.push_str(&part);
        assert_eq!(some(&mut follower, part.len()).await, part);
    }
    pair.server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    drop(sender);
    assert_eq!(whole(follower).await.body, "");
    assert_eq!(read(leader).await.body, expected);
}

#[tokio::test]
async fn each_gets_the_variant_it_asks_for() {
    let (sender, inner) = growing(|reply, request| {
        let language = request.headers().get("accept-language").cloned();
        let mut reply = with(reply, "vary", "accept-language");
        if let Some(language) = language {
            reply.headers_mut().insert("content-language", language);
        }
        reply
    });
    let pair = Pair::of(&inner).await;
    let leader = open(&pair.here, get_with("/", "accept-language", "de")).await;
    give(&sender, "deutsch");
    let same = open_later_with(&pair.there, "de");
    let other = open_later_with(&pair.there, "en");
    let mut same = within("a head", same).await.expect("no panic");
    assert_eq!(some(&mut same, 7).await, "deutsch");
    assert_eq!(whole(within("a head", other).await.expect("no panic")).await.body, "2");
    drop(sender);
    assert_eq!(whole(same).await.body, "");
    assert_eq!(whole(leader).await.body, "deutsch");
    assert_eq!(inner.calls(), 2);
}

fn open_later_with(node: &Node, language: &'static str) -> JoinHandle<Reply> {
    let node = node.clone();
    tokio::spawn(async move { open(&node, get_with("/", "accept-language", language)).await })
}
