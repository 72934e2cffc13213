//! Followers of a response that is not to be kept: they read along to its end, in bounded memory.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use tower::Layer;
use tower_memolock::middleware::ResponseLimits;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{Reply, fails, give, growing, layer, next, nothing_yet, open, plain, trailers, whole};
use crate::layer::fixture::{Answer, Broken, Inner, Node, data, get, settle, with};
use crate::support::within;

/// More than may be stored.
const MOST: u64 = 10;

fn node(inner: &Inner) -> (MemoLockLayer, Node) {
    let layer = layer(MemoryStore::new()).response_limits(ResponseLimits::new().max_body(MOST));
    let node = layer.layer(inner.clone());
    (layer, node)
}

fn read_on(reply: Reply) -> JoinHandle<Answer> {
    tokio::spawn(whole(reply))
}

async fn read(reader: JoinHandle<Answer>) -> Answer {
    within("a whole body", reader).await.expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn all_get_a_body_that_is_longer_than_what_may_be_stored() {
    let (sender, inner) = growing(plain);
    let (layer, node) = node(&inner);
    let leader = read_on(open(&node, get("/")).await);
    let followers = [open(&node, get("/")).await, open(&node, get("/")).await].map(read_on);
    for n in 0..100 {
        give(&sender, &format!("{n:05}"));
        settle().await;
        let held = layer.handle().stats().recorded_bytes;
        assert!(held <= 2 * MOST, "{held} bytes");
    }
    sender.send(trailers("x-cost", "7")).expect("a reader");
    drop(sender);
    let expected: String = (0..100).map(|n| format!("{n:05}")).collect();
    for reader in [leader].into_iter().chain(followers) {
        let answer = read(reader).await;
        assert_eq!(answer.body, expected);
        assert_eq!(answer.trailers.expect("trailers")["x-cost"], "7");
    }
    settle().await;
    assert_eq!((inner.calls(), layer.handle().stats().recorded_bytes), (1, 0));
    assert_eq!(whole(open(&node, get("/")).await).await.body, "2", "nothing was stored");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_falls_behind_gets_an_error_and_the_others_read_on() {
    let (sender, inner) = growing(plain);
    let (_, node) = node(&inner);
    let leader = read_on(open(&node, get("/")).await);
    let mut slow = open(&node, get("/")).await;
    let quick = read_on(open(&node, get("/")).await);
    give(&sender, "0123456789");
    assert_eq!(next(&mut slow).await, "0123456789");
    for _ in 0..10 {
        give(&sender, "01234567890123456789");
        settle().await;
    }
    fails(slow).await;
    drop(sender);
    assert_eq!(read(leader).await.body.len(), 210);
    assert_eq!(read(quick).await.body.len(), 210);
}

#[tokio::test(start_paused = true)]
async fn the_leaders_client_gets_all_of_it_however_slow_it_is() {
    let (sender, inner) = growing(plain);
    let (_, node) = node(&inner);
    let mut leader = open(&node, get("/")).await;
    let mut follower = open(&node, get("/")).await;
    for _ in 0..3 {
        give(&sender, "01234567890123456789");
    }
    drop(sender);
    assert_eq!(next(&mut follower).await.len(), 20);
    // It is as far ahead as may be.
    nothing_yet(&mut follower).await;
    assert_eq!(next(&mut leader).await.len(), 20);
    assert_eq!(next(&mut follower).await.len(), 20);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(next(&mut leader).await.len(), 20);
    assert_eq!(next(&mut follower).await.len(), 20);
    assert_eq!(next(&mut leader).await.len(), 20);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(whole(leader).await.body.len(), 0);
    assert_eq!(whole(follower).await.body.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_leaders_client_that_reads_nothing_holds_the_others_up_for_half_a_minute() {
    let (sender, inner) = growing(plain);
    let (layer, node) = node(&inner);
    let leader = open(&node, get("/")).await;
    let mut follower = open(&node, get("/")).await;
    for _ in 0..3 {
        give(&sender, "01234567890123456789");
    }
    assert_eq!(next(&mut follower).await.len(), 20);
    tokio::time::sleep(Duration::from_secs(31)).await;
    fails(follower).await;
    drop(sender);
    assert_eq!(whole(leader).await.body.len(), 60, "its own from there on");
    settle().await;
    assert_eq!(layer.handle().stats().recorded_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn those_who_follow_read_on_without_the_leaders_client_and_the_last_ends_it() {
    let (sender, inner) = growing(plain);
    let (layer, node) = node(&inner);
    let leader = open(&node, get("/")).await;
    let mut followers = [open(&node, get("/")).await, open(&node, get("/")).await];
    drop(leader);
    for n in 0..20 {
        give(&sender, &format!("{n:012}"));
        for follower in &mut followers {
            assert_eq!(next(follower).await, format!("{n:012}"));
        }
    }
    drop(followers);
    within("an end of the inner body", sender.closed()).await;
    settle().await;
    assert_eq!(layer.handle().stats().recorded_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_another_length_than_it_says_is_an_error_to_those_who_read_along() {
    let (sender, inner) = growing(|reply, _| with(reply, "content-length", "8"));
    let (_, node) = node(&inner);
    let leader = read_on(open(&node, get("/")).await);
    let mut follower = open(&node, get("/")).await;
    sender.send(data("01234567890123456789")).expect("a reader");
    assert_eq!(next(&mut follower).await.len(), 20);
    drop(sender);
    fails(follower).await;
    assert_eq!(read(leader).await.body.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_past_the_limit_does_so_for_all() {
    let (sender, inner) = growing(plain);
    let (_, node) = node(&inner);
    let leader = open(&node, get("/")).await;
    let mut follower = open(&node, get("/")).await;
    give(&sender, "01234567890123456789");
    assert_eq!(next(&mut follower).await.len(), 20);
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    fails(leader).await;
    fails(follower).await;
}

#[tokio::test(start_paused = true)]
async fn trailers_that_are_private_are_an_error_to_those_who_have_read_along() {
    let (sender, inner) = growing(plain);
    let (_, node) = node(&inner);
    let leader = read_on(open(&node, get("/")).await);
    let mut follower = open(&node, get("/")).await;
    give(&sender, "01234567890123456789");
    assert_eq!(next(&mut follower).await, Bytes::from("01234567890123456789"));
    sender.send(trailers("set-cookie", "id=1")).expect("a reader");
    drop(sender);
    assert!(
        within("an end", follower.body_mut().frame())
            .await
            .is_some_and(|end| end.is_err())
    );
    assert_eq!(read(leader).await.trailers.expect("trailers")["set-cookie"], "id=1");
}
