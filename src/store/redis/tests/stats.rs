use std::time::Duration;

use super::server::Server;
use super::{address, eventually, reread};
use crate::store::{RedisStats, RedisStore, Store, Token};

async fn until(store: &RedisStore, is_so: impl Fn(RedisStats) -> bool) -> RedisStats {
    eventually(async || Some(store.stats()).filter(|stats| is_so(*stats))).await
}

fn both_connected(stats: RedisStats) -> bool {
    stats.commands.connected && stats.notifications.connected
}

#[tokio::test]
async fn an_outage_shows_on_both_planes_and_in_what_failed() {
    let mut server = Server::start().await;
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    let stats = until(&store, both_connected).await;
    assert_eq!((stats.commands.outages, stats.commands.reconnects), (0, 0));
    assert_eq!((stats.commands.disconnected_for, stats.unavailable), (None, 0));

    server.kill();
    let stats = until(&store, |stats| {
        !stats.commands.connected && !stats.notifications.connected
    })
    .await;
    assert!(stats.commands.disconnected_for.is_some() && stats.notifications.disconnected_for.is_some());
    assert_eq!((stats.commands.outages, stats.notifications.outages), (1, 1));
    assert_eq!(stats.interruptions, 1);
    let failed = |stats: RedisStats| stats.timeouts + stats.unavailable;
    for more in 1..=3 {
        store.lookup(&address("a")).await.unwrap_err();
        assert_eq!(failed(store.stats()), failed(stats) + more);
    }

    server.restart().await;
    let stats = until(&store, both_connected).await;
    assert_eq!((stats.commands.reconnects, stats.notifications.reconnects), (1, 1));
    assert_eq!((stats.commands.outages, stats.notifications.outages), (1, 1));
}

#[tokio::test]
async fn a_silent_server_shows_as_timeouts() {
    let server = Server::start().await;
    let builder = server.builder().timeout(Duration::from_millis(100));
    let store = builder.connect().await.unwrap();
    server.freeze();
    store.lookup(&address("a")).await.unwrap_err();
    assert!(store.stats().timeouts >= 1);
    server.thaw();
}

#[tokio::test]
async fn what_the_server_refuses_is_counted_and_what_it_does_not_know_yet_is_not() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, lease) = (address("a"), Duration::from_secs(5));
    // The first script of all is unknown to the server.
    store.renew(&at, Token::random(), lease).await.unwrap();
    assert_eq!(store.stats().rejected, 0);
    server.run::<()>("CONFIG SET maxmemory 1").await;
    store.acquire(&at, Token::random(), lease).await.unwrap_err();
    assert_eq!(store.stats().rejected, 1);
}

#[tokio::test]
async fn messages_that_say_nothing_and_listeners_that_do_not_listen_are_counted() {
    let server = Server::start().await;
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    server.run::<i64>("PUBLISH t/ctl:a gibberish").await;
    until(&store, |stats| stats.unknown_words == 1).await;
    for _ in 0..40 {
        server.run::<i64>("PUBLISH t/ctl:a invalidated").await;
    }
    until(&store, |stats| stats.overflows >= 2).await;
}

#[tokio::test]
async fn refused_subscriptions_are_counted_by_channel() {
    let server = Server::start().await;
    server.run::<()>("ACL SETUSER mute on >pw ~* +@all resetchannels").await;
    let store = RedisStore::connect(&server.url_for("mute:pw@")).await.unwrap();
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    assert_eq!(store.stats().refused_subscriptions, 2);
}

#[test]
fn a_store_whose_runtime_has_ended_says_so() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, store) = runtime.block_on(async {
        let server = Server::start().await;
        let store = server.store().await;
        until(&store, both_connected).await;
        (server, store)
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
    let stats = store.stats();
    for plane in [stats.commands, stats.notifications] {
        assert!(!plane.connected && plane.disconnected_for.is_some(), "{plane:?}");
        assert_eq!(plane.outages, 1, "{plane:?}");
    }
    drop((store, server));
}

#[tokio::test]
async fn a_server_that_is_required_has_to_be_there() {
    let mut server = Server::start().await;
    let (builder, cluster) = (server.builder(), RedisStore::cluster([server.url()]));
    let sentinel = RedisStore::sentinel([server.url()], "master");
    server.kill();
    for builder in [builder, cluster, sentinel] {
        let error = builder.require_connected().connect().await.expect_err("no server");
        assert_eq!(error.kind(), crate::StoreErrorKind::Unavailable, "{error:?}");
    }
    server.restart().await;
    server.builder().require_connected().connect().await.unwrap();
}
