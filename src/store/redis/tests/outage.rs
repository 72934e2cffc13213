use std::time::{Duration, Instant};

use super::server::{Server, free_port};
use super::{address, eventually, notice_within, reread};
use crate::error::StoreErrorKind;
use crate::store::{Notice, RedisStore, Store, Token, Value};

const LEASE: Duration = Duration::from_secs(20);

async fn kind_of_lookup(store: &RedisStore) -> Option<StoreErrorKind> {
    store.lookup(&address("a")).await.err().map(|e| e.kind())
}

async fn works(store: &RedisStore) {
    eventually(async || store.lookup(&address("a")).await.ok()).await;
}

/// A commit reaches a watch that is in effect.
async fn promise_works(store: &RedisStore, watch: &mut super::super::RedisWatch) {
    let (at, token) = (address("a"), Token::random());
    store.invalidate(&at).await.unwrap();
    store.acquire(&at, token, LEASE).await.unwrap();
    let value = Value::encoded("v");
    assert!(store.commit(&at, token, &value, LEASE).await.unwrap());
    while !matches!(super::notice(watch).await, Notice::Announced) {}
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_connected_to_later() {
    let mut server = Server::start().await;
    server.kill();
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    assert_eq!(kind_of_lookup(&store).await, Some(StoreErrorKind::Unavailable));
    server.restart().await;
    works(&store).await;
    reread(&mut watch).await;
    promise_works(&store, &mut watch).await;
}

#[tokio::test]
async fn a_killed_server_is_noticed_at_once_and_found_again() {
    let mut server = Server::start().await;
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    server.kill();
    let notice = notice_within(&mut watch, Duration::from_millis(250)).await;
    assert!(matches!(notice, Notice::Reread), "{notice:?}");
    assert!(kind_of_lookup(&store).await.is_some());
    server.restart().await;
    let since = Instant::now();
    works(&store).await;
    reread(&mut watch).await;
    assert!(since.elapsed() < Duration::from_secs(3));
    promise_works(&store, &mut watch).await;
}

#[tokio::test]
async fn a_frozen_server_costs_one_timeout_and_then_nothing() {
    let server = Server::start().await;
    let timeout = Duration::from_millis(200);
    let store = server.builder().timeout(timeout).connect().await.unwrap();
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    server.freeze();
    let since = Instant::now();
    assert_eq!(kind_of_lookup(&store).await, Some(StoreErrorKind::Timeout));
    assert!(since.elapsed() >= timeout);
    assert!(since.elapsed() < timeout * 3);
    for _ in 0..1000 {
        let kind = kind_of_lookup(&store).await;
        assert_eq!(kind, Some(StoreErrorKind::Unavailable));
    }
    assert!(since.elapsed() < timeout * 4);
    reread(&mut watch).await;
    assert!(since.elapsed() < Duration::from_secs(2));
    server.thaw();
    works(&store).await;
    reread(&mut watch).await;
    promise_works(&store, &mut watch).await;
}

#[tokio::test]
async fn who_waits_on_a_connection_that_others_have_given_up_waits_no_longer() {
    let server = Server::start().await;
    let timeout = Duration::from_secs(2);
    let store = server.builder().timeout(timeout).connect().await.unwrap();
    server.freeze();
    let first = tokio::spawn({
        let store = store.clone();
        async move { kind_of_lookup(&store).await }
    });
    tokio::time::sleep(timeout * 3 / 4).await;
    let since = Instant::now();
    assert_eq!(kind_of_lookup(&store).await, Some(StoreErrorKind::Timeout));
    let waited = since.elapsed();
    assert!(waited < timeout * 3 / 4, "{waited:?}");
    assert_eq!(first.await.unwrap(), Some(StoreErrorKind::Timeout));
}

// One worker runs the task that was woken last first: of a timer and a socket, the task that waits for the timer.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_process_that_stood_still_hears_the_answers_that_came_meanwhile() {
    let server = Server::start().await;
    let timeout = Duration::from_millis(1500);
    let store = server.builder().timeout(timeout).connect().await.unwrap();
    let epoch = store.epoch();
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    server.freeze();
    let lookup = tokio::spawn({
        let store = store.clone();
        async move { store.lookup(&address("a")).await.map(drop) }
    });
    // The look-up waits on one connection, and a heartbeat on the other.
    eventually(async || (server.unread() == 2).then_some(())).await;
    let pause = async move {
        server.thaw();
        std::thread::sleep(timeout + Duration::from_millis(100));
        server
    };
    let server = tokio::spawn(pause).await.unwrap();
    lookup.await.unwrap().unwrap();
    assert_eq!(store.epoch(), epoch);
    store.invalidate(&address("a")).await.unwrap();
    let notice = super::notice(&mut watch).await;
    assert!(matches!(notice, Notice::Invalidated), "{notice:?}");
    drop(server);
}

#[tokio::test]
async fn connecting_to_a_frozen_server_takes_a_bounded_time() {
    let server = Server::start().await;
    server.freeze();
    let since = Instant::now();
    let builder = server.builder().connect_timeout(Duration::from_millis(300));
    let store = builder.connect().await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(1));
    let kind = kind_of_lookup(&store).await;
    assert_eq!(kind, Some(StoreErrorKind::Unavailable));
    server.thaw();
    works(&store).await;
}

#[tokio::test]
async fn a_lost_subscriber_connection_costs_two_rereads() {
    let server = Server::start().await;
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    assert_eq!(server.run::<u32>("CLIENT KILL TYPE pubsub").await, 1);
    reread(&mut watch).await;
    reread(&mut watch).await;
    promise_works(&store, &mut watch).await;
}

#[tokio::test]
async fn an_idle_store_notices_a_lost_command_connection_by_itself() {
    let server = Server::start().await;
    let store = server.store().await;
    let epoch = store.epoch();
    server.run::<u32>("CLIENT KILL TYPE normal SKIPME yes").await;
    eventually(async || (store.epoch() != epoch).then_some(())).await;
    works(&store).await;
}

#[tokio::test]
async fn the_epoch_changes_with_a_restart_and_with_nothing_less() {
    let mut server = Server::start().await;
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    let (epoch, token) = (store.epoch(), Token::random());
    promise_works(&store, &mut watch).await;
    server.run::<u32>("CLIENT KILL TYPE pubsub").await;
    reread(&mut watch).await;
    reread(&mut watch).await;
    store.acquire(&address("b"), token, LEASE).await.unwrap();
    assert!(store.renew(&address("b"), token, LEASE).await.unwrap().is_held());
    assert_eq!(store.epoch(), epoch);

    server.kill();
    assert!(kind_of_lookup(&store).await.is_some());
    assert_eq!(store.epoch(), epoch);
    server.restart().await;
    let held = eventually(async || store.renew(&address("b"), token, LEASE).await.ok()).await;
    assert!(!held.is_held());
    assert_ne!(store.epoch(), epoch);
}

#[tokio::test]
async fn a_demoted_server_is_left() {
    let server = Server::start().await;
    let store = server.store().await;
    let nowhere = free_port();
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    server.run::<()>(&format!("REPLICAOF 127.0.0.1 {nowhere}")).await;
    let token = Token::random();
    let error = store.acquire(&address("a"), token, LEASE).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert_eq!(kind_of_lookup(&store).await, Some(StoreErrorKind::Unavailable));
    // The connection for notifications leaves it as well.
    reread(&mut watch).await;
    server.run::<()>("REPLICAOF NO ONE").await;
    works(&store).await;
    reread(&mut watch).await;
    promise_works(&store, &mut watch).await;
}

#[tokio::test]
async fn what_only_an_operator_can_repair_is_an_error_at_once() {
    let server = Server::with_args(&["--requirepass", "secret"]).await;
    let kind = async |url: String| RedisStore::connect(&url).await.unwrap_err().kind();
    for userinfo in ["", ":wrong@", "nobody:secret@"] {
        let url = server.url_for(userinfo);
        assert_eq!(kind(url).await, StoreErrorKind::Rejected, "{userinfo:?}");
    }
    let url = server.url_for(":secret@");
    assert_eq!(kind(format!("{url}/999")).await, StoreErrorKind::Rejected);
    let store = RedisStore::connect(&format!("{url}/3")).await.unwrap();
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    promise_works(&store, &mut watch).await;

    for url in ["", "localhost", "http://localhost", "redis://h/x"] {
        let kind = kind(url.to_owned()).await;
        assert_eq!(kind, StoreErrorKind::Config, "{url:?}");
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn a_tls_url_names_the_missing_feature() {
    let error = RedisStore::connect("rediss://localhost").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Config);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("`tls`"), "{source}");
}

#[tokio::test]
async fn everything_ends_with_the_last_handle() {
    let server = Server::start().await;
    let clients = async || {
        let list: String = server.run("CLIENT LIST").await;
        list.lines().count()
    };
    let store = server.store().await;
    let clone = store.clone();
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    drop(store);
    works(&clone).await;
    drop(clone);
    server.run::<()>("PUBLISH t/notif:a v").await;
    assert!(matches!(super::notice(&mut watch).await, Notice::Announced));
    drop(watch);
    eventually(async || (clients().await == 1).then_some(())).await;
}
