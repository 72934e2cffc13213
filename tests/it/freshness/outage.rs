//! An invalidation was acknowledged, and then Redis is lost while an older computation is under way.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tower_memolock::MemoLock;

use super::fixture::{Caller, Leader, answer};
use crate::support::{RedisServer, eventually};

/// So long that nothing is renewed while a test lasts.
const LEASE: Duration = Duration::from_secs(600);

async fn node(redis: &RedisServer) -> MemoLock {
    let store = redis.store().await;
    MemoLock::new(store, "t").lease(LEASE)
}

/// Computes `old` with these tags once it is told to.
async fn lead(memo: &MemoLock, ttl: Duration, tags: &'static [&'static str]) -> Leader {
    let memo = memo.clone().ttl(ttl).tags_of(|_, _| tags.iter().copied());
    Leader::start(&memo, "old").await
}

/// Asks, and returns once this caller and `earlier` ones wait, or have been sent on and are done: what becomes of the lease
/// may be known at any moment.
async fn join(memo: &MemoLock, value: &'static str, earlier: &[&Caller]) -> Caller {
    let asking = memo.clone().tags_of(|_, _| [""; 0]);
    let compute = move || async move { Ok::<_, Infallible>(Bytes::from(value)) };
    let caller = tokio::spawn(async move { asking.get_or_compute("a", compute).await });
    eventually("a caller that waits", || {
        let all = earlier.iter().copied().chain([&caller]);
        let done = all.filter(|caller| caller.is_finished());
        memo.stats().waiting + done.count() as u64 == earlier.len() as u64 + 1
    })
    .await;
    caller
}

/// What callers get that joined before the invalidation, and callers that joined when Redis was gone.
async fn answers(ttl: Duration, tags: &'static [&'static str]) -> (Bytes, Bytes, Bytes) {
    let mut redis = RedisServer::start();
    let (here, there) = (node(&redis).await, node(&redis).await);
    let leader = lead(&here, ttl, tags).await;
    let early = join(&here, "new", &[]).await;
    match tags {
        [] => there.invalidate("a"),
        [tag, ..] => there.invalidate_tags([tag]),
    }
    .await
    .unwrap();
    redis.kill();
    let late = join(&here, "newer", &[&early]).await;
    (leader.finish().await, answer(early).await, answer(late).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_result_is_not_for_those_who_came_after_the_invalidation() {
    let (leader, _early, late) = answers(Duration::from_secs(60), &[]).await;
    assert_eq!(leader, "old");
    assert_ne!(late, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_one_that_is_for_those_only_who_wait() {
    let (leader, _early, late) = answers(Duration::ZERO, &[]).await;
    assert_eq!(leader, "old");
    assert_ne!(late, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_one_whose_tag_was_invalidated() {
    let (leader, _early, late) = answers(Duration::from_secs(60), &["shop"]).await;
    assert_eq!(leader, "old");
    assert_ne!(late, "old");
}

/// Without an invalidation, losing Redis costs a second call to those callers only that came just before it.
#[tokio::test(flavor = "multi_thread")]
async fn those_whom_the_lease_vouches_for_are_not_computed_for_again() {
    let mut redis = RedisServer::start();
    let here = node(&redis).await;
    let leader = lead(&here, Duration::from_secs(60), &[]).await;
    redis.reset_commandstats();
    let early = join(&here, "again", &[]).await;
    eventually("a renewal for the one who joined", || {
        redis.commandstats().contains_key("pexpire")
    })
    .await;
    redis.kill();
    assert_eq!(leader.finish().await, "old");
    assert_eq!(answer(early).await, "old");
    assert_eq!(here.stats().led, 1);
}
