//! Foreign leaders, with the habits they have; and what they do to ours.

use std::time::{Duration, Instant};

use tower_memolock::ErrorKind;

use super::fixture::{LEASE, NODES, Ours, SLACK, World, agreed, all};
use crate::support::eventually;

const QUICK: Duration = Duration::from_millis(50);

/// Takes the lock as they do.
async fn lead(world: &World, seconds: &str) {
    let taken: String = world
        .say("SET", ["likes/lock:a", "any token", "NX", "EX", seconds])
        .await;
    assert_eq!(taken, "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_elsewhere_computes_reaches_all_of_ours() {
    let world = World::new().await;
    let ours = Ours::default();
    lead(&world, "20").await;
    let waiting = ours.ask(&world.nodes, "a", QUICK);
    world.listening("a", NODES).await;
    world.resolve("a", "theirs").await;
    assert_eq!(agreed(waiting).await.0, "theirs");
    assert_eq!(ours.runs(), 0);
    // Go never gives its lock back, and it is not ours to do so.
    assert!(world.is_locked("a").await);
    let later = ours.ask(&world.nodes, "a", QUICK);
    assert_eq!(agreed(later).await.0, "theirs");
}

/// A writer that never publishes: a caller that comes later finds its value, and the waiters already get it with that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_published_is_found_by_the_next_who_comes() {
    let world = World::new().await;
    let ours = Ours::default();
    lead(&world, "600").await;
    let node = &world.nodes[..1];
    let waiting = ours.ask(node, "a", QUICK);
    world.listening("a", 1).await;
    let () = world.say("SET", ["likes:a", "quiet"]).await;
    let later = ours.ask(node, "a", QUICK);
    assert_eq!(agreed(later).await.0, "quiet");
    assert_eq!(agreed(waiting).await.0, "quiet");
    assert!(world.is_locked("a").await);
    assert_eq!(ours.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_comes_later_costs_few_look_ups() {
    let world = World::new().await;
    let ours = Ours::default();
    lead(&world, "600").await;
    let node = &world.nodes[..1];
    let waiting = ours.ask(node, "a", QUICK);
    world.listening("a", 1).await;
    world.redis.reset_commandstats();
    let later: Vec<_> = (0..50).map(|_| ours.ask(node, "a", QUICK)).collect();
    eventually("all wait", || node[0].stats().waiting == 51 * 20).await;
    let () = world.say("SET", ["likes:a", "quiet"]).await;
    let last = ours.ask(node, "a", QUICK);
    for asked in later.into_iter().chain([waiting, last]) {
        assert_eq!(agreed(asked).await.0, "quiet");
    }
    // A thousand callers.
    let looks = world.redis.commandstats()["get"];
    assert!(looks <= 60, "{looks} look-ups");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_outlasts_its_value_costs_its_rest_at_most() {
    let world = World::new().await;
    let ours = Ours::default();
    lead(&world, "3").await;
    let locked = Instant::now();
    let () = world.say("SET", ["likes:a", "brief", "PX", "200"]).await;
    eventually("the value is gone", || world.redis.cli(&["EXISTS", "likes:a"]) == "0").await;
    let (value, _) = agreed(ours.ask(&world.nodes, "a", QUICK)).await;
    assert_eq!(value, "ours 1");
    let rest = locked.elapsed();
    assert!(rest < Duration::from_secs(3) + SLACK, "{rest:?}");
    assert_eq!(ours.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_deletes_our_lock_costs_a_second_call_and_no_answer() {
    let world = World::new().await;
    let ours = Ours::default();
    let waiting = ours.ask(&world.nodes, "a", LEASE * 2);
    eventually("a computation", || ours.runs() == 1).await;
    world.listening("a", NODES - 1).await;
    // C# deletes whatever lock there is when its own computation ends.
    let deleted: u64 = world.say("DEL", ["likes/lock:a"]).await;
    assert_eq!(deleted, 1);
    let (answers, slowest) = all(waiting).await;
    for answer in answers {
        let value = answer.expect("a value");
        assert!(value == "ours 1" || value == "ours 2", "{value:?}");
    }
    assert!(slowest < LEASE * 4 + SLACK, "{slowest:?}");
    assert!(ours.runs() <= 2, "{} calls", ours.runs());
    assert!(world.get("likes:a").await.is_some());
    assert!(!world.is_locked("a").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_an_end_and_an_empty_one_are_values() {
    let world = World::new().await;
    let ours = Ours::default();
    for value in ["for ever", ""] {
        lead(&world, "20").await;
        let waiting = ours.ask(&world.nodes, "a", QUICK);
        world.listening("a", NODES).await;
        let () = world.say("SET", ["likes:a", value]).await;
        let () = world.say("PUBLISH", ["likes/notif:a", value]).await;
        assert_eq!(agreed(waiting).await.0, value);
        assert_eq!(agreed(ours.ask(&world.nodes, "a", QUICK)).await.0, value);
        let () = world.say("DEL", ["likes:a", "likes/lock:a"]).await;
    }
    assert_eq!(ours.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_elsewhere_that_dies_is_succeeded_by_one_of_ours() {
    let world = World::new().await;
    let ours = Ours::default();
    lead(&world, "2").await;
    let locked = Instant::now();
    let waiting = ours.ask(&world.nodes, "a", QUICK);
    world.listening("a", NODES).await;
    assert_eq!(agreed(waiting).await.0, "ours 1");
    assert!(locked.elapsed() < Duration::from_secs(2) + SLACK);
    assert_eq!(ours.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_without_an_end_costs_one_lease() {
    let world = World::new().await;
    let ours = Ours::default();
    let () = world.say("SET", ["likes/lock:a", "whose"]).await;
    let waiting = ours.ask(&world.nodes, "a", QUICK);
    let (value, slowest) = agreed(waiting).await;
    assert_eq!(value, "ours 1");
    assert!(slowest < LEASE + SLACK, "{slowest:?}");
    assert_eq!(ours.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_six_hundred_years_costs_the_wait_timeout() {
    let world = World::new().await;
    let ours = Ours::default();
    lead(&world, "20").await;
    // Go passes nanoseconds where Redis takes seconds.
    let set: u64 = world.say("EXPIRE", ["likes/lock:a", "20000000000"]).await;
    assert_eq!(set, 1);
    let patient = ours.ask(&world.nodes, "a", QUICK);
    let hasty: Vec<_> = world
        .nodes
        .iter()
        .cloned()
        .map(|node| node.wait_timeout(LEASE))
        .collect();
    let (answers, slowest) = all(ours.ask(&hasty, "a", QUICK)).await;
    for answer in answers {
        assert!(
            matches!(&answer, Err(error) if error.kind() == ErrorKind::WaitTimeout),
            "{answer:?}"
        );
    }
    assert!(slowest < LEASE + SLACK, "{slowest:?}");
    world.resolve("a", "after all").await;
    assert_eq!(agreed(patient).await.0, "after all");
    assert_eq!(ours.runs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_elsewhere_may_forget_to_store_or_to_publish() {
    let world = World::new().await;
    let ours = Ours::default();
    lead(&world, "2").await;
    let waiting = ours.ask(&world.nodes, "a", QUICK);
    world.listening("a", NODES).await;
    // It may be about another database of the same server.
    let () = world.say("PUBLISH", ["likes/notif:a", "not stored"]).await;
    assert_eq!(agreed(waiting).await.0, "ours 1");
    let () = world.say("DEL", ["likes:a"]).await;

    let ours = Ours::default();
    lead(&world, "2").await;
    let waiting = ours.ask(&world.nodes, "a", QUICK);
    world.listening("a", NODES).await;
    let () = world.say("SET", ["likes:a", "not published"]).await;
    assert_eq!(agreed(waiting).await.0, "not published");
    assert_eq!(ours.runs(), 0);
}
