//! The leader is named: in the spans of followers and of later hits, on whichever node.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tower::{Layer, ServiceExt};
use tower_memolock::{MemoLock, MemoLockLayer, MemoryStore, TraceBridge, TraceContext, set_trace_bridge};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Instrument, Span, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer as Listener, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::fixture::{Asked, Failure, Gate, Inner, Node, answer, fresh, get, get_with, pair_over, read, send, settle};
use crate::support::{RedisServer, eventually, listen_with};

const LEADER: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
const FOLLOWER: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

fn traceparent(context: &str) -> String {
    format!("00-{context}-01")
}

/// One span, and what was recorded in it.
#[derive(Debug, Clone, Default)]
struct Seen {
    id: u64,
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
    is_closed: bool,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        let value = value.trim_matches('"').to_owned();
        let before = self.fields.insert(field.name(), value);
        // A tracing system keeps what is recorded twice twice.
        assert!(before.is_none() || field.name() == "wait_us", "{} again", field.name());
    }
}

/// All spans, in the order in which they began.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Seen>>>);

impl Spans {
    fn named(&self, name: &str) -> Vec<Seen> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|span| span.name == name).cloned().collect()
    }

    /// The only lookup that came to this.
    fn lookup(&self, outcome: &str) -> Seen {
        let mut lookups = self.named("memolock_lookup");
        lookups.retain(|span| span.fields.get("outcome").is_some_and(|said| said == outcome));
        assert_eq!(lookups.len(), 1, "{outcome}: {lookups:?}");
        lookups.remove(0)
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Listener<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut seen = Seen {
            id: id.into_u64(),
            name: attributes.metadata().name(),
            ..Seen::default()
        };
        attributes.record(&mut seen);
        self.0.lock().unwrap().push(seen);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut all = self.0.lock().unwrap();
        let span = all.iter_mut().rfind(|span| span.id == id.into_u64() && !span.is_closed);
        values.record(span.expect("a span"));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut all = self.0.lock().unwrap();
        let span = all.iter_mut().rfind(|span| span.id == id.into_u64() && !span.is_closed);
        span.expect("a span").is_closed = true;
    }
}

fn listen_from(level: LevelFilter) -> (Spans, tracing::subscriber::DefaultGuard) {
    let spans = Spans::default();
    let registry = tracing_subscriber::registry().with(level).with(spans.clone());
    (spans, listen_with(registry))
}

fn listen() -> (Spans, tracing::subscriber::DefaultGuard) {
    listen_from(LevelFilter::TRACE)
}

fn gated(gate: &Gate) -> Inner {
    Inner::gated(gate, move |_, _| Ok(fresh("x")))
}

/// Waits until the other node listens for what becomes of a promise.
async fn other_node_listens(server: &RedisServer, channels: &str) {
    eventually("a subscriber", || {
        !server.cli(&["PUBSUB", "CHANNELS", channels]).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_follower_and_a_hit_on_another_node_name_what_computed_their_response() {
    let server = RedisServer::start();
    let gate = Gate::new();
    let inner = gated(&gate);
    let [one, two] = pair_over(server.two_stores().await, &inner, |layer| layer);
    let (spans, _guard) = listen();

    let leader = send(&one, get_with("/", "traceparent", &traceparent(LEADER)));
    gate.reached_by(1).await;
    let lock = server.keys().into_iter().find(|key| key.starts_with("layer/lock:"));
    let lock = server.cli(&["GET", &lock.expect("a lock")]);
    assert!(lock.trim().ends_with(&format!("-{LEADER}")), "{lock}");

    let follower = send(&two, get_with("/", "traceparent", &traceparent(FOLLOWER)));
    other_node_listens(&server, "layer/*").await;
    gate.open();
    assert_eq!(
        (answer(leader).await.body, answer(follower).await.body),
        ("x".into(), "x".into())
    );
    settle().await;
    let led = spans.lookup("led");
    assert!(!led.fields.contains_key("computed_by") && led.is_closed, "{led:?}");
    let followed = spans.lookup("followed");
    assert_eq!(followed.fields["computed_by"], LEADER);
    assert_eq!(followed.fields["reason"], "absent");
    assert!(followed.fields["address"].contains("GET /"), "{followed:?}");
    assert!(followed.fields["wait_us"].parse::<u64>().unwrap() > 0, "{followed:?}");
    assert!(followed.is_closed);

    spans.forget();
    server.reset_commandstats();
    assert_eq!(answer(send(&two, get("/"))).await.body, "x");
    let hit = spans.lookup("hit");
    assert_eq!(hit.fields["computed_by"], LEADER);
    assert!(!hit.fields.contains_key("wait_us"));
    let commands = server.commandstats();
    assert_eq!(commands.get("get"), Some(&1), "{commands:?}");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn followers_and_hits_in_the_process_of_the_leader_name_it() {
    let gate = Gate::new();
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(gated(&gate));
    let (spans, _guard) = listen();
    let leader = send(&node, get_with("/", "traceparent", &traceparent(LEADER)));
    gate.reached_by(1).await;
    let follower = send(&node, get_with("/", "traceparent", &traceparent(FOLLOWER)));
    tokio::time::sleep(Duration::from_millis(250)).await;
    gate.open();
    answer(leader).await;
    answer(follower).await;
    let followed = spans.lookup("followed");
    assert_eq!(followed.fields["computed_by"], LEADER);
    assert!(
        followed.fields["wait_us"].parse::<u64>().unwrap() >= 249_000,
        "{followed:?}"
    );
    answer(send(&node, get("/"))).await;
    assert_eq!(spans.lookup("hit").fields["computed_by"], LEADER);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_trace_context_names_nothing() {
    let hostile = [
        "".to_owned(),
        "x".repeat(10_000),
        traceparent(&"0".repeat(49)),
        traceparent(&LEADER.to_uppercase()),
        format!("00-{LEADER}"),
        format!("ff-{LEADER}-01"),
    ];
    for value in hostile {
        let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(Inner::replying(|_| fresh("x")));
        let (spans, _guard) = listen();
        answer(send(&node, get_with("/", "traceparent", &value))).await;
        settle().await;
        answer(send(&node, get("/"))).await;
        assert!(!spans.lookup("hit").fields.contains_key("computed_by"), "{value}");
    }
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(Inner::replying(|_| fresh("x")));
    let (spans, _guard) = listen();
    let mut twice = get_with("/", "traceparent", &traceparent(LEADER));
    let second = traceparent(FOLLOWER).parse().expect("a value");
    twice.headers_mut().append("traceparent", second);
    answer(send(&node, twice)).await;
    settle().await;
    answer(send(&node, get("/"))).await;
    assert!(!spans.lookup("hit").fields.contains_key("computed_by"));
}

thread_local! {
    /// Whether the bridge below knows the spans of this thread's test.
    static BRIDGED: Cell<bool> = const { Cell::new(false) };
    /// The links that it was told: of which span, to what.
    static LINKS: RefCell<Vec<(u64, TraceContext)>> = const { RefCell::new(Vec::new()) };
}

/// A tracing system that names spans by their ids. A process has one, and each test a thread.
struct Bridge;

fn named(id: u64) -> TraceContext {
    TraceContext::new([7; 16], Some(id.to_be_bytes())).expect("a context")
}

impl TraceBridge for Bridge {
    fn context(&self, span: &Span) -> Option<TraceContext> {
        let id = span.id().filter(|_| BRIDGED.get())?;
        Some(named(id.into_u64()))
    }

    fn link(&self, span: &Span, to: TraceContext) {
        if let Some(id) = span.id().filter(|_| BRIDGED.get()) {
            LINKS.with_borrow_mut(|links| links.push((id.into_u64(), to)));
        }
    }
}

fn bridge() {
    // Another test may have been the first.
    set_trace_bridge(Bridge);
    assert!(!set_trace_bridge(Bridge), "there is one");
    BRIDGED.set(true);
}

#[tokio::test(start_paused = true)]
async fn a_bridge_knows_the_span_that_computes_better_than_the_request_does() {
    bridge();
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(Inner::replying(|_| fresh("x")));
    let (spans, _guard) = listen();
    answer(send(&node, get_with("/", "traceparent", &traceparent(LEADER)))).await;
    settle().await;
    answer(send(&node, get("/"))).await;
    let (led, hit) = (spans.lookup("led"), spans.lookup("hit"));
    assert_eq!(hit.fields["computed_by"], named(led.id).to_string());
    assert_eq!(LINKS.take(), [(hit.id, named(led.id))]);
}

#[tokio::test(start_paused = true)]
async fn without_spans_of_lookups_the_programs_own_are_linked() {
    bridge();
    let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(Inner::replying(|_| fresh("x")));
    let (spans, _guard) = listen_from(LevelFilter::INFO);
    for _ in 0..2 {
        answer(send_in_a_span(&node)).await;
        settle().await;
    }
    let requests = spans.named("request");
    let [led, hit] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert!(spans.named("memolock_lookup").is_empty());
    assert_eq!(LINKS.take(), [(hit.id, named(led.id))]);
}

/// Sends a request in a span of the program.
fn send_in_a_span(node: &Node) -> Asked {
    let node = node.clone();
    let asking = async move {
        let response = node.oneshot(get("/")).await.map_err(Failure::Call)?;
        read(response).await.map_err(Failure::Body)
    };
    tokio::spawn(asking.instrument(info_span!("request")))
}

#[tokio::test]
async fn a_caller_of_the_core_that_follows_another_node_names_it_and_raw_values_stay_what_they_are() {
    bridge();
    let server = RedisServer::start();
    let [one, two] = server.two_stores().await.map(|store| MemoLock::new(store, "t"));
    let gate = Gate::new();
    let (spans, _guard) = listen();
    let ask = |memo: &MemoLock| {
        let (memo, gate) = (memo.clone(), gate.clone());
        tokio::spawn(async move {
            let compute = || async move {
                gate.pass().await;
                Ok::<Bytes, Infallible>("raw".into())
            };
            memo.get_or_compute("a", compute).await.expect("a value")
        })
    };
    let leader = ask(&one);
    gate.reached_by(1).await;
    let follower = ask(&two);
    other_node_listens(&server, "t/*").await;
    gate.open();
    assert_eq!(
        (leader.await.unwrap(), follower.await.unwrap()),
        ("raw".into(), "raw".into())
    );
    let (led, followed) = (spans.lookup("led"), spans.lookup("followed"));
    assert_eq!(followed.fields["computed_by"], named(led.id).to_string());
    assert_eq!(LINKS.take(), [(followed.id, named(led.id))]);
    assert!(followed.fields.contains_key("wait_us"), "{followed:?}");
    assert_eq!(server.cli(&["GET", "t:a"]).trim(), "raw");
    assert_eq!(two.get("a").await.unwrap().unwrap(), "raw");
    assert_eq!(spans.lookup("hit").fields["address"], "t:a");
}

#[tokio::test]
async fn a_layer_of_raw_bodies_names_the_leader_to_followers_on_another_node() {
    let server = RedisServer::start();
    let gate = Gate::new();
    let inner = gated(&gate);
    let [one, two] = pair_over(server.two_stores().await, &inner, |layer| layer.raw_body("text/plain"));
    let (spans, _guard) = listen();
    let leader = send(&one, get_with("/", "traceparent", &traceparent(LEADER)));
    gate.reached_by(1).await;
    let follower = send(&two, get("/"));
    other_node_listens(&server, "layer/*").await;
    gate.open();
    answer(leader).await;
    answer(follower).await;
    assert_eq!(spans.lookup("followed").fields["computed_by"], LEADER);
}
