//! The programs on the page about the wire, as it has them, over one Redis with nodes of ours.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_memolock::{Error, MemoLock};

use crate::support::{Member, RedisServer, eventually, resolve_from_python, within};

/// Longer than a test, unless something is lost.
const LONG: Duration = Duration::from_secs(20);

/// A node of ours.
async fn node(redis: &RedisServer) -> MemoLock {
    let store = redis.store().await;
    MemoLock::new(store, "t").lease(LONG).wait_timeout(LONG)
}

/// Asks a node that is not to compute.
fn wait_at(node: &MemoLock, id: &str) -> JoinHandle<Result<Bytes, Error>> {
    let (node, id) = (node.clone(), id.to_owned());
    tokio::spawn(async move { node.get_or_compute(id, || async { Err("computed here") }).await })
}

/// Asks a node that computes what it is then told.
async fn lead_at(
    node: &MemoLock,
    id: &str,
) -> (JoinHandle<Result<Bytes, Error>>, oneshot::Sender<Result<Bytes, String>>) {
    let (node, id) = (node.clone(), id.to_owned());
    let (say, told) = oneshot::channel();
    let (computing, is_computing) = oneshot::channel();
    let asked = tokio::spawn(async move {
        node.get_or_compute(id, || async move {
            computing.send(()).expect("a test that waits");
            told.await.expect("a test that tells")
        })
        .await
    });
    within("a node that leads", is_computing).await.expect("a computation");
    (asked, say)
}

/// Waits until so many processes listen for `id`.
async fn listening(redis: &RedisServer, id: &str, processes: usize) {
    eventually("processes that listen", || {
        let subscribers = redis.cli(&["PUBSUB", "NUMSUB", &format!("t/notif:{id}")]);
        subscribers.ends_with(&format!("\n{processes}"))
    })
    .await;
}

async fn followed(asked: JoinHandle<Result<Bytes, Error>>) -> Bytes {
    let answer = within("an answer", asked).await.expect("no panic");
    answer.expect("a value from elsewhere")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_resolves_what_nodes_and_members_wait_for() {
    let redis = RedisServer::start();
    redis.cli(&["SET", "t/lock:x", "somebody", "PX", "20000"]);
    let nodes = [node(&redis).await, node(&redis).await];
    let asked = nodes.each_ref().map(|node| wait_at(node, "x"));
    let mut member = Member::start(&redis, "t", "x");
    listening(&redis, "x", 3).await;

    resolve_from_python(&redis, "t", "x", "größer: 42").await;

    for asked in asked {
        assert_eq!(followed(asked).await, "größer: 42");
    }
    member.has("größer: 42").await;
    assert_eq!(redis.cli(&["GET", "t:x"]), "größer: 42");
    let ttl: u64 = redis.cli(&["PTTL", "t:x"]).parse().expect("a ttl");
    assert!((1..=10_000).contains(&ttl), "{ttl}");
    listening(&redis, "x", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_computes_for_nodes_and_members() {
    let redis = RedisServer::start();
    let nodes = [node(&redis).await, node(&redis).await];
    // Nothing at all is a value as well.
    for value in ["forty-two", ""] {
        let id = format!("by a member: {value}");
        let mut leader = Member::start(&redis, "t", &id);
        leader.is_computing().await;
        let asked = nodes.each_ref().map(|node| wait_at(node, &id));
        let mut follower = Member::start(&redis, "t", &id);
        listening(&redis, &id, 3).await;
        leader.computes(value).await;
        leader.has(value).await;
        for asked in asked {
            assert_eq!(followed(asked).await, value);
        }
        follower.has(value).await;
        assert_eq!(redis.cli(&["EXISTS", &format!("t/lock:{id}")]), "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_computes_for_members() {
    let redis = RedisServer::start();
    let node = node(&redis).await;
    for value in ["forty-two", ""] {
        let id = format!("by a node: {value}");
        let (asked, say) = lead_at(&node, &id).await;
        let mut members = [Member::start(&redis, "t", &id), Member::start(&redis, "t", &id)];
        listening(&redis, &id, 2).await;
        say.send(Ok(value.into())).expect("a node that waits");
        let answer = within("an answer", asked).await.expect("no panic");
        assert_eq!(answer.expect("its own value"), value);
        for member in &mut members {
            member.has(value).await;
        }
        let mut late = Member::start(&redis, "t", &id);
        late.has(value).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_at_once_in_either_language() {
    let redis = RedisServer::start();
    let node = node(&redis).await;
    let asked_at = Instant::now();

    let mut leader = Member::start(&redis, "t", "member fails");
    leader.is_computing().await;
    let id = "member fails".to_owned();
    let successor = node.clone();
    let asked = tokio::spawn(async move {
        let instead = || async { Ok::<_, &str>("a node instead".into()) };
        successor.get_or_compute(id, instead).await
    });
    listening(&redis, "member fails", 1).await;
    leader.computes("!").await;
    assert!(!leader.ended().await.success());
    let answer = within("an answer", asked).await.expect("no panic");
    assert_eq!(answer.expect("a value"), "a node instead");

    let (asked, say) = lead_at(&node, "node fails").await;
    let mut member = Member::start(&redis, "t", "node fails");
    listening(&redis, "node fails", 1).await;
    say.send(Err("as told".into())).expect("a node that waits");
    within("an answer", asked)
        .await
        .expect("no panic")
        .expect_err("its failure");
    member.is_computing().await;
    member.computes("a member instead").await;
    member.has("a member instead").await;

    assert!(asked_at.elapsed() < LONG, "a caller waited for the end of a lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_waits_takes_over_from_the_dead_in_either_language() {
    let redis = RedisServer::start();
    let lease = Duration::from_secs(1);
    let mut dead = Member::with_lease(&redis, "t", "dead member", lease);
    dead.is_computing().await;
    let node = node(&redis).await.lease(lease);
    let heir = node.clone();
    let asked = tokio::spawn(async move {
        let instead = || async { Ok::<_, &str>("a node instead".into()) };
        heir.get_or_compute("dead member", instead).await
    });
    listening(&redis, "dead member", 1).await;
    dead.kill().await;
    let answer = within("an answer", asked).await.expect("no panic");
    assert_eq!(answer.expect("a value"), "a node instead");

    redis.cli(&["SET", "t/lock:dead node", "of a process that is gone", "PX", "500"]);
    let mut member = Member::start(&redis, "t", "dead node");
    member.is_computing().await;
    member.computes("a member instead").await;
    member.has("a member instead").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_too_late_stores_nothing() {
    let redis = RedisServer::start();
    let node = node(&redis).await;
    let mut late = Member::start(&redis, "t", "x");
    late.is_computing().await;
    node.invalidate("x").await.expect("an invalidation");
    let (asked, say) = lead_at(&node, "x").await;
    late.computes("before the invalidation").await;
    // Refused, it waits with every other caller.
    listening(&redis, "x", 1).await;
    assert_eq!(redis.cli(&["EXISTS", "t:x"]), "0");
    say.send(Ok("after it".into())).expect("a node that waits");
    let answer = within("an answer", asked).await.expect("no panic");
    assert_eq!(answer.expect("its own value"), "after it");
    late.has("after it").await;
    assert_eq!(redis.cli(&["GET", "t:x"]), "after it");
}
