//! Bodies that go on and on without a word in their head that says so, and pages that are merely slow or large.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{MemoBody, ResponseLimits, StreamFollowers};
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{
    Inner, Node, Part, TestBody, answer, bodies, data, fresh, get, pair, send, settle, streamed, with,
};
use crate::support::within;

type Reply = Response<MemoBody<TestBody>>;

/// How long a client may have to wait for the head of what is not shared.
const SOON: Duration = Duration::from_secs(2);

/// Longer than a marker stands by default.
const MARKED: Duration = Duration::from_secs(121);

/// How many bodies there are that have neither ended nor been dropped.
#[derive(Clone, Default)]
struct Open(Arc<AtomicUsize>);

struct Body(Open);

impl Open {
    fn begin(&self) -> Body {
        self.0.fetch_add(1, Ordering::SeqCst);
        Body(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `count` times this part, one after each pause.
fn ticking(open: &Open, part: Bytes, pause: Duration, count: usize) -> impl Stream<Item = Part> + Send + 'static {
    let open = open.begin();
    stream::unfold((open, part, count), move |(open, part, left)| async move {
        sleep(pause).await;
        let left = left.checked_sub(1)?;
        Some((data(part.clone()), (open, part, left)))
    })
}

/// A feed: a line every 100 ms, and no end.
fn feed(open: &Open) -> Response<TestBody> {
    streamed(ticking(
        open,
        "{\"change\":1}\n".into(),
        Duration::from_millis(100),
        usize::MAX,
    ))
}

/// A page of ten lines that takes `time`, of undeclared length.
fn page(open: &Open, time: Duration) -> Response<TestBody> {
    streamed(ticking(open, "a line of a report\n".into(), time / 10, 10))
}

fn answering(make: impl Fn(&Open, usize) -> Response<TestBody> + Send + Sync + 'static) -> (Open, Inner) {
    let open = Open::default();
    let inner = {
        let open = open.clone();
        Inner::replying(move |call| make(&open, call))
    };
    (open, inner)
}

/// The head of a response, and when it came.
fn head(node: &Node, request: Request<Full<Bytes>>) -> JoinHandle<(Reply, Duration)> {
    let (node, asked) = (node.clone(), Instant::now());
    tokio::spawn(async move {
        let reply = within("a head", node.oneshot(request)).await.expect("a response");
        (reply, asked.elapsed())
    })
}

async fn heads(nodes: &[Node; 2], count: usize) -> Vec<(Reply, Duration)> {
    let asked: Vec<_> = (0..count).map(|i| head(&nodes[i % 2], get("/"))).collect();
    join_all(asked)
        .await
        .into_iter()
        .map(|head| head.expect("no panic"))
        .collect()
}

async fn next(reply: &mut Reply) -> Bytes {
    let frame = within("a part", reply.body_mut().frame()).await.expect("no end");
    frame.expect("no error").into_data().expect("data")
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_feed_are_free_soon_and_the_next_do_not_wait() {
    for content_type in ["application/json", "application/x-ndjson", "audio/mpeg", "text/html"] {
        for following in [StreamFollowers::Off, StreamFollowers::Process] {
            let (open, inner) = answering(move |open, _| with(feed(open), "content-type", content_type));
            let nodes = pair(&inner, |layer| {
                layer.ttl(Duration::from_secs(60)).stream_followers(following)
            });
            let mut leader = head(&nodes[0], get("/")).await.expect("no panic").0;
            let waited = heads(&nodes, 20).await;
            assert!(
                waited.iter().all(|(_, time)| *time <= SOON),
                "{content_type}: {waited:?}"
            );
            for (reply, time) in &mut heads(&nodes, 20).await {
                assert!(*time < Duration::from_millis(100), "{content_type}: {time:?}");
                next(reply).await;
            }
            for _ in 0..100 {
                next(&mut leader).await;
            }
            for (mut reply, _) in waited {
                next(&mut reply).await;
            }
            drop(leader);
            sleep(SOON).await;
            assert_eq!(open.count(), 0, "{content_type}: read by no client");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_no_client_reads_is_ended_and_its_lock_given_back() {
    for following in [StreamFollowers::Off, StreamFollowers::Process] {
        let (open, inner) = answering(|open, _| feed(open));
        let layer = MemoLockLayer::new(MemoryStore::new(), "layer").stream_followers(following);
        let node = layer.layer(inner.clone());
        let leader = head(&node, get("/")).await.expect("no panic").0;
        drop(leader);
        settle().await;
        sleep(SOON).await;
        assert_eq!(open.count(), 0);
        let stats = layer.handle().stats();
        assert_eq!((stats.in_flight, stats.recorded_bytes, stats.orphaned), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_is_silent_keeps_no_client_waiting_either() {
    let (_, inner) = answering(|_, _| streamed(stream::pending()));
    let nodes = pair(&inner, |layer| layer);
    let _leader = head(&nodes[0], get("/")).await.expect("no panic");
    for (_, time) in heads(&nodes, 10).await {
        assert!(time <= SOON, "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_given_back_once_a_body_is_known_to_go_on() {
    let (_open, inner) = answering(|open, _| feed(open));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let mut leader = head(&layer.layer(inner.clone()), get("/")).await.expect("no panic").0;
    sleep(SOON).await;
    for _ in 0..100 {
        assert_eq!(next(&mut leader).await.len() % 13, 0);
    }
    settle().await;
    assert_eq!(layer.handle().stats().recorded_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn after_its_time_one_request_tries_again() {
    let (open, inner) = answering(|open, call| match call {
        1 => feed(open),
        _ => fresh(call.to_string()),
    });
    let nodes = pair(&inner, |layer| layer);
    drop(head(&nodes[0], get("/")).await.expect("no panic"));
    sleep(SOON).await;
    assert_eq!(open.count(), 0);
    sleep(MARKED).await;
    let all: Vec<_> = (0..10).map(|i| send(&nodes[i % 2], get("/"))).collect();
    assert_eq!(bodies(all).await, ["2"; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_page_that_says_how_long_it_is_costs_one_call() {
    let (_, inner) = answering(|open, _| with(page(open, Duration::from_secs(9)), "content-length", "190"));
    let nodes = pair(&inner, |layer| layer);
    let all: Vec<_> = (0..20).map(|i| send(&nodes[i % 2], get("/"))).collect();
    for body in bodies(all).await {
        assert_eq!(body.len(), 190);
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_page_that_says_how_long_it_is_fresh_costs_one_call() {
    let (_, inner) = answering(|open, _| with(page(open, Duration::from_secs(4)), "cache-control", "max-age=60"));
    let nodes = pair(&inner, |layer| layer);
    let all: Vec<_> = (0..20).map(|i| send(&nodes[i % 2], get("/"))).collect();
    for body in bodies(all).await {
        assert_eq!(body.len(), 190);
    }
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body.len(), 190);
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_large_page_costs_one_call() {
    let (_, inner) = answering(|open, _| {
        let part = Bytes::from(vec![b'x'; 100 * 1024]);
        streamed(ticking(open, part, Duration::from_millis(50), 60))
    });
    let nodes = pair(&inner, |layer| layer);
    let all: Vec<_> = (0..6).map(|i| send(&nodes[i % 2], get("/"))).collect();
    for body in bodies(all).await {
        assert_eq!(body.len(), 6000 * 1024);
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_page_that_says_nothing_is_known_once_it_has_ended() {
    let (_, inner) = answering(|open, _| page(open, Duration::from_secs(4)));
    let nodes = pair(&inner, |layer| layer.ttl(Duration::from_secs(60)));
    // The leader's own reading tells.
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body.len(), 190);
    settle().await;
    let all: Vec<_> = (0..20).map(|_| send(&nodes[0], get("/"))).collect();
    for body in bodies(all).await {
        assert_eq!(body.len(), 190);
    }
    assert_eq!(inner.calls(), 2, "one call for all who came later");
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body.len(), 190);
    assert_eq!(inner.calls(), 2, "and stored");
}

#[tokio::test(start_paused = true)]
async fn one_slow_answer_does_not_keep_an_ordinary_page_from_being_shared() {
    let (_, inner) = answering(|open, call| match call {
        1 => feed(open),
        2 => fresh("2"),
        call => page(open, Duration::from_millis(500 + 10 * call as u64)),
    });
    let nodes = pair(&inner, |layer| layer);
    let _attacker = head(&nodes[0], get("/")).await.expect("no panic");
    sleep(SOON).await;
    // No client waits, and this ends it.
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "2");
    settle().await;
    let all: Vec<_> = (0..10).map(|_| send(&nodes[0], get("/"))).collect();
    bodies(all).await;
    assert_eq!(inner.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn those_who_read_along_read_on_and_the_last_of_them_ends_it() {
    let (open, inner) = answering(|open, _| feed(open));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").stream_followers(StreamFollowers::Process);
    let node = layer.layer(inner.clone());
    let leader = head(&node, get("/")).await.expect("no panic").0;
    let mut along = head(&node, get("/")).await.expect("no panic").0;
    drop(leader);
    for _ in 0..100 {
        next(&mut along).await;
    }
    assert_eq!((open.count(), inner.calls()), (1, 1));
    let (mut own, time) = head(&node, get("/")).await.expect("no panic");
    assert!(time < Duration::from_millis(100));
    next(&mut own).await;
    drop((along, own));
    settle().await;
    assert_eq!((open.count(), layer.handle().stats().recorded_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn those_who_read_along_get_the_end_that_comes_late() {
    let (_, inner) = answering(|open, _| page(open, Duration::from_secs(4)));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").stream_followers(StreamFollowers::Process);
    let node = layer.layer(inner.clone());
    let all: Vec<_> = (0..5).map(|_| send(&node, get("/"))).collect();
    for body in bodies(all).await {
        assert_eq!(body.len(), 190);
    }
    settle().await;
    assert_eq!((inner.calls(), layer.handle().stats().recorded_bytes), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_turns_out_a_feed_is_ended() {
    let (open, inner) = answering(|open, call| match call {
        1 => with(fresh("1"), "cache-control", "stale-while-revalidate=600"),
        _ => feed(open),
    });
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "1");
    sleep(Duration::from_secs(61)).await;
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "1");
    settle().await;
    assert_eq!((inner.calls(), open.count()), (2, 1));
    sleep(SOON).await;
    assert_eq!(open.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_be_given_any_time() {
    for time in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_secs(u64::MAX),
        Duration::MAX,
    ] {
        for freshness in ["no-cache", "max-age=1"] {
            let make = move |open: &Open| with(page(open, Duration::from_secs(1)), "cache-control", freshness);
            let (open, inner) = answering(move |open, _| make(open));
            let nodes = pair(&inner, |layer| {
                layer.response_limits(ResponseLimits::new().endless_after(time))
            });
            let all: Vec<_> = (0..4).map(|i| send(&nodes[i % 2], get("/"))).collect();
            for body in bodies(all).await {
                assert_eq!(body.len(), 190, "{time:?}");
            }
            settle().await;
            assert_eq!(open.count(), 0, "{time:?}");
        }
    }
}
