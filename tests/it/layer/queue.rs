//! Requests beyond a limit that wait for their turn.

mod room;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{Privacy, ResponseLimits};
use tower_memolock::{AtLimit, ErrorKind, Limit, Limits, MemoLock, MemoLockLayer, MemoryStore};

use super::fixture::{
    Gate, Inner, answer, bodies, by_hand, data, fresh, get, parts, send, settle, streamed, text, with,
};
use crate::support::within;

const WAIT: Duration = Duration::from_secs(10);

fn layer(calls: usize) -> MemoLockLayer {
    MemoLockLayer::new(MemoryStore::new(), "layer").limits(Limits::new().at_limit(AtLimit::Queue(calls)))
}

/// The first call waits at one gate, all others at another.
struct Held {
    first: Gate,
    others: Gate,
    inner: Inner,
}

fn held() -> Held {
    let (first, others) = (Gate::new(), Gate::new());
    let gates = (first.clone(), others.clone());
    let inner = Inner::new(move |_, call| {
        let (first, others) = gates.clone();
        async move {
            if call == 1 { first } else { others }.pass().await;
            Ok(fresh(format!("call {call}")))
        }
    });
    Held { first, others, inner }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_of_waiters_so_many_call_at_a_time_and_the_rest_wait() {
    let Held { first, others, inner } = held();
    let layer = layer(2).limits(Limits::new().max_waiters(1));
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    first.reached_by(1).await;
    let waiter = send(&node, get("/"));
    settle().await;
    let more: Vec<_> = (0..20).map(|_| send(&node, get("/"))).collect();
    others.reached_by(2).await;
    settle().await;
    assert_eq!((others.reached(), layer.handle().stats().queued), (2, 18));
    for reached in 3..6 {
        others.let_go(1);
        others.reached_by(reached).await;
        settle().await;
        assert_eq!(
            (others.reached(), layer.handle().stats().queued),
            (reached, 20 - reached as u64)
        );
    }
    // The response is there: a request that is still in line takes it, and makes no call.
    first.open();
    assert_eq!(bodies([leader, waiter]).await, ["call 1", "call 1"]);
    settle().await;
    assert_eq!(layer.handle().stats().queued, 0);
    others.open();
    let mut all = bodies(more).await;
    all.sort();
    let (taken, own) = all.split_at(15);
    assert!(taken.iter().all(|body| body == "call 1"), "{all:?}");
    assert_eq!(own, ["call 2", "call 3", "call 4", "call 5", "call 6"]);
    assert_eq!((inner.calls(), layer.handle().stats().limited_waiters), (6, 20));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_in_vain_is_refused_after_the_wait_timeout() {
    let Held { first, others, inner } = held();
    let layer = layer(1).limits(Limits::new().max_waiters(0)).wait_timeout(WAIT);
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    first.reached_by(1).await;
    let in_turn = send(&node, get("/"));
    others.reached_by(1).await;
    let since = tokio::time::Instant::now();
    let more: Vec<_> = (0..3).map(|_| send(&node, get("/"))).collect();
    for refused in more {
        let refused = answer(refused).await;
        let retry = refused.header("retry-after");
        assert_eq!((refused.status.as_u16(), retry), (503, Some("10")));
    }
    assert!((WAIT..WAIT * 2).contains(&since.elapsed()), "{:?}", since.elapsed());
    assert_eq!((inner.calls(), layer.handle().stats().queued), (2, 0));
    first.open();
    others.open();
    assert_eq!(bodies([leader, in_turn]).await, ["call 1", "call 2"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_never_to_wait_has_a_free_turn_or_none() {
    let Held { first, others, inner } = held();
    let layer = layer(1)
        .limits(Limits::new().max_waiters(0))
        .wait_timeout(Duration::ZERO);
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    first.reached_by(1).await;
    let in_turn = send(&node, get("/"));
    others.reached_by(1).await;
    let refused = answer(send(&node, get("/"))).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (503, Some("1"))
    );
    first.open();
    others.open();
    assert_eq!(bodies([leader, in_turn]).await, ["call 1", "call 2"]);
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_give_up_their_turns() {
    let Held { first, others, inner } = held();
    let layer = layer(1).limits(Limits::new().max_waiters(0));
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    first.reached_by(1).await;
    let in_turn = send(&node, get("/"));
    others.reached_by(1).await;
    let waiting: Vec<_> = (0..3).map(|_| send(&node, get("/"))).collect();
    settle().await;
    assert_eq!(layer.handle().stats().queued, 3);
    // A request in line, and the request whose turn it is.
    waiting[0].abort();
    in_turn.abort();
    others.reached_by(2).await;
    settle().await;
    assert_eq!((others.reached(), layer.handle().stats().queued), (2, 1));
    waiting[1].abort();
    others.reached_by(3).await;
    others.open();
    first.open();
    settle().await;
    let [.., last] = <[_; 3]>::try_from(waiting).expect("three");
    assert_eq!(bodies([leader, last]).await, ["call 1", "call 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_lasts_until_the_response_is_read() {
    let (gate, calls) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let inner = {
        let (gate, calls) = (gate.clone(), Arc::clone(&calls));
        Inner::new(move |_, call| {
            let (gate, calls) = (gate.clone(), Arc::clone(&calls));
            async move {
                if call == 1 {
                    gate.pass().await;
                }
                calls.fetch_add(1, Ordering::SeqCst);
                Ok(parts([data("one"), data("two")]))
            }
        })
    };
    let node = layer(1).limits(Limits::new().max_waiters(0)).layer(inner.clone());
    let leader = send(&node, get("/"));
    gate.reached_by(1).await;
    let unread = within("a head", node.clone().oneshot(get("/"))).await.expect("a head");
    let next = send(&node, get("/"));
    settle().await;
    assert_eq!(inner.calls(), 2);
    drop(unread);
    assert_eq!(answer(next).await.body, "onetwo");
    gate.open();
    answer(leader).await;
}

#[tokio::test(start_paused = true)]
async fn at_a_full_table_keys_share_the_turns_and_lead_once_there_is_room() {
    let Held { first, others, inner } = held();
    let layer = layer(2).limits(Limits::new().max_in_flight(1));
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/a"));
    first.reached_by(1).await;
    let mut more: Vec<_> = (0..10).map(|key| send(&node, get(&format!("/{key}")))).collect();
    let same: Vec<_> = (0..10).map(|_| send(&node, get("/same"))).collect();
    others.reached_by(2).await;
    settle().await;
    assert_eq!((others.reached(), layer.handle().stats().queued), (2, 18));

    first.open();
    assert_eq!(answer(leader).await.body, "call 1");
    // There is room for one more, which needs no turn.
    others.reached_by(3).await;
    settle().await;
    assert_eq!((others.reached(), layer.handle().stats().in_flight), (3, 1));
    others.open();
    let many = more.split_off(0);
    bodies(many).await;
    bodies(same).await;
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.queued, stats.waiting, stats.in_flight), (0, 0, 0));
    assert!(inner.calls() <= 21);
}

#[tokio::test(start_paused = true)]
async fn those_in_line_for_one_key_are_answered_together_once_one_of_them_leads() {
    let Held { first, others, inner } = held();
    let layer = layer(0).limits(Limits::new().max_in_flight(1));
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/a"));
    first.reached_by(1).await;
    let same: Vec<_> = (0..50).map(|_| send(&node, get("/same"))).collect();
    settle().await;
    assert_eq!((layer.handle().stats().queued, inner.calls()), (50, 1));
    first.open();
    others.open();
    assert_eq!(answer(leader).await.body, "call 1");
    assert!(bodies(same).await.iter().all(|body| body == "call 2"));
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_fails_does_not_leave_those_in_line_behind() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| match call {
        1 => Err(super::fixture::Broken("first")),
        _ => Ok(fresh(format!("call {call}"))),
    });
    let layer = layer(0).limits(Limits::new().max_waiters(1));
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    gate.reached_by(1).await;
    let waiter = send(&node, get("/"));
    settle().await;
    let more: Vec<_> = (0..20).map(|_| send(&node, get("/"))).collect();
    settle().await;
    assert_eq!(layer.handle().stats().queued, 20);
    gate.open();
    assert!(within("an error", leader).await.expect("no panic").is_err());
    assert_eq!(answer(waiter).await.body, "call 2");
    assert!(bodies(more).await.iter().all(|body| body == "call 2"));
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_of_the_core_wait_for_their_turn_as_well() {
    let memo = MemoLock::new(MemoryStore::new(), "core")
        .limits(Limits::new().max_in_flight(0).at_limit(AtLimit::Queue(2)))
        .wait_timeout(WAIT);
    let gate = Gate::new();
    let ask = |value: &'static str| {
        let (memo, gate) = (memo.clone(), gate.clone());
        tokio::spawn(async move {
            let compute = move || async move {
                gate.pass().await;
                Ok::<_, Infallible>(Bytes::from(value))
            };
            memo.get_or_compute("a", compute).await
        })
    };
    let asked: Vec<_> = (0..6).map(|_| ask("a value")).collect();
    gate.reached_by(2).await;
    settle().await;
    assert_eq!((gate.reached(), memo.stats().queued), (2, 4));
    gate.let_go(1);
    gate.reached_by(3).await;
    // A caller that leaves gives up what it computes, and its turn.
    let mut asked = asked.into_iter();
    let (first, second) = (asked.next().expect("one"), asked.next().expect("two"));
    second.abort();
    gate.reached_by(4).await;
    assert_eq!(
        within("a value", first).await.expect("no panic").expect("a value"),
        "a value"
    );
    let (turns, late): (Vec<_>, Vec<_>) = asked.enumerate().partition(|(at, _)| *at < 2);
    for (_, late) in late {
        let refused = within("a refusal", late).await.expect("no panic");
        assert!(
            matches!(&refused, Err(error) if error.kind() == ErrorKind::AtLimit(Limit::InFlight)),
            "{refused:?}"
        );
    }
    gate.open();
    for (_, turn) in turns {
        assert_eq!(
            within("a value", turn).await.expect("no panic").expect("a value"),
            "a value"
        );
    }
}
