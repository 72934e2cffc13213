//! What only the end of a response tells: it has begun to be read, and cannot be taken back.

use tower_memolock::MemoLockLayer;
use tower_memolock::middleware::ResponseLimits;

use super::fixture::{Half, cluster, fails, give, growing, next, nothing_yet, open, plain, trailers, whole};
use crate::layer::fixture::{Broken, answer, get, get_with, send, settle, with};

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_an_error_to_its_readers_and_handed_on_by_those_who_wait() {
    let (sender, inner) = growing(plain);
    let mut half = Half::of(&inner, |layer| layer).await;
    give(&sender, "one");
    assert_eq!(next(&mut half.reading).await, "one");
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    fails(half.reading).await;
    fails(half.leader).await;
    for waiting in half.waiting {
        assert_eq!(answer(waiting).await.body, "2");
    }
    settle().await;
    let stats = half.layer.handle().stats();
    assert_eq!((stats.led, stats.abandoned, stats.recorded_bytes), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_of_another_length_than_announced_never_ends_cleanly() {
    let (sender, inner) = growing(|reply, request| match request.headers().contains_key("x-first") {
        true => with(reply, "content-length", "7"),
        false => reply,
    });
    let ([one, _], nodes) = cluster(&inner);
    let leader = open(&nodes[0], get_with("/", "x-first", "1")).await;
    let mut reading = open(&nodes[0], get("/")).await;
    give(&sender, "onetwo");
    assert_eq!(next(&mut reading).await, "onetwo");
    drop(sender);
    fails(reading).await;
    drop(leader);
    settle().await;
    assert_eq!(one.handle().stats().recorded_bytes, 0);
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "2", "nothing was stored");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_broke_off_before_a_follower_was_told_of_it_is_nothing_to_read() {
    let (sender, inner) = growing(plain);
    let half = Half::of(&inner, |layer| layer).await;
    // In this order: the keeper hears that they may read, and the body breaks off before they do.
    half.slow.gates.renewed.open();
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    for waiting in half.waiting {
        assert_eq!(answer(waiting).await.body, "2");
    }
    fails(half.reading).await;
    fails(half.leader).await;
}

/// The body, or its recording, turns out too large.
async fn too_large(set: impl Fn(MemoLockLayer) -> MemoLockLayer) {
    let (sender, inner) = growing(plain);
    let mut half = Half::of(&inner, set).await;
    give(&sender, "0123456789");
    assert_eq!(next(&mut half.reading).await, "0123456789");
    give(&sender, "more");
    let mut numbers = Vec::new();
    for waiting in half.waiting {
        numbers.push(answer(waiting).await.body);
    }
    numbers.sort();
    assert_eq!(numbers, ["2", "3", "4", "5"], "each by itself");
    assert_eq!(next(&mut half.reading).await, "more");
    give(&sender, "and more");
    let leader = tokio::spawn(whole(half.leader));
    drop(sender);
    assert_eq!(leader.await.expect("no panic").body, "0123456789moreand more");
    assert_eq!(whole(half.reading).await.body, "and more");
    settle().await;
    let stats = half.layer.handle().stats();
    assert_eq!((stats.passed, stats.recorded_bytes), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_read_along() {
    too_large(|layer| layer.response_limits(ResponseLimits::new().max_body(12))).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_there_is_no_room_for_is_read_along() {
    too_large(|layer| layer.response_limits(ResponseLimits::new().max_recording(12))).await;
}

#[tokio::test(start_paused = true)]
async fn trailers_that_may_not_be_shared_reach_the_leaders_client_only() {
    for (name, value) in [("set-cookie", "id=1".to_owned()), ("x-large", "x".repeat(70_000))] {
        let (sender, inner) = growing(plain);
        let mut half = Half::of(&inner, |layer| layer).await;
        give(&sender, "one");
        assert_eq!(next(&mut half.reading).await, "one");
        sender.send(trailers(name, &value)).expect("a reader");
        nothing_yet(&mut half.reading).await;
        drop(sender);
        fails(half.reading).await;
        assert_eq!(whole(half.leader).await.trailers.expect("trailers")[name], value);
        for waiting in half.waiting {
            assert_ne!(answer(waiting).await.body, "one");
        }
        answer(send(&half.node, get("/"))).await;
        assert_eq!(inner.calls(), 6, "{name}: each by itself");
    }
}
