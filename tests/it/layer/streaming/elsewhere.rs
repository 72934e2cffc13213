//! Followers on another node than their leader, over a real Redis: they read the response while it comes.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tower::Layer;
use tower_memolock::MemoLockLayer;
use tower_memolock::middleware::{CacheStatus, ResponseLimits, StreamFollowers};

use super::fixture::{Reply, fails, give, growing, next, open, open_later, plain, trailers, whole};
use crate::layer::failures::key;
use crate::layer::fixture::{Answer, Broken, Gate, Inner, Node, by_hand, data, get, get_with, streamed, with};
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
async fn a_response_that_breaks_off_does_so_for_followers_elsewhere() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    fails(leader).await;
    fails(follower).await;
    assert!(!pair.has(VALUE));
    eventually("nothing left", || !pair.has(PART) && !pair.has(LOCK)).await;
    assert_eq!(whole(open(&pair.there, get("/")).await).await.body, "2");
}

#[tokio::test]
async fn an_invalidation_breaks_it_off_and_nothing_of_it_is_stored() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    let leader = read_on(leader);
    pair.layers[1]
        .handle()
        .invalidate(&key("/"))
        .await
        .expect("an invalidation");
    assert_eq!(
        whole(open(&pair.there, get("/")).await).await.body,
        "2",
        "of a run of its own"
    );
    give(&sender, "two");
    drop(sender);
    fails(follower).await;
    assert_eq!(read(leader).await.body, "onetwo");
    assert_eq!(whole(open(&pair.here, get("/")).await).await.body, "2");
    assert_eq!(whole(open(&pair.there, get("/")).await).await.body, "2");
}

#[tokio::test]
async fn trailers_that_make_it_private_break_it_off() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    sender.send(trailers("set-cookie", "id=1")).expect("a reader");
    drop(sender);
    assert!(whole(leader).await.trailers.is_some());
    fails(follower).await;
    // What readers have read is a hash, for a while.
    let has = |command: &[&str]| pair.server.try_cli(command).is_ok_and(|what| what.contains("id=1"));
    for key in pair.server.keys() {
        assert!(
            !has(&["GETRANGE", &key, "0", "-1"]) && !has(&["HGETALL", &key]),
            "{key}"
        );
    }
}

#[tokio::test]
async fn nothing_is_uploaded_where_no_one_follows_elsewhere() {
    let mut counts = Vec::new();
    for whom in [StreamFollowers::Process, StreamFollowers::Cluster] {
        let inner = Inner::replying(|call| {
            let parts = (0..3).map(move |n| data(format!("{call} {n}")));
            with(
                streamed(futures_util::stream::iter(parts)),
                "cache-control",
                "max-age=60",
            )
        });
        let server = RedisServer::start();
        let (_, node) = node_of(&server, &inner, |layer| layer.stream_followers(whom)).await;
        // What a process does once.
        whole(open(&node, get("/first")).await).await;
        eventually("what is stored", || server.stored().len() == 1).await;
        let channels = || server.cli(&["PUBSUB", "CHANNELS", "layer/ctl:{:part *"]);
        eventually("a process that can be asked", || {
            whom == StreamFollowers::Process || !channels().is_empty()
        })
        .await;
        server.reset_commandstats();
        for n in 0..20 {
            whole(open(&node, get(&format!("/{n}"))).await).await;
        }
        eventually("what is stored", || server.stored().len() == 21).await;
        let mut stats = server.commandstats();
        stats.retain(|name, _| !["ping", "config|resetstat", "info"].contains(&name.as_str()));
        counts.push(stats);
    }
    assert_eq!(counts[0], counts[1]);
}

#[tokio::test]
async fn a_body_that_is_longer_than_what_may_be_stored_is_read_along() {
    let (sender, inner) = growing(plain);
    let pair = Pair::with(&inner, |layer| {
        layer.response_limits(ResponseLimits::new().max_body(100_000))
    })
    .await;
    let (leader, follower) = pair.reading().await;
    let (leader, follower) = (read_on(leader), read_on(follower));
    const PIECES: usize = 400;
    for n in 0..PIECES {
        let piece = Bytes::from(vec![b'a' + (n % 26) as u8; 64 * 1024]);
        sender.send(data(piece)).expect("a reader");
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let held: u64 = pair
                .layers
                .iter()
                .map(|layer| layer.handle().stats().recorded_bytes)
                .sum();
            assert!(held <= 2 * (100_000 + 2 * 64 * 1024), "{held}");
        }
    }
    sender.send(trailers("x-cost", "7")).expect("a reader");
    drop(sender);
    let (leader, follower) = (read(leader).await, read(follower).await);
    assert_eq!(leader.body.len(), PIECES * 64 * 1024);
    assert_eq!(leader.body, follower.body);
    assert_eq!(follower.trailers.expect("trailers")["x-cost"], "7");
    assert!(
        !pair.has(VALUE)
            || !pair
                .server
                .cli(&["STRLEN", VALUE])
                .trim()
                .parse::<usize>()
                .is_ok_and(|length| length > 1000)
    );
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_body_of_some_megabytes_is_uploaded_once_and_stored() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading().await;
    let (leader, follower) = (read_on(leader), read_on(follower));
    for n in 0..100 {
        let piece = Bytes::from(vec![b'a' + (n % 26) as u8; 50_000]);
        sender.send(data(piece)).expect("a reader");
    }
    drop(sender);
    let (leader, follower) = (read(leader).await, read(follower).await);
    assert_eq!(leader.body.len(), 5_000_000);
    assert_eq!(leader.body, follower.body);
    eventually("a value", || pair.has(VALUE)).await;
    let received: u64 = info(&pair.server, "total_net_input_bytes");
    assert!(received < 5_500_000, "{received} bytes");
    for node in [&pair.here, &pair.there] {
        assert_eq!(whole(open(node, get("/")).await).await.body, leader.body);
    }
    assert_eq!(inner.calls(), 1);
}

fn info(server: &RedisServer, name: &str) -> u64 {
    let info = server.cli(&["INFO"]);
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).expect("a number")
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

#[tokio::test]
async fn a_leader_that_lost_its_lock_appends_nothing() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    let before = pair.server.cli(&["STRLEN", PART]);
    pair.server.cli(&["SET", LOCK, "somebody else", "PX", "600"]);
    let leader = read_on(leader);
    give(&sender, "two");
    fails(follower).await;
    let after = pair.server.cli(&["STRLEN", PART]);
    assert!(after == before || after.trim() == "0", "{after}");
    drop(sender);
    assert_eq!(read(leader).await.body, "onetwo");
    assert!(!pair.has(VALUE));
}

#[tokio::test]
async fn a_part_of_an_earlier_leader_is_no_ones() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    // As if it had died, and its lease had ended.
    pair.server.cli(&["COPY", PART, "saved"]);
    pair.server.cli(&["DEL", LOCK]);
    fails(follower).await;
    drop(leader);
    pair.server.cli(&["COPY", "saved", PART, "REPLACE"]);
    pair.server
        .cli(&["SET", LOCK, &"0123456789abcdef".repeat(2), "PX", "1500"]);
    let late = whole(open(&pair.there, get("/")).await).await;
    assert_eq!(late.body, "2");
    drop(sender);
}

#[tokio::test]
async fn a_reply_that_is_dropped_leaves_nothing_behind() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    drop(follower);
    drop(sender);
    assert_eq!(whole(leader).await.body, "one");
    eventually("nothing held", || {
        pair.layers.iter().all(|layer| {
            let stats = layer.handle().stats();
            (stats.waiting, stats.in_flight, stats.recorded_bytes) == (0, 0, 0)
        })
    })
    .await;
    assert!(pair.has(VALUE) && !pair.has(PART));
}

#[tokio::test]
async fn the_end_reaches_a_follower_as_an_error_of_the_body() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (_leader, mut follower) = pair.reading().await;
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    let end = within("an end", follower.body_mut().frame()).await;
    assert!(end.is_some_and(|end| end.is_err()));
}

#[tokio::test]
async fn a_tag_that_is_invalidated_is_nothing_to_those_who_come_later() {
    let (sender, inner) = growing(|reply, _| with(reply, "cache-groups", "\"news\""));
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    pair.layers[1]
        .handle()
        .invalidate_tags(["news"])
        .await
        .expect("an invalidation");
    // It waits for the end, and then asks again.
    let late = open_later(&pair.there);
    eventually("one who waits", || pair.layers[1].handle().stats().waiting == 1).await;
    give(&sender, "two");
    drop(sender);
    assert_eq!(whole(leader).await.body, "onetwo");
    assert_eq!(whole(within("a head", late).await.expect("no panic")).await.body, "2");
    drop(follower);
}

#[tokio::test]
async fn what_is_softly_invalidated_goes_on_for_those_who_read_and_is_stale() {
    let (sender, inner) = growing(|reply, _| with(reply, "cache-control", "stale-while-revalidate=60"));
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    pair.layers[1]
        .handle()
        .invalidate(&key("/"))
        .soft()
        .await
        .expect("an invalidation");
    give(&sender, "two");
    assert_eq!(some(&mut follower, 3).await, "two");
    let large = Bytes::from(vec![b'x'; 100_000]);
    sender.send(data(large.clone())).expect("a reader");
    drop(sender);
    assert_eq!(whole(leader).await.body.len(), 6 + 100_000);
    assert_eq!(whole(follower).await.body, large);
    eventually("a value", || pair.has(VALUE)).await;
    let stale = whole(open(&pair.there, get("/")).await).await;
    assert_eq!(stale.body.len(), 6 + 100_000);
    eventually("a new one", || inner.calls() == 2).await;
}

#[tokio::test]
async fn a_follower_whose_layer_does_not_read_along_waits_for_the_end() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    let (other, node) = node_of(&pair.server, &inner, |layer| {
        layer.stream_followers(StreamFollowers::Off)
    })
    .await;
    let waiting = open_later(&node);
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    eventually("one who waits", || other.handle().stats().waiting == 1).await;
    assert!(!waiting.is_finished());
    drop(sender);
    assert_eq!(
        whole(within("a head", waiting).await.expect("no panic")).await.body,
        "one"
    );
    assert_eq!(whole(leader).await.body, "one");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_leader_whose_layer_shows_nothing_is_waited_for() {
    let (sender, inner) = growing(plain);
    let server = RedisServer::start();
    let (_, here) = node_of(&server, &inner, |layer| {
        layer.stream_followers(StreamFollowers::Process)
    })
    .await;
    let (_, there) = node_of(&server, &inner, |layer| layer).await;
    let leader = open(&here, get("/")).await;
    let follower = open_later(&there);
    give(&sender, "one");
    drop(sender);
    assert_eq!(
        whole(within("a head", follower).await.expect("no panic")).await.body,
        "one"
    );
    assert_eq!(whole(leader).await.body, "one");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_client_that_stops_reading_a_long_body_breaks_off_and_the_others_read_on() {
    const PIECES: usize = 600;
    let (sender, inner) = growing(plain);
    let pair = Pair::with(&inner, |layer| {
        layer.response_limits(ResponseLimits::new().max_body(100_000))
    })
    .await;
    let (leader, mut slow) = pair.reading().await;
    let (_, third) = node_of(&pair.server, &inner, |layer| {
        layer.response_limits(ResponseLimits::new().max_body(100_000))
    })
    .await;
    let quick = open(&pair.there, get("/")).await;
    let elsewhere = open(&third, get("/")).await;
    let readers = [leader, quick, elsewhere].map(read_on);
    give(&sender, "one");
    assert_eq!(some(&mut slow, 3).await, "one");
    for _ in 0..PIECES {
        sender.send(data(vec![b'x'; 64 * 1024])).expect("a reader");
    }
    drop(sender);
    for reader in readers {
        assert_eq!(read(reader).await.body.len(), 3 + PIECES * 64 * 1024);
    }
    fails(slow).await;
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn what_is_shared_and_not_stored_is_read_along_too() {
    let (sender, inner) = growing(|mut reply, _| {
        reply.headers_mut().remove("cache-control");
        reply
    });
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    let large = Bytes::from(vec![b'x'; 2_000_000]);
    let follower = read_on(follower);
    sender.send(data(large.clone())).expect("a reader");
    drop(sender);
    assert_eq!(whole(leader).await.body.len(), 2_000_003);
    assert_eq!(read(follower).await.body, large);
    assert!(!pair.has(VALUE) && !pair.has(PART));
    assert_eq!(inner.calls(), 1);
}
