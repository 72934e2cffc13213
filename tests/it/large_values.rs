//! Large values on their way from and to Redis: no caller waits for a value that it does not want.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tower_memolock::{Key, MemoLock, RedisStore};

use crate::support::{RedisServer, SlowLink, eventually, within};

const LARGE: usize = 3 << 20;

/// With this a large value takes three times as long as the store's timeout.
const SLOW: usize = 1 << 20;

fn key(name: &str) -> Key {
    Key::builder().part("GET").part(name).build()
}

fn large() -> Bytes {
    Bytes::from(vec![b'x'; LARGE])
}

/// A node, and how often it has computed anything.
#[derive(Clone)]
struct Member {
    memo: MemoLock,
    store: RedisStore,
    calls: Arc<AtomicUsize>,
}

impl Member {
    async fn at(url: &str) -> Self {
        let store = RedisStore::connect(url).await.expect("a store");
        Self {
            memo: MemoLock::new(store.clone(), "t").ttl(Duration::from_secs(600)),
            store,
            calls: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn ask(&self, name: &str, computed: Bytes) -> Bytes {
        let calls = Arc::clone(&self.calls);
        let compute = || async move {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(computed)
        };
        let answer = self.memo.get_or_compute(key(name), compute);
        within("an answer", answer).await.expect("a value")
    }

    fn spawn(&self, name: &'static str) -> tokio::task::JoinHandle<Bytes> {
        let member = self.clone();
        tokio::spawn(async move { member.ask(name, "computed".into()).await })
    }
}

/// A server with a large and a small value, and a node behind a slow link to it.
async fn world() -> (RedisServer, SlowLink, Member) {
    let redis = RedisServer::start();
    let near = Member::at(&redis.url()).await;
    near.ask("/large", large()).await;
    near.ask("/small", "small".into()).await;
    eventually("two values", || redis.stored().len() == 2).await;
    let link = SlowLink::start(redis.port(), SLOW).await;
    let far = Member::at(&link.url()).await;
    (redis, link, far)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_is_waited_for_as_long_as_it_arrives() {
    let (_redis, _link, far) = world().await;
    // Of the first no node knows that it is large.
    for _ in 0..2 {
        let since = Instant::now();
        assert_eq!(far.ask("/large", "computed".into()).await.len(), LARGE);
        assert!(since.elapsed() > Duration::from_secs(2), "the link is not slow");
    }
    assert_eq!(far.calls(), 0);
    let stats = far.store.stats();
    assert_eq!((stats.timeouts, stats.commands.outages), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_falls_silent_in_a_large_value_is_given_up() {
    let (_redis, link, far) = world().await;
    far.ask("/large", "computed".into()).await;
    for known in [true, false] {
        let far = match known {
            true => far.clone(),
            false => Member::at(&link.url()).await,
        };
        link.silence_after(LARGE / 3);
        let since = Instant::now();
        assert_eq!(far.ask("/large", "computed".into()).await, "computed");
        assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
        assert_eq!(far.calls(), 1);
        link.silence_after(usize::MAX / 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_values_do_not_wait_for_a_large_one() {
    let (_redis, link, far) = world().await;
    for _ in 0..2 {
        let before = link.passed();
        let asked = far.spawn("/large");
        eventually("a large value on its way", || link.passed() > before + LARGE / 5).await;
        let mut slowest = Duration::ZERO;
        while link.passed() < before + LARGE / 2 {
            let since = Instant::now();
            assert_eq!(far.ask("/small", "computed".into()).await, "small");
            slowest = slowest.max(since.elapsed());
        }
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        assert!(!asked.is_finished());
        assert_eq!(asked.await.expect("no panic").len(), LARGE);
    }
    assert_eq!(far.calls(), 0);
    let stats = far.store.stats();
    assert_eq!((stats.timeouts, stats.unavailable), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_on_its_way_to_redis_keeps_no_request_waiting() {
    let (redis, _link, far) = world().await;
    far.ask("/small", "computed".into()).await;
    let leader = far.clone();
    let led = tokio::spawn(async move { leader.ask("/new", large()).await });
    let is_stored = || redis.keys().iter().any(|key| key == "t:{GET /new}");
    let mut asked = 0;
    while !is_stored() {
        let since = Instant::now();
        assert_eq!(far.ask("/small", "computed".into()).await, "small");
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        asked += 1;
        assert!(asked < 100_000, "it is never stored");
    }
    led.await.expect("no panic");
    let stats = far.store.stats();
    assert_eq!((stats.timeouts, stats.unavailable), (0, 0));
    assert_eq!(far.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_for_one_large_value_share_its_reads() {
    let redis = RedisServer::start();
    let near = Member::at(&redis.url()).await;
    let page = Bytes::from(vec![b'x'; 8 << 20]);
    near.ask("/page", page.clone()).await;
    near.ask("/small", "small".into()).await;
    eventually("two values", || redis.stored().len() == 2).await;
    let far = Member::at(&redis.url()).await;
    redis.reset_commandstats();
    for round in 0..3 {
        let mut crowd = JoinSet::new();
        for _ in 0..120 {
            let (far, page) = (far.clone(), page.clone());
            crowd.spawn(async move { assert_eq!(far.ask("/page", "computed".into()).await.len(), page.len()) });
            let far = near.clone();
            crowd.spawn(async move { assert_eq!(far.ask("/small", "computed".into()).await, "small") });
        }
        crowd.join_all().await;
        let moved = redis.cli(&["INFO", "stats"]);
        let moved = moved
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        let moved: usize = moved.expect("a figure").trim().parse().expect("a number");
        assert!(moved < (round + 1) * 20 * page.len(), "{} MB", moved >> 20);
    }
    assert_eq!(far.calls(), 0);
    let stats = far.store.stats();
    assert_eq!((stats.timeouts, stats.unavailable, stats.commands.outages), (0, 0, 0));
}
