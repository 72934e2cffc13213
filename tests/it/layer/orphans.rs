//! What goes on for no client: a few calls of the inner service, for a while.

mod resets;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{advance, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::middleware::{Freshness, StreamFollowers};
use tower_memolock::{Limits, MemoLock, MemoLockLayer, MemoryStore};

use super::fixture::{Inner, answer, by_hand, data, fresh, get, send, settle, streamed, text, with};
use crate::support::{Gate, within};

/// How many calls of the inner service are running.
#[derive(Clone, Default)]
struct Running(Arc<AtomicUsize>);

struct Call(Running);

impl Running {
    fn begin(&self) -> Call {
        self.0.fetch_add(1, Ordering::SeqCst);
        Call(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An inner service that answers with the number of the call once the gate is open.
fn gated() -> (Gate, Running, Inner) {
    let (gate, running) = (Gate::new(), Running::default());
    let inner = {
        let (gate, running) = (gate.clone(), running.clone());
        Inner::new(move |_, call| {
            let (gate, running) = (gate.clone(), running.clone());
            async move {
                let _call = running.begin();
                gate.pass().await;
                Ok(fresh(format!("call {call}")))
            }
        })
    };
    (gate, running, inner)
}

fn layer() -> MemoLockLayer {
    MemoLockLayer::new(MemoryStore::new(), "layer").freshness(Freshness::new().ttl_jitter(0.0))
}

#[tokio::test(start_paused = true)]
async fn of_calls_that_no_client_waits_for_the_oldest_are_cancelled() {
    let layer = layer().limits(Limits::new().max_orphaned(3));
    let (gate, running, inner) = gated();
    let node = layer.layer(inner.clone());
    for i in 0..20 {
        let client = send(&node, get(&format!("/{i}")));
        gate.reached_by(i + 1).await;
        client.abort();
        settle().await;
        assert_eq!(running.count(), (i + 1).min(3));
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.orphaned, stats.cancelled, stats.in_flight), (3, 17, 3));
    // The newest are still there for callers that want them.
    let back = send(&node, get("/19"));
    settle().await;
    assert_eq!(layer.handle().stats().orphaned, 2);
    gate.open();
    assert_eq!(answer(back).await.body, "call 20");
    assert_eq!(answer(send(&node, get("/0"))).await.body, "call 21");
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.orphaned, stats.in_flight, running.count()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_client_waits_for_is_never_cancelled_for_others() {
    let layer = layer().limits(Limits::new().max_orphaned(0));
    let (gate, running, inner) = gated();
    let node = layer.layer(inner.clone());
    let leading = send(&node, get("/led"));
    gate.reached_by(1).await;
    let leader = send(&node, get("/followed"));
    gate.reached_by(2).await;
    let follower = send(&node, get("/followed"));
    settle().await;
    leader.abort();
    for i in 0..5 {
        let client = send(&node, get(&format!("/{i}")));
        gate.reached_by(i + 3).await;
        client.abort();
        settle().await;
        assert_eq!(running.count(), 2);
    }
    gate.open();
    assert_eq!(answer(leading).await.body, "call 1");
    assert_eq!(answer(follower).await.body, "call 2");
    assert_eq!(layer.handle().stats().cancelled, 5);
    // What was read to its end is no orphan, and is stored.
    for path in ["/led", "/followed"] {
        answer(send(&node, get(path))).await;
    }
    assert_eq!(inner.calls(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_last_of_those_who_wait_leaves_an_orphan_behind() {
    let layer = layer().limits(Limits::new().max_orphaned(0));
    let (gate, running, inner) = gated();
    let node = layer.layer(inner);
    let clients: Vec<_> = (0..3).map(|_| send(&node, get("/"))).collect();
    gate.reached_by(1).await;
    settle().await;
    for (gone, client) in clients.into_iter().enumerate() {
        assert_eq!(
            (running.count(), layer.handle().stats().cancelled),
            (1, 0),
            "after {gone}"
        );
        client.abort();
        settle().await;
    }
    let stats = layer.handle().stats();
    assert_eq!(
        (running.count(), stats.cancelled, stats.orphaned, stats.in_flight),
        (0, 1, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_no_client_reads_is_dropped_and_one_that_is_read_goes_on() {
    for reads_along in [false, true] {
        let layer = layer()
            .limits(Limits::new().max_orphaned(0))
            .stream_followers(StreamFollowers::Process);
        let (parts, body) = by_hand();
        let body = std::sync::Mutex::new(Some(body));
        let inner = Inner::new(move |_, _| {
            let body = body.lock().expect("no panic").take().expect("one call");
            async move { Ok(with(streamed(body), "cache-control", "max-age=60")) }
        });
        let node = layer.layer(inner);
        let leader = node.clone().oneshot(get("/")).await.expect("a head");
        parts.send(data("begun ")).expect("a reader");
        let follower = reads_along.then(|| send(&node, get("/")));
        settle().await;
        drop(leader);
        settle().await;
        assert_eq!(parts.is_closed(), !reads_along);
        if let Some(follower) = follower {
            parts.send(data("and ended")).expect("a reader");
            drop(parts);
            assert_eq!(answer(follower).await.body, "begun and ended");
        }
        settle().await;
        let stats = layer.handle().stats();
        assert_eq!((stats.recorded_bytes, stats.orphaned, stats.in_flight), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_goes_on_for_its_own_client_alone() {
    let layer = layer().limits(Limits::new().max_computation(Duration::from_secs(20)));
    let (gate, running, inner) = gated();
    let node = layer.layer(inner);
    let leader = send(&node, get("/"));
    gate.reached_by(1).await;
    advance(Duration::from_secs(10)).await;
    let follower = send(&node, get("/"));
    settle().await;
    advance(Duration::from_secs(11)).await;
    // The follower leads now.
    gate.reached_by(2).await;
    gate.open();
    assert_eq!(answer(leader).await.body, "call 1");
    assert_eq!(answer(follower).await.body, "call 2");
    settle().await;
    assert_eq!((running.count(), layer.handle().stats().cancelled), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_ends_where_its_client_has_gone() {
    for leaves_first in [true, false] {
        let layer = layer().limits(Limits::new().max_computation(Duration::from_secs(20)));
        let (gate, running, inner) = gated();
        let node = layer.layer(inner);
        let client = send(&node, get("/"));
        gate.reached_by(1).await;
        if leaves_first {
            client.abort();
        }
        settle().await;
        assert_eq!(running.count(), 1);
        sleep(Duration::from_secs(21)).await;
        settle().await;
        assert_eq!(running.count(), usize::from(!leaves_first));
        client.abort();
        settle().await;
        let stats = layer.handle().stats();
        assert_eq!(
            (running.count(), stats.cancelled, stats.orphaned, stats.in_flight),
            (0, 1, 0, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn refreshes_in_the_background_are_no_orphans_and_end_as_well() {
    let layer = layer()
        .limits(Limits::new().max_orphaned(0).max_computation(Duration::from_secs(20)))
        .freshness(Freshness::new().stale_while_revalidate(Duration::from_secs(3600)));
    let running = Running::default();
    let inner = {
        let running = running.clone();
        Inner::new(move |_, call| {
            let running = running.clone();
            async move {
                let _call = running.begin();
                match call {
                    1 => Ok(with(text("first"), "cache-control", "max-age=1")),
                    _ => pending().await,
                }
            }
        })
    };
    let node = layer.layer(inner);
    answer(send(&node, get("/"))).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(answer(send(&node, get("/"))).await.body, "first");
    settle().await;
    assert_eq!(running.count(), 1);
    sleep(Duration::from_secs(21)).await;
    settle().await;
    assert_eq!(running.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn computations_of_the_core_that_no_caller_waits_for_are_few_as_well() {
    let memo = MemoLock::new(MemoryStore::new(), "core").limits(Limits::new().max_orphaned(2));
    let running = Running::default();
    for i in 0..6 {
        let (memo, running) = (memo.clone(), running.clone());
        let compute = move || async move {
            let _call = running.begin();
            pending::<Result<Bytes, Infallible>>().await
        };
        let caller = tokio::spawn(async move { memo.get_or_compute(format!("{i}"), compute).await });
        settle().await;
        caller.abort();
        settle().await;
    }
    assert_eq!(
        (running.count(), memo.stats().orphaned, memo.stats().cancelled),
        (2, 2, 4)
    );
    let memo = memo.limits(Limits::new().max_in_flight(0));
    let compute = {
        let running = running.clone();
        move || async move {
            let _call = running.begin();
            pending::<Result<Bytes, Infallible>>().await
        }
    };
    let alone = tokio::spawn(async move { memo.get_or_compute("alone", compute).await });
    settle().await;
    assert_eq!(running.count(), 3);
    alone.abort();
    settle().await;
    assert_eq!(running.count(), 2, "what is computed for one caller alone ends with it");
}
