//! What an operation does where it finds something else than what it came for.

use std::time::Duration;

use super::scripted::{ScriptedServer, bulk};
use super::server::Server;
use super::{address, notice, private_address, reread};
use crate::error::StoreErrorKind;
use crate::store::{Lock, Notice, RedisStore, Release, Store, Token, Value};

const LEASE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_lock_is_its_holders_also_after_a_soft_invalidation() {
    let server = Server::start().await;
    let (store, token) = (server.store().await, Token::random());
    for _ in 0..2 {
        let acquired = store.acquire(&private_address(), token, LEASE).await.unwrap();
        assert_eq!(acquired.lock, Lock::Granted);
        store.soften(&private_address()).await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_was_lost_while_it_was_looked_at_is_worth_another_attempt_at_once() {
    let token = Token::random();
    let server = ScriptedServer::start(move |words| match words[0].as_str() {
        "SET" => Some("$-1\r\n".to_owned()),
        "GET" if words[1].contains("lock") => Some(bulk(&token.to_string())),
        "PTTL" => Some(":5000\r\n".to_owned()),
        "EVALSHA" => Some(":0\r\n".to_owned()),
        _ => None,
    })
    .await;
    let store = RedisStore::connect(&server.url()).await.unwrap();
    for (token, expected) in [(token, Duration::ZERO), (Token::random(), Duration::from_secs(5))] {
        let acquired = store.acquire(&address("a"), token, LEASE).await.unwrap();
        let remaining = Some(expected);
        assert_eq!(acquired.lock, Lock::Held { remaining });
    }
}

#[tokio::test]
async fn a_large_value_that_was_refused_once_may_be_sent_again() {
    let (server, value) = (Server::start().await, Value::encoded(vec![b'v'; 1 << 20]));
    server
        .run::<()>("ACL SETUSER memo on >pw allkeys allchannels +@all")
        .await;
    let store = RedisStore::connect(&server.url_for("memo:pw@")).await.unwrap();
    let (at, token) = (address("a"), Token::random());
    store.acquire(&at, token, LEASE).await.unwrap();
    server.run::<()>("ACL SETUSER memo -set").await;
    let refused = store.commit(&at, token, &value, LEASE).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Rejected);
    server.run::<()>("ACL SETUSER memo +set").await;
    assert!(store.commit(&at, token, &value, LEASE).await.unwrap());
}

#[tokio::test]
async fn a_result_that_is_too_large_to_publish_is_kept_only_for_watchers_that_are_there() {
    let server = Server::start().await;
    server
        .run::<()>("ACL SETUSER memo on >pw allkeys allchannels +@all")
        .await;
    let builder = RedisStore::builder(server.url_for("memo:pw@")).inline_limit(3);
    let (store, at, large) = (
        builder.connect().await.unwrap(),
        private_address(),
        Value::encoded("abcd"),
    );
    let release = async || {
        let token = Token::random();
        store.acquire(&at, token, LEASE).await.unwrap();
        store.release(&at, token, Release::Shared(large.clone())).await.unwrap()
    };
    assert!(release().await);
    assert!(server.run::<Vec<String>>("KEYS *").await.is_empty());
    // It is not the holder's to share any more.
    assert!(
        !store
            .release(&at, Token::random(), Release::Shared(large.clone()))
            .await
            .unwrap()
    );
    let mut watch = store.watch(&at);
    reread(&mut watch).await;
    let token = Token::random();
    store.acquire(&at, token, LEASE).await.unwrap();
    // Redis has no room: one of the watchers computes for itself.
    server.run::<()>("ACL SETUSER memo -set").await;
    assert!(store.release(&at, token, Release::Shared(large)).await.unwrap());
    let heard = loop {
        match notice(&mut watch).await {
            Notice::Announced => {}
            other => break other,
        }
    };
    assert!(matches!(heard, Notice::Released(Release::Abandoned)), "{heard:?}");
}

#[tokio::test]
async fn parts_of_values_are_read_until_the_user_may_not() {
    let server = Server::start().await;
    server
        .run::<()>("ACL SETUSER memo on >pw allkeys allchannels +@all")
        .await;
    let store = RedisStore::connect(&server.url_for("memo:pw@")).await.unwrap();
    server.run::<()>("LPUSH t:a x").await;
    assert!(store.part(&address("a"), 0..2).await.unwrap().is_none());
    server.run::<()>("SET t:a value").await;
    assert_eq!(store.part(&address("a"), 1..3).await.unwrap().unwrap(), "al");
    let asked = server.executed("getrange").await;
    assert!(store.part(&address("a"), 2..2).await.unwrap().is_none());
    assert_eq!(server.executed("getrange").await, asked);
    server.run::<()>("ACL SETUSER memo -getrange").await;
    assert!(store.part(&address("a"), 1..3).await.unwrap().is_none());
    // It does not ask again.
    server.run::<()>("ACL SETUSER memo +getrange").await;
    assert!(store.part(&address("a"), 1..3).await.unwrap().is_none());
}
