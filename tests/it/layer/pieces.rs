//! What bodies in small pieces cost.

use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::StreamFollowers;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{Inner, answer, by_hand, data, get, send, settle, streamed, with};

const PIECES: usize = 20_000;

#[tokio::test(start_paused = true)]
async fn small_pieces_are_counted_by_what_is_held_and_passed_on_as_they_come() {
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").stream_followers(StreamFollowers::Process);
    let (parts, body) = by_hand();
    let body = std::sync::Mutex::new(Some(body));
    let inner = Inner::new(move |_, _| {
        let body = body.lock().expect("no panic").take().expect("one call");
        async move { Ok(with(streamed(body), "cache-control", "max-age=60")) }
    });
    let node = layer.layer(inner);
    let mut leader = node.clone().oneshot(get("/")).await.expect("a head").into_body();
    parts.send(data("a")).expect("a reader");
    let first = leader.frame().await.expect("a frame").expect("data");
    assert_eq!(first.into_data().expect("data"), "a", "none is held back");
    let follower = send(&node, get("/"));
    for _ in 1..PIECES {
        // Each pins a page, as a part of a read buffer does.
        let mut page = bytes::Bytes::from(vec![b'a'; 4096]);
        parts.send(data(page.split_to(1))).expect("a reader");
        settle_a_little().await;
    }
    settle().await;
    let held = layer.handle().stats().recorded_bytes as usize;
    assert!((PIECES..PIECES * 2).contains(&held), "{held}");
    // What has not been read meanwhile is few frames.
    let next = leader.frame().await.expect("a frame").expect("data");
    assert!(next.into_data().expect("data").len() < PIECES);
    drop(parts);
    settle().await;
    let rest = leader.collect().await.expect("the end").to_bytes();
    assert!(rest.len() < PIECES && rest.iter().all(|byte| *byte == b'a'));
    assert_eq!(answer(follower).await.body.len(), PIECES);
    settle().await;
    assert_eq!(layer.handle().stats().recorded_bytes, 0);
}

async fn settle_a_little() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}
