//! Values that are announced are sent first, and moved to their place by the commit.

use std::time::Duration;

use super::server::Server;
use super::{notice, private_address, reread};
use crate::key::Address;
use crate::store::{Lock, Notice, RedisStore, Store, Token, Value};

const LEASE: Duration = Duration::from_secs(20);

const TTL: Duration = Duration::from_secs(3600);

/// A store that publishes no value of more than three bytes.
async fn announcing(server: &Server) -> RedisStore {
    server.builder().inline_limit(3).connect().await.unwrap()
}

/// Commits this text, for which the lock is held.
async fn commit(store: &RedisStore, token: Token, text: &str) -> bool {
    let value = Value::encoded(text.to_owned());
    store.commit(&private_address(), token, &value, TTL).await.unwrap()
}

async fn acquired(store: &RedisStore) -> Token {
    let token = Token::random();
    let acquire = store.acquire(&private_address(), token, LEASE).await.unwrap();
    assert_eq!(acquire.lock, Lock::Granted);
    token
}

async fn keys(server: &Server) -> Vec<String> {
    server.run("KEYS *").await
}

async fn ttl_of(server: &Server, at: &Address) -> u64 {
    let mut ttl = redis::cmd("TTL");
    ttl.arg(at.as_str()).query_async(&mut server.raw().await).await.unwrap()
}

#[tokio::test]
async fn a_value_that_is_announced_is_moved_to_its_place() {
    let server = Server::start().await;
    let store = announcing(&server).await;
    let (at, mut watch) = (private_address(), store.watch(&private_address()));
    reread(&mut watch).await;
    for (moved, text) in [(0, "abc"), (1, "abcd"), (2, "another")] {
        let token = acquired(&store).await;
        assert!(commit(&store, token, text).await);
        assert_eq!(server.executed("rename").await, moved, "{text}");
        match notice(&mut watch).await {
            Notice::Stored(_) if moved == 0 => {}
            Notice::Announced if moved > 0 => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(store.lookup(&at).await.unwrap().unwrap().bytes().unwrap(), text);
        assert_eq!(keys(&server).await, [at.as_str()]);
        assert!(ttl_of(&server, &at).await > 3500);
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_value_whose_lock_was_lost() {
    let server = Server::start().await;
    let store = announcing(&server).await;
    let token = acquired(&store).await;
    store.invalidate(&private_address()).await.unwrap();
    assert!(!commit(&store, token, "abcd").await);
    assert_eq!(keys(&server).await, [""; 0]);
}

#[tokio::test]
async fn a_value_that_was_softly_invalidated_on_its_way_is_stale_in_its_place() {
    let server = Server::start().await;
    let store = announcing(&server).await;
    let (at, token) = (private_address(), acquired(&store).await);
    store.soften(&at).await.unwrap();
    assert!(!commit(&store, token, "abcd").await);
    let found = store.lookup(&at).await.unwrap().unwrap();
    assert!(found.soft_since().is_some());
    assert!(found.bytes().unwrap().ends_with(b"abcd"));
    assert_eq!(keys(&server).await, [at.as_str()]);
}

/// How many values Redis is sent for each of three commits of a user with these rules.
async fn sent_by(rules: &str) -> [usize; 3] {
    let server = Server::start().await;
    server
        .run::<()>(&format!("ACL SETUSER node on >pw allchannels +@all {rules}"))
        .await;
    let builder = RedisStore::builder(server.url_for("node:pw@")).inline_limit(3);
    let (store, at) = (builder.connect().await.unwrap(), private_address());
    let mut sent = [0; 3];
    for (sent, text) in sent.iter_mut().zip(["abcd", "another", "a third one"]) {
        let (token, before) = (acquired(&store).await, server.executed("set").await);
        assert!(commit(&store, token, text).await);
        *sent = server.executed("set").await - before;
        assert_eq!(store.lookup(&at).await.unwrap().unwrap().bytes().unwrap(), text);
        store.invalidate(&at).await.unwrap();
    }
    sent
}

#[tokio::test]
async fn a_user_that_may_not_do_this_commits_all_the_same() {
    assert_eq!(sent_by("~*").await, [1, 1, 1]);
    // Once in vain.
    assert_eq!(sent_by("~* -rename").await, [2, 1, 1]);
    // The first is refused.
    assert_eq!(sent_by("~t:* ~t/lock:*").await, [1, 1, 1]);
}
