//! A process that is asked to stop: a waiter elsewhere takes over, and waiters here are answered.

mod core;

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::BoxError;
use tower_memolock::store::{Lock, Token};
use tower_memolock::{Address, Error, Key, MemoLock, MemoryStore, Store, Tag};

use crate::support::cluster::{confirmed, joined};
use crate::support::{Answer, HttpClient, Node, Origin, RedisServer, Reply, eventually, within};

const LEASE: Duration = Duration::from_secs(30);

fn ask(urls: Vec<String>) -> JoinHandle<Vec<Result<Answer, BoxError>>> {
    tokio::spawn(async move { HttpClient::http1().get_all(&urls).await })
}

/// The bodies of all, each of which is there.
fn bodies(answers: Vec<Result<Answer, BoxError>>) -> HashSet<String> {
    let answers = answers.into_iter().map(|answer| answer.expect("an answer"));
    answers.map(|answer| answer.text().to_owned()).collect()
}

/// An upstream whose first call waits for a permit. Each says which one it is.
async fn first_call_waits() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let origin = Origin::start(move |call| {
        let gate = Arc::clone(&closed);
        async move {
            if call.number == 1 {
                let _permit = gate.acquire().await;
            }
            Reply::fresh(format!("call {}", call.number))
        }
    })
    .await;
    (origin, gate)
}

/// Three nodes; the leader is told to stop while its call of the upstream goes on. Returns how long it took until
/// another node called. `then` runs after that, and before the first call ends.
async fn a_leader_is_told_to_stop(lease: &str, then: impl Future<Output = ()>) -> Duration {
    let redis = RedisServer::start();
    let (origin, gate) = first_call_waits().await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let flags = ["--redis", &redis.url(), "--lease", lease];
        nodes.push(Node::reverse_proxy(&origin.url(), &flags).await);
    }
    let urls = |node: &Node, count| vec![node.url("/"); count];
    let leading = ask(urls(&nodes[0], 5));
    origin.called("/", 1).await;
    let following = ask([urls(&nodes[1], 10), urls(&nodes[2], 10)].concat());
    eventually("two waiting processes", || {
        let subscribers = redis.cli(&["PUBSUB", "NUMSUB", &redis.cli(&["PUBSUB", "CHANNELS", "proxy/notif:*"])]);
        subscribers.lines().last() == Some("2")
    })
    .await;
    joined(&nodes, 24).await;

    nodes[0].signal("TERM");
    let told = Instant::now();
    origin.called("/", 2).await;
    let taken_over = told.elapsed();
    assert_eq!(
        bodies(following.await.expect("no panic")),
        HashSet::from(["call 2".to_owned()])
    );
    then.await;
    gate.add_permits(1);
    assert_eq!(
        bodies(leading.await.expect("no panic")),
        HashSet::from(["call 1".to_owned()])
    );
    assert_eq!(nodes[0].ended().await.code(), Some(0), "{}", nodes[0].stderr());
    // What the first process computed in the end has changed nothing.
    let later = ask([urls(&nodes[1], 1), urls(&nodes[2], 1)].concat());
    assert_eq!(
        bodies(later.await.expect("no panic")),
        HashSet::from(["call 2".to_owned()])
    );
    assert_eq!(origin.all_calls(), 2);
    taken_over
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_takes_longer_than_its_grace_is_succeeded_and_answers_its_own() {
    let taken_over = a_leader_is_told_to_stop("30s", async {}).await;
    assert!(taken_over < LEASE / 3, "{taken_over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_finishes_and_no_other_computes_once_more() {
    let redis = RedisServer::start();
    let (origin, gate) = first_call_waits().await;
    let flags = ["--redis", &redis.url(), "--lease", "1s"];
    let mut leader = Node::reverse_proxy(&origin.url(), &flags).await;
    let other = Node::reverse_proxy(&origin.url(), &flags).await;
    let leading = ask(vec![leader.url("/"); 5]);
    origin.called("/", 1).await;
    let following = ask(vec![other.url("/"); 10]);
    let subscribed = || !redis.cli(&["PUBSUB", "CHANNELS", "proxy/notif:*"]).trim().is_empty();
    eventually("a waiting process", subscribed).await;
    joined([&leader, &other], 14).await;

    leader.signal("TERM");
    // Every third of the lease: longer together than it lasts.
    let renewals = || redis.commandstats().get("evalsha").copied().unwrap_or(0);
    let wanted = renewals() + 5;
    eventually("renewals of the lease", || renewals() >= wanted).await;
    assert_eq!(origin.all_calls(), 1);
    gate.add_permits(1);
    for asked in [leading, following] {
        assert_eq!(
            bodies(asked.await.expect("no panic")),
            HashSet::from(["call 1".to_owned()])
        );
    }
    assert_eq!(leader.ended().await.code(), Some(0), "{}", leader.stderr());
    bodies(ask(vec![other.url("/")]).await.expect("no panic"));
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_past_its_lease_after_a_shutdown_disturbs_no_other() {
    let lease = Duration::from_secs(2);
    a_leader_is_told_to_stop("2s", tokio::time::sleep(lease + lease / 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leads_nothing_stops_at_once_with_redis_dead() {
    let mut redis = RedisServer::start();
    let origin = Origin::start(|_| async { Reply::fresh("x") }).await;
    let mut node = Node::reverse_proxy(&origin.url(), &["--redis", &redis.url()]).await;
    bodies(ask(vec![node.url("/")]).await.expect("no panic"));
    redis.kill();
    node.signal("TERM");
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_give_its_lease_back_answers_its_own_and_stops() {
    let redis = RedisServer::start();
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let origin = Origin::start(move |_| {
        let gate = Arc::clone(&closed);
        async move {
            let _permit = gate.acquire().await;
            Reply::fresh("x")
        }
    })
    .await;
    let flags = ["--redis", &redis.url(), "--lease", "3s"];
    let mut node = Node::reverse_proxy(&origin.url(), &flags).await;
    let leading = ask(vec![node.url("/"); 5]);
    origin.called("/", 1).await;
    joined([&node], 4).await;
    confirmed(&redis).await;
    redis.stop();
    node.signal("TERM");
    let given_up = || node.stderr().contains("no connection to Redis");
    eventually("a store that waits for Redis no longer", given_up).await;
    gate.add_permits(1);
    assert_eq!(
        bodies(leading.await.expect("no panic")),
        HashSet::from(["x".to_owned()])
    );
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.stderr());
    assert_eq!(origin.all_calls(), 1);
}
