//! Promises of ours that a worker in another language resolves.

use std::time::{Duration, Instant};

use tower_memolock::{ErrorKind, Limits};

use super::fixture::{LEASE, NODES, Ours, SLACK, World, agreed, all, node};
use crate::support::{eventually, within};

/// All callers wait for a worker: one has started the work, all listen.
async fn requested(world: &World, ours: &Ours) {
    eventually("a start", || ours.runs() == 1).await;
    world.listening("a", NODES).await;
    eventually("a deferred promise", || {
        world.nodes.iter().map(|node| node.stats().deferred).sum::<u64>() == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_answers_every_caller_with_two_commands() {
    let world = World::new().await;
    let ours = Ours::default();
    let waiting = ours.request(&world.nodes, "a");
    requested(&world, &ours).await;
    assert!(world.is_locked("a").await);
    let resolved = Instant::now();
    world.resolve("a", "their work").await;
    assert_eq!(agreed(waiting).await.0, "their work");
    assert!(resolved.elapsed() < LEASE, "{:?}", resolved.elapsed());
    assert_eq!(ours.runs(), 1);
    eventually("the lock is given back", || {
        world.redis.cli(&["EXISTS", "likes/lock:a"]) == "0"
    })
    .await;
    let stats: Vec<_> = world.nodes.iter().map(|node| node.stats()).collect();
    assert_eq!(stats.iter().map(|stats| stats.resolved).sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_publish_before_it_has_been_thanked() {
    let world = World::new().await;
    // It is done before the request returns.
    let redis = redis::Client::open(world.redis.url()).unwrap();
    let worker = redis.get_multiplexed_async_connection().await.unwrap();
    let request = move || {
        let mut worker = worker.clone();
        async move {
            let mut both = redis::pipe();
            both.cmd("SET").arg("likes:a").arg("quick").arg("EX").arg(60);
            both.cmd("PUBLISH").arg("likes/notif:a").arg("quick");
            both.query_async::<()>(&mut worker).await
        }
    };
    let value = within("a value", world.nodes[0].get_or_request("a", request)).await;
    assert_eq!(value.unwrap(), "quick");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_published_is_found_when_the_lease_ends() {
    let world = World::new().await;
    let ours = Ours::default();
    let waiting = ours.request(&world.nodes, "a");
    requested(&world, &ours).await;
    let () = world.say("SET", ["likes:a", "quiet"]).await;
    let (value, slowest) = agreed(waiting).await;
    assert_eq!(value, "quiet");
    assert!(slowest < LEASE + SLACK, "{slowest:?}");
    assert_eq!(ours.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_published_is_found_by_the_next_who_comes() {
    let world = World::new().await;
    let ours = Ours::default();
    let nodes = world.nodes_with(|node| node.lease(Duration::from_secs(600)));
    let waiting = ours.request(&nodes, "a");
    requested(&world, &ours).await;
    let () = world.say("SET", ["likes:a", "quiet"]).await;
    let later = ours.request(&nodes, "a");
    assert_eq!(agreed(later).await.0, "quiet");
    assert_eq!(agreed(waiting).await.0, "quiet");
    assert_eq!(ours.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_published_into_the_void_is_found_after_a_reconnect() {
    let world = World::new().await;
    let ours = Ours::default();
    let nodes = world.nodes_with(|node| node.lease(Duration::from_secs(60)));
    let waiting = ours.request(&nodes, "a");
    requested(&world, &ours).await;
    // Published while no node listens, and the connections are lost right after that.
    let cut = world.store_and_cut("likes:a", "kept").await;
    assert!(cut >= NODES, "{cut}");
    assert_eq!(agreed(waiting).await.0, "kept");
    assert_eq!(ours.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_is_replaced_and_the_first_may_answer_after_all() {
    let world = World::new().await;
    let ours = Ours::default();
    let nodes = world.nodes_with(|node| node.limits(Limits::new().max_attempts(2)));
    let waiting = ours.request(&nodes, "a");
    eventually("a second start", || ours.runs() == 2).await;
    eventually("every lease is over", || {
        let unresolved = world.nodes.iter().map(|node| node.stats().unresolved);
        unresolved.sum::<u64>() == 2
    })
    .await;
    tokio::time::sleep(LEASE).await;
    assert_eq!(ours.runs(), 2, "more starts than may be");
    assert!(!world.is_locked("a").await);
    world.resolve("a", "slow").await;
    assert_eq!(agreed(waiting).await.0, "slow");
    assert_eq!(ours.runs(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_every_caller_is_told_so() {
    let world = World::new().await;
    let ours = Ours::default();
    let nodes = world.nodes_with(|node| node.limits(Limits::new().max_attempts(1)).wait_timeout(LEASE * 2));
    let (answers, slowest) = all(ours.request(&nodes, "a")).await;
    for answer in answers {
        assert!(
            matches!(&answer, Err(error) if error.kind() == ErrorKind::WaitTimeout),
            "{answer:?}"
        );
    }
    assert!(slowest < LEASE * 2 + SLACK, "{slowest:?}");
    // A node that was too late to hear of the start, and whose callers wait longest, may start it once more.
    let runs = ours.runs();
    assert!((1..=2).contains(&runs), "{runs} starts");
    for node in &nodes {
        within("a drained node", node.drained()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_does_not_outlast_a_value_that_is_brief() {
    let world = World::new().await;
    let ours = Ours::default();
    let nodes = world.nodes_with(|node| node.lease(Duration::from_secs(60)));
    let waiting = ours.request(&nodes, "a");
    requested(&world, &ours).await;
    let () = world.say("SET", ["likes:a", "brief", "PX", "100"]).await;
    let () = world.say("PUBLISH", ["likes/notif:a", "brief"]).await;
    assert_eq!(agreed(waiting).await.0, "brief");
    eventually("the value is gone", || world.redis.cli(&["EXISTS", "likes:a"]) == "0").await;
    let (value, slowest) = agreed(ours.ask(&nodes, "a", Duration::ZERO)).await;
    assert_eq!(value, "ours 2");
    assert!(slowest < SLACK, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_ours_resolves_without_the_lock() {
    let world = World::new().await;
    let ours = Ours::default();
    let waiting = ours.request(&world.nodes, "a");
    requested(&world, &ours).await;
    let worker = node(&world.redis).await;
    worker
        .resolve("a", "work".into(), Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(agreed(waiting).await.0, "work");
    assert_eq!(world.get("likes:a").await.unwrap(), b"work");
    assert_eq!(ours.runs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_taken_away_leaves_no_caller_behind() {
    let world = World::new().await;
    let ours = Ours::default();
    let waiting = ours.request(&world.nodes, "a");
    requested(&world, &ours).await;
    let deleted: u64 = world.say("DEL", ["likes/lock:a"]).await;
    assert_eq!(deleted, 1);
    world.resolve("a", "done").await;
    assert_eq!(agreed(waiting).await.0, "done");

    // And the work of a promise that is invalidated is started again.
    let waiting = ours.request(&world.nodes, "b");
    world.listening("b", NODES).await;
    let before = ours.runs();
    world.nodes[1].invalidate("b").await.unwrap();
    eventually("another start", || ours.runs() > before).await;
    world.resolve("b", "new").await;
    assert_eq!(agreed(waiting).await.0, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_everything_costs_another_start() {
    let mut world = World::new().await;
    let ours = Ours::default();
    let nodes = world.nodes_with(|node| node.lease(Duration::from_secs(60)));
    let waiting = ours.request(&nodes, "a");
    requested(&world, &ours).await;
    world.redis.restart_empty();
    eventually("another start", || ours.runs() > 1).await;
    let worker = node(&world.redis).await;
    worker
        .resolve("a", "again".into(), Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(agreed(waiting).await.0, "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_work_is_started_once_a_process_and_found_when_redis_is_back() {
    let mut world = World::new().await;
    let ours = Ours::default();
    world.redis.kill();
    let waiting = ours.request(&world.nodes, "a");
    eventually("a start on every node", || ours.runs() == NODES).await;
    world.redis.restart();
    let worker = node(&world.redis).await;
    worker
        .resolve("a", "late".into(), Duration::from_secs(60))
        .await
        .unwrap();
    let (answers, _) = all(waiting).await;
    for answer in answers {
        assert_eq!(answer.expect("a value"), "late");
    }
    assert_eq!(ours.runs(), NODES);
}
