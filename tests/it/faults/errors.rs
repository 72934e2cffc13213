//! Redis answers, but with errors.

use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::fixture::{SLACK, TIMEOUT, echo, one_after_the_other};
use crate::support::cluster::{
    LEASE, agree, all_served, ask, confirmed, gated, joined, nodes_at, one_body, share_again, urls, waiting,
};
use crate::support::{Fault, FaultProxy, RedisServer, Target, eventually, within};

const WRITES: &[&str] = &["SET", "EVALSHA", "EVAL"];
const EVEN_PING: &[&str] = &["GET", "SET", "PTTL", "EVALSHA", "EVAL", "PING"];
const EVEN_SUBSCRIBE: &[&str] = &["GET", "SET", "PTTL", "EVALSHA", "EVAL", "SUBSCRIBE", "UNSUBSCRIBE"];

/// While these commands are answered with this error, every client is answered, a process makes one call for all clients that ask
/// it at once, and no caller waits for long. Afterwards all is well.
async fn an_error_is_survived(error: &str, commands: &[&str]) {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let (origin, gate) = gated().await;
    let nodes = nodes_at(&origin, &proxy.url(), 3).await;
    let echo = echo().await;
    let mut others = nodes_at(&echo, &proxy.url(), 2).await;
    let asked = ask(urls(&nodes, "/midway", 60));
    origin.called("/midway", 1).await;
    waiting(&redis, 2).await;
    joined(&nodes, 59).await;
    confirmed(&redis).await;
    let injection = proxy.inject(Target::replies(commands), Fault::error(error));
    gate.add_permits(Semaphore::MAX_PERMITS);
    let since = Instant::now();
    all_served(within("answers", asked).await.expect("no panic"));
    let took = since.elapsed();
    assert!(took < LEASE + TIMEOUT + SLACK, "{took:?}");
    assert!(origin.all_calls() <= 3, "{} calls", origin.all_calls());

    // Missing permissions are for the operator: a node does not even start with them.
    if !error.starts_with("NOPERM") {
        others.extend(nodes_at(&echo, &proxy.url(), 1).await);
    }
    let path = "/slow";
    assert_eq!(agree(urls(&others, path, 90)).await, path);
    assert!(echo.calls(path) <= 3, "{} calls", echo.calls(path));
    let took = one_after_the_other(&others[0], &echo, "errors", 100).await;
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    assert!(injection.count() > 0);
    proxy.heal();
    share_again(&origin, &nodes).await;
    share_again(&echo, &others).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_loading_costs_a_call_a_process() {
    an_error_is_survived("LOADING Redis is loading the dataset in memory", EVEN_PING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_read_only_costs_a_call_a_process() {
    an_error_is_survived("READONLY You can't write against a read only replica.", WRITES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_its_master_costs_a_call_a_process() {
    let error = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    an_error_is_survived(error, EVEN_PING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_costs_a_call_a_process() {
    let error = "OOM command not allowed when used memory > 'maxmemory'.";
    an_error_is_survived(error, WRITES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forbids_everything_costs_a_call_a_process() {
    let error = "NOPERM this user has no permissions to run this command";
    an_error_is_survived(error, EVEN_SUBSCRIBE).await;
}

/// One node computes and two wait while Redis changes; returns how long after the result the last one is answered with
/// it.
async fn one_call_although(change: &[&str]) -> Duration {
    let redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes_at(&origin, &redis.url(), 3).await;
    // A node that starts tries every command, SET among them.
    redis.reset_commandstats();
    let asked = ask(urls(&nodes, "/", 3));
    origin.called("/", 1).await;
    waiting(&redis, 2).await;
    // The followers have asked for the lock twice: before they listened and after.
    let attempts = || redis.commandstats().get("set").copied().unwrap_or(0);
    eventually("the last attempt to lead", || attempts() >= 5).await;
    redis.cli(change);
    gate.add_permits(1);
    let since = Instant::now();
    assert_eq!(one_body(within("answers", asked).await.expect("no panic")), "call 1");
    let took = since.elapsed();
    assert!(took < LEASE + SLACK, "{took:?}");
    assert_eq!(origin.all_calls(), 1);
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_still_passes_the_result_on() {
    let took = one_call_although(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(took < SLACK, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_channels_waits_for_the_lease_at_most() {
    one_call_although(&["ACL", "SETUSER", "default", "resetchannels"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_cost_nothing() {
    let redis = RedisServer::start();
    // From here on Redis knows the scripts.
    let echo = echo().await;
    agree(urls(&nodes_at(&echo, &redis.url(), 1).await, "/", 1)).await;
    let (origin, gate) = gated().await;
    let nodes = nodes_at(&origin, &redis.url(), 3).await;
    let asked = ask(urls(&nodes, "/", 30));
    origin.called("/", 1).await;
    waiting(&redis, 2).await;
    redis.cli(&["SCRIPT", "FLUSH"]);
    gate.add_permits(1);
    let since = Instant::now();
    assert_eq!(one_body(within("answers", asked).await.expect("no panic")), "call 1");
    let took = since.elapsed();
    assert!(took < SLACK, "{took:?}");
    assert_eq!(origin.all_calls(), 1);
}
