//! How a body flows to its readers.

use std::sync::atomic::Ordering;

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower::Layer;
use tower_memolock::middleware::StreamFollowers;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{
    cluster, cluster_with, gated, give, growing, next, nothing_yet, open, open_later, open_many, plain, trailers, whole,
};
use crate::layer::fixture::{answer, data, get, send, settle, with};
use crate::layer::limits::Hinted;

/// 200 KiB, no two kilobytes of which are the same.
fn large() -> Vec<String> {
    (0..200).map(|part| format!("{part:01023}\n")).collect()
}

#[tokio::test(start_paused = true)]
async fn first_bytes_reach_all_followers_while_the_last_are_held_back() {
    const FOLLOWERS: usize = 20;
    let (sender, inner) = growing(|reply, _| with(reply, "x-kept", "1"));
    let ([one, _], nodes) = cluster(&inner);
    let leader = open(&nodes[0], get("/")).await;
    let mut followers = open_many(&nodes[0], FOLLOWERS).await;
    let parts = large();
    for part in &parts[..199] {
        give(&sender, part);
        for follower in &mut followers {
            assert_eq!(next(follower).await, part.as_bytes());
        }
    }
    for follower in &mut followers {
        nothing_yet(follower).await;
    }
    let held = one.handle().stats().recorded_bytes;
    assert!((199 * 1024..300 * 1024).contains(&held), "once for all of them: {held}");
    give(&sender, &parts[199]);
    sender.send(trailers("x-cost", "7")).expect("a reader");
    drop(sender);
    for follower in followers {
        let followed = whole(follower).await;
        assert_eq!(followed.status, 200);
        assert_eq!(followed.header("x-kept"), Some("1"));
        assert_eq!(followed.header("age"), None);
        assert_eq!(
            followed.header("cache-status"),
            Some("memolock; fwd=uri-miss; collapsed; detail=absent")
        );
        assert_eq!(followed.body, parts[199], "the rest");
        assert_eq!(followed.trailers.expect("trailers")["x-cost"], "7");
    }
    assert_eq!(whole(leader).await.body, parts.concat());
    settle().await;
    let stats = one.handle().stats();
    assert_eq!((stats.led, stats.followed, stats.recorded_bytes), (1, 20, 0));
    assert_eq!((stats.waiting, stats.in_flight), (0, 0));
    for node in &nodes {
        let hit = answer(send(node, get("/"))).await;
        assert_eq!(hit.body, parts.concat());
        assert_eq!(hit.trailers.expect("trailers")["x-cost"], "7");
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_follower_gets_what_it_would_have_got_at_the_end() {
    let mut got = Vec::new();
    for stream in [StreamFollowers::Off, StreamFollowers::Process] {
        let dress = |reply, _: &Request<_>| {
            let reply = with(with(reply, "x-many", "1"), "x-many", "2");
            let reply = with(with(reply, "connection", "x-hop"), "x-hop", "1");
            with(with(reply, "date", "Sun, 06 Nov 1994 08:49:37 GMT"), "etag", "\"a\"")
        };
        let (sender, inner) = growing(dress);
        let (_, nodes) = cluster_with(&inner, |layer| layer.stream_followers(stream));
        let _leader = open(&nodes[0], get("/")).await;
        let follower = send(&nodes[0], get("/"));
        settle().await;
        for part in [data("one"), data(""), data("two"), trailers("x-cost", "7")] {
            sender.send(part).expect("a reader");
            settle().await;
        }
        drop(sender);
        let followed = answer(follower).await;
        got.push((followed.status, followed.headers, followed.body, followed.trailers));
    }
    assert_eq!(got[0], got[1]);
    assert_eq!(got[1].2, "onetwo");
}

#[tokio::test(start_paused = true)]
async fn unless_told_so_no_follower_gets_a_head_before_the_end() {
    let (sender, inner) = growing(plain);
    let node = MemoLockLayer::new(MemoryStore::new(), "layer").layer(inner);
    let _leader = open(&node, get("/")).await;
    let follower = open_later(&node);
    give(&sender, "one");
    settle().await;
    assert!(!follower.is_finished());
    drop(sender);
    assert_eq!(whole(follower.await.expect("no panic")).await.body, "one");
}

#[tokio::test(start_paused = true)]
async fn a_length_that_is_known_is_told_and_counted_down() {
    let (sender, inner) = growing(plain);
    let (_, nodes) = cluster(&inner);
    let _leader = open(&nodes[0], get("/")).await;
    let follower = open(&nodes[0], get("/")).await;
    assert_eq!(follower.body().size_hint().exact(), None);
    assert!(!follower.body().is_end_stream());
    drop(sender);
    assert_eq!(whole(follower).await.body, "");

    let (sender, inner) = growing(|reply, _| {
        let sized = Hinted(reply.into_body(), 6);
        with(Response::new(sized.boxed_unsync()), "content-length", "6")
    });
    let (_, nodes) = cluster(&inner);
    let _leader = open(&nodes[0], get("/")).await;
    let mut follower = open(&nodes[0], get("/")).await;
    assert_eq!(follower.headers()["content-length"], "6");
    give(&sender, "four");
    assert_eq!(follower.body().size_hint().exact(), Some(6));
    assert_eq!(next(&mut follower).await, "four");
    assert_eq!(follower.body().size_hint().exact(), Some(2));
    give(&sender, "ty");
    drop(sender);
    assert_eq!(whole(follower).await.body, "ty");
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_body_is_under_way_reads_it_from_its_beginning() {
    let (sender, inner) = growing(plain);
    let (slow, here, node, _there) = gated(&inner);
    let _leader = open(&node, get("/")).await;
    for part in ["one", "two"] {
        give(&sender, part);
    }
    settle().await;
    let (looks, renewals) = (&slow.gates.looks, &slow.gates.renewals);
    let looked = looks.load(Ordering::SeqCst);
    assert_eq!(renewals.load(Ordering::SeqCst), 0, "no node to ask for");
    let mut late = open_many(&node, 100).await;
    assert_eq!(renewals.load(Ordering::SeqCst), 1, "one question for all of them");
    late.extend(open_many(&node, 100).await);
    assert_eq!(renewals.load(Ordering::SeqCst), 2, "and one for those who came later");
    assert_eq!(looks.load(Ordering::SeqCst), looked, "and no look-up");
    for reply in &mut late {
        assert_eq!(next(reply).await, "one");
        assert_eq!(next(reply).await, "two");
        nothing_yet(reply).await;
    }
    give(&sender, "three");
    drop(sender);
    for reply in late {
        assert_eq!(whole(reply).await.body, "three");
    }
    assert_eq!((inner.calls(), here.handle().stats().followed), (1, 200));
}

#[tokio::test(start_paused = true)]
async fn other_nodes_get_the_response_once_it_is_stored() {
    let (sender, inner) = growing(plain);
    let (_, nodes) = cluster(&inner);
    let _leader = open(&nodes[0], get("/")).await;
    let elsewhere = open_later(&nodes[1]);
    give(&sender, "one");
    settle().await;
    assert!(!elsewhere.is_finished());
    drop(sender);
    assert_eq!(whole(elsewhere.await.expect("no panic")).await.body, "one");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_readers_slow_no_other_and_are_accounted_for() {
    let (sender, inner) = growing(plain);
    let ([one, _], nodes) = cluster(&inner);
    let unread = open(&nodes[0], get("/")).await;
    let slow = open(&nodes[0], get("/")).await;
    let vanishing = open(&nodes[0], get("/")).await;
    let mut fast = open(&nodes[0], get("/")).await;
    give(&sender, "one");
    assert_eq!(next(&mut fast).await, "one");
    drop(vanishing);
    give(&sender, "two");
    assert_eq!(next(&mut fast).await, "two");
    drop(sender);
    assert_eq!(whole(fast).await.body, "");
    settle().await;
    assert_eq!(one.handle().stats().recorded_bytes, 6, "two have not read it");
    // Neither the store nor another follower waits for them.
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "onetwo");
    drop(unread);
    settle().await;
    assert_eq!(one.handle().stats().recorded_bytes, 6, "one has not");
    assert_eq!(whole(slow).await.body, "onetwo");
    assert_eq!(one.handle().stats().recorded_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leaders_client_that_hangs_up_stops_nothing() {
    let (sender, inner) = growing(plain);
    let ([one, _], nodes) = cluster(&inner);
    let leader = open(&nodes[0], get("/")).await;
    let mut follower = open(&nodes[0], get("/")).await;
    give(&sender, "one");
    assert_eq!(next(&mut follower).await, "one");
    drop(leader);
    settle().await;
    give(&sender, "two");
    assert_eq!(next(&mut follower).await, "two");
    drop(sender);
    assert_eq!(whole(follower).await.body, "");
    settle().await;
    assert_eq!(one.handle().stats().recorded_bytes, 0);
    assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "onetwo");
}
