//! What is logged: each event once, at its level, with a key that can be read, and no warning with every request.

use std::convert::Infallible;
use std::fmt::{Debug, Write};
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tower_memolock::store::{Acquire, MemoryWatch, Release, Renewed, Token, Value};
use tower_memolock::{
    Address, BoxError, Codec, ErrorKind, Key, Limits, MemoLock, MemoryStore, RedisStore, Store, StoreError,
    StoreErrorKind, Tag,
};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::support::{RedisServer, eventually, listen_with};

const LEASE: Duration = Duration::from_secs(2);

/// The events of this thread, as lines: the message, then the fields.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<(Level, String)>>>);

impl Events {
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        let events = Self::default();
        let subscriber = tracing_subscriber::registry().with(events.clone());
        (events, listen_with(subscriber))
    }

    /// The lines of this level that hold `text`.
    pub(crate) fn find(&self, level: Level, text: &str) -> Vec<String> {
        let events = self.0.lock().expect("no panic").clone();
        let found = events
            .into_iter()
            .filter(|(at, line)| *at == level && line.contains(text));
        found.map(|(_, line)| line).collect()
    }

    fn count(&self, level: Level, text: &str) -> usize {
        self.find(level, text).len()
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if !event.metadata().target().starts_with("tower_memolock") {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let line = format!("{}{}", line.message, line.fields);
        self.0.lock().expect("no panic").push((*event.metadata().level(), line));
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

fn value(value: &'static str) -> Ready<Result<Bytes, Infallible>> {
    ready(Ok(Bytes::from(value)))
}

fn memo<St: Store>(store: St) -> MemoLock {
    MemoLock::new(store, "t").lease(LEASE)
}

fn address(id: &str) -> Address {
    Address::new(&Tag::new("t").expect("a tag"), &Key::new(id).expect("a key"))
}

/// Reads nothing that it has not written.
#[derive(Clone)]
struct Numbers;

impl Codec for Numbers {
    type Value = u32;

    fn encode(&self, _: &Address, value: &u32) -> Result<Bytes, BoxError> {
        Ok(value.to_string().into())
    }

    fn decode(&self, _: &Address, _: Bytes) -> Result<u32, BoxError> {
        Err("no number".into())
    }
}

#[tokio::test(start_paused = true)]
async fn entries_that_cannot_be_used_are_warned_of_once_a_minute() {
    let (events, _guard) = Events::capture();
    let store = MemoryStore::new();
    let (bytes, numbers) = (
        memo(store.clone()),
        MemoLock::with_codec(store, "t", Numbers).lease(LEASE),
    );
    bytes.get_or_compute("a", || value("x")).await.expect("a value");
    for _ in 0..3 {
        assert_eq!(numbers.get("a").await.expect("a key"), None);
    }
    assert_eq!(
        events.count(Level::WARN, "address=t:a error=a value of another type"),
        1
    );
    assert!(events.count(Level::DEBUG, "cannot be used and counts as absent address=t:a") >= 2);
}

/// A store that answers each command with the same error.
#[derive(Clone)]
struct Failing(MemoryStore, StoreErrorKind);

impl Failing {
    fn error<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::new(self.1))
    }
}

impl Store for Failing {
    type Watch = MemoryWatch;

    async fn lookup(&self, _: &Address) -> Result<Option<Value>, StoreError> {
        self.error()
    }

    async fn acquire(&self, _: &Address, _: Token, _: Duration) -> Result<Acquire, StoreError> {
        self.error()
    }

    async fn renew(&self, _: &Address, _: Token, _: Duration) -> Result<Renewed, StoreError> {
        self.error()
    }

    async fn commit(&self, _: &Address, _: Token, _: &Value, _: Duration) -> Result<bool, StoreError> {
        self.error()
    }

    async fn release(&self, _: &Address, _: Token, _: Release) -> Result<bool, StoreError> {
        self.error()
    }

    async fn invalidate(&self, _: &Address) -> Result<(), StoreError> {
        self.error()
    }

    fn watch(&self, address: &Address) -> MemoryWatch {
        self.0.watch(address)
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_open_is_seen_and_does_not_warn_each_time() {
    for (kind, warnings) in [(StoreErrorKind::Unavailable, 0), (StoreErrorKind::Rejected, 1)] {
        let (events, _guard) = Events::capture();
        let memo = memo(Failing(MemoryStore::new(), kind));
        for _ in 0..100 {
            memo.get_or_compute("a", || value("x")).await.expect("a value");
        }
        assert_eq!(events.count(Level::DEBUG, "computing without a lease address=t:a"), 100);
        assert_eq!(
            events.count(Level::WARN, ""),
            warnings,
            "{:?}",
            events.find(Level::WARN, "")
        );
        tokio::time::advance(Duration::from_secs(60)).await;
        memo.get_or_compute("a", || value("x")).await.expect("a value");
        let warned = events.count(
            Level::WARN,
            "the store refuses; going on without it, others may follow address=t:a",
        );
        assert_eq!(warned, 2 * warnings);
    }
}

#[tokio::test(start_paused = true)]
async fn a_take_over_and_a_refused_result_are_seen() {
    let (events, _guard) = Events::capture();
    let store = MemoryStore::new();
    store
        .acquire(&address("a"), Token::random(), LEASE)
        .await
        .expect("a store");
    let (memo, started, gate) = (memo(store), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let caller = {
        let (memo, started, gate) = (memo.clone(), Arc::clone(&started), Arc::clone(&gate));
        let compute = move || async move {
            started.notify_one();
            gate.notified().await;
            value("x").await
        };
        tokio::spawn(async move { memo.get_or_compute("a", compute).await })
    };
    started.notified().await;
    assert_eq!(events.count(Level::DEBUG, "taking over address=t:a"), 1);
    memo.invalidate("a").await.expect("a store");
    gate.notify_one();
    caller.await.expect("no panic").expect("a value");
    assert_eq!(events.count(Level::DEBUG, "result refused"), 1);
    assert!(events.find(Level::DEBUG, "result refused")[0].ends_with("address=t:a"));
    assert_eq!(events.count(Level::WARN, ""), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_warned_of_once_a_minute_and_a_shutdown_told() {
    let (events, _guard) = Events::capture();
    let memo = memo(MemoryStore::new()).limits(Limits::new().max_in_flight(0));
    for _ in 0..10 {
        memo.get_or_compute("a", || value("x")).await.expect("a value");
    }
    let text = "address=t:a limit=too many keys are in flight";
    assert_eq!(
        (events.count(Level::WARN, text), events.count(Level::DEBUG, text)),
        (1, 9)
    );
    memo.shutdown(Duration::ZERO).await;
    assert_eq!(
        events.find(Level::INFO, ""),
        ["shutting down: giving leases back tag=\"t\" leases=0"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_too_long_is_seen_with_a_key_that_can_be_read() {
    let (events, _guard) = Events::capture();
    let store = MemoryStore::new();
    let id = format!("evil\n\x1b[2J{}", "x".repeat(1000));
    store
        .acquire(&address(&id), Token::random(), LEASE)
        .await
        .expect("a store");
    let memo = memo(store).wait_timeout(LEASE / 2);
    let result = memo.get_or_compute(id, || value("x")).await;
    assert!(matches!(result, Err(error) if error.kind() == ErrorKind::WaitTimeout));
    let line = events.find(Level::DEBUG, "waited too long").pop().expect("an event");
    assert!(
        line.starts_with(r"waited too long address=t:evil\n\u{1b}[2Jxxx"),
        "{line}"
    );
    assert!(line.ends_with("... (1011 bytes)") && line.len() < 400, "{line}");
}

#[tokio::test]
async fn an_outage_of_redis_is_one_warning_a_plane_however_many_ask() {
    let (events, _guard) = Events::capture();
    // With nothing about its memory to warn of.
    let mut redis = RedisServer::start_with(&["--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru"]);
    let store = redis.store().await;
    let memo = memo(store.clone()).ttl(Duration::from_millis(1));
    memo.get_or_compute("a", || value("x")).await.expect("a value");
    redis.kill();
    for n in 0..200 {
        memo.get_or_compute(n.to_string(), || value("x"))
            .await
            .expect("a value");
    }
    let lost = |plane| format!("no connection to Redis plane={plane:?}");
    for plane in ["commands", "notifications"] {
        eventually("the warning", || events.count(Level::WARN, &lost(plane)) == 1).await;
    }
    let again = "still no connection to Redis";
    eventually("further attempts", || events.count(Level::DEBUG, again) >= 5).await;
    assert_eq!(events.count(Level::WARN, ""), 2, "{:?}", events.find(Level::WARN, ""));
    assert_eq!(events.count(Level::INFO, "connected to Redis again"), 0);

    redis.restart_empty();
    eventually("both planes", || {
        events.count(Level::INFO, "connected to Redis again") == 2
    })
    .await;
    assert_eq!(events.count(Level::WARN, ""), 2);
    assert_eq!(events.count(Level::ERROR, ""), 0);
}

#[tokio::test]
async fn a_refusal_that_only_an_operator_can_end_is_one_error() {
    let (events, _guard) = Events::capture();
    let redis = RedisServer::start();
    let create = ["ACL", "SETUSER", "us", "on", ">pw", "~*", "&*", "+@all"];
    redis.cli(&create);
    let url = redis.url().replace("redis://", "redis://us:pw@");
    let store = RedisStore::connect(&url).await.expect("a store");
    // Ends its connections too.
    redis.cli(&["ACL", "DELUSER", "us"]);
    let refused = "until an operator changes the configuration plane=\"commands\" error=Redis rejects the user name";
    eventually("the error", || events.count(Level::ERROR, refused) == 1).await;
    let again = "still no connection to Redis plane=\"commands\"";
    eventually("further attempts", || events.count(Level::DEBUG, again) >= 3).await;
    assert_eq!(events.count(Level::ERROR, ""), 1, "{:?}", events.find(Level::ERROR, ""));
    redis.cli(&create);
    eventually("its end", || store.stats().commands.connected).await;
    assert_eq!(
        events.count(Level::INFO, "connected to Redis again plane=\"commands\""),
        1
    );
}
