use std::time::Duration;

use super::address;
use super::server::Server;
use crate::error::StoreErrorKind;
use crate::store::{Lock, Release, Store, Token, Value};
use crate::trace::TraceContext;

const LEASE: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(60);

fn bytes(value: Option<Value>) -> Option<Vec<u8>> {
    value.map(|v| v.bytes().unwrap().to_vec())
}

#[tokio::test]
async fn a_committed_value_is_found_and_the_lock_is_free() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, token) = (address("a"), Token::random());
    assert!(store.lookup(&at).await.unwrap().is_none());
    let acquired = store.acquire(&at, token, LEASE).await.unwrap();
    assert_eq!(acquired.lock, Lock::Granted);
    assert!(acquired.value.is_none());
    let lock: String = server.run("GET t/lock:a").await;
    assert_eq!(lock, token.to_string());
    let value = Value::encoded(b"\0\xff\r\nvalue".to_vec());
    assert!(store.commit(&at, token, &value, TTL).await.unwrap());
    let found = bytes(store.lookup(&at).await.unwrap());
    assert_eq!(found.unwrap(), b"\0\xff\r\nvalue");
    assert!(!server.run::<bool>("EXISTS t/lock:a").await);
    let ttl: i64 = server.run("PTTL t:a").await;
    assert!((50_000..=60_000).contains(&ttl), "{ttl}");
    let again = store.acquire(&at, Token::random(), LEASE).await.unwrap();
    assert_eq!(again.lock, Lock::Granted);
    assert!(again.value.is_some());
}

#[tokio::test]
async fn the_lock_names_who_computes_and_a_wrong_name_is_ignored() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, context) = (address("a"), TraceContext::new([7; 16], Some([9; 8])));
    let token = Token::random().with_trace_context(context);
    for _ in 0..2 {
        let granted = store.acquire(&at, token, LEASE).await.unwrap();
        assert_eq!((granted.lock, granted.holder), (Lock::Granted, None));
    }
    let refused = store.acquire(&at, Token::random(), LEASE).await.unwrap();
    assert_ne!(refused.lock, Lock::Granted);
    assert_eq!(refused.holder, context);
    assert!(store.renew(&at, token, LEASE).await.unwrap().is_held());
    assert!(
        !store
            .renew(&at, token.with_trace_context(None), LEASE)
            .await
            .unwrap()
            .is_held()
    );
    assert!(store.commit(&at, token, &Value::encoded("v"), TTL).await.unwrap());
    assert_eq!(server.run::<String>("GET t:a").await, "v");

    let id = "0123456789abcdef".repeat(2);
    for lock in [
        "x".to_owned(),
        id.clone(),
        format!("{id}-"),
        format!("{id}-{}", "0".repeat(32)),
    ] {
        server.run::<()>(&format!("SET t/lock:b {lock} PX 60000")).await;
        let refused = store.acquire(&address("b"), Token::random(), LEASE).await.unwrap();
        assert_eq!(refused.holder, None, "{lock}");
        assert_ne!(refused.lock, Lock::Granted);
    }
}

#[tokio::test]
async fn only_the_holder_can_act() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, holder, other) = (address("a"), Token::random(), Token::random());
    let value = Value::encoded("v");
    assert!(!store.commit(&at, other, &value, TTL).await.unwrap());
    store.acquire(&at, holder, LEASE).await.unwrap();
    let held = store.acquire(&at, other, LEASE).await.unwrap();
    let Lock::Held {
        remaining: Some(remaining),
    } = held.lock
    else {
        panic!("{held:?}");
    };
    assert!(remaining <= LEASE && remaining > LEASE / 2, "{remaining:?}");
    assert!(!store.commit(&at, other, &value, TTL).await.unwrap());
    assert!(!store.renew(&at, other, LEASE).await.unwrap().is_held());
    assert!(!store.release(&at, other, Release::Pass).await.unwrap());
    assert!(store.lookup(&at).await.unwrap().is_none());
    assert!(store.release(&at, holder, Release::Pass).await.unwrap());
    assert!(!store.release(&at, holder, Release::Pass).await.unwrap());
}

#[tokio::test]
async fn acquiring_again_with_the_same_token_is_granted_and_extends_the_lease() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, token) = (address("a"), Token::random());
    store.acquire(&at, token, Duration::from_secs(1)).await.unwrap();
    let again = store.acquire(&at, token, LEASE).await.unwrap();
    assert_eq!(again.lock, Lock::Granted);
    let ttl: i64 = server.run("PTTL t/lock:a").await;
    assert!(ttl > 10_000, "{ttl}");
    assert!(store.renew(&at, token, LEASE * 2).await.unwrap().is_held());
    let ttl: i64 = server.run("PTTL t/lock:a").await;
    assert!(ttl > 30_000, "{ttl}");
}

#[tokio::test]
async fn an_invalidated_computation_cannot_commit() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, token) = (address("a"), Token::random());
    store.acquire(&at, token, LEASE).await.unwrap();
    store.invalidate(&at).await.unwrap();
    let value = Value::encoded("old");
    assert!(!store.commit(&at, token, &value, TTL).await.unwrap());
    assert!(store.lookup(&at).await.unwrap().is_none());
}

#[tokio::test]
async fn keys_of_another_type_are_unreadable_or_foreign() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, token) = (address("a"), Token::random());
    server.run::<()>("LPUSH t:a x").await;
    let found = store.lookup(&at).await.unwrap().unwrap();
    assert!(found.bytes().is_err());
    let acquired = store.acquire(&at, token, LEASE).await.unwrap();
    assert_eq!(acquired.lock, Lock::Granted);
    assert!(acquired.value.unwrap().bytes().is_err());
    let value = Value::encoded("v");
    assert!(store.commit(&at, token, &value, TTL).await.unwrap());
    assert_eq!(bytes(store.lookup(&at).await.unwrap()).unwrap(), b"v");

    server.run::<()>("LPUSH t/lock:a x").await;
    let acquired = store.acquire(&at, token, LEASE).await.unwrap();
    assert!(matches!(acquired.lock, Lock::Held { .. }), "{:?}", acquired.lock);
    assert!(!store.commit(&at, token, &value, TTL).await.unwrap());
    assert!(!store.renew(&at, token, LEASE).await.unwrap().is_held());
}

#[tokio::test]
async fn a_lock_that_never_expires_is_given_an_end() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, token) = (address("a"), Token::random());
    for foreign in ["SET t/lock:a x", "LPUSH t/lock:a x"] {
        server.run::<()>("DEL t/lock:a").await;
        server.run::<()>(foreign).await;
        let acquired = store.acquire(&at, token, LEASE).await.unwrap();
        let remaining = Some(LEASE);
        assert_eq!(acquired.lock, Lock::Held { remaining });
        let left: u64 = server.run("PTTL t/lock:a").await;
        assert!(left > 0 && u128::from(left) <= LEASE.as_millis(), "{left} ms");
    }
    let remaining = Some(LEASE / 2);
    server
        .run::<()>(&format!("PEXPIRE t/lock:a {}", (LEASE / 2).as_millis()))
        .await;
    let acquired = store.acquire(&at, token, LEASE).await.unwrap();
    assert!(
        matches!(acquired.lock, Lock::Held { remaining: left } if left <= remaining),
        "{:?}",
        acquired.lock
    );
}

#[tokio::test]
async fn scripts_survive_a_flush_of_the_server_cache() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, token) = (address("a"), Token::random());
    store.acquire(&at, token, LEASE).await.unwrap();
    assert!(store.renew(&at, token, LEASE).await.unwrap().is_held());
    server.run::<()>("SCRIPT FLUSH").await;
    assert!(store.renew(&at, token, LEASE).await.unwrap().is_held());
    let value = Value::encoded("v");
    assert!(store.commit(&at, token, &value, TTL).await.unwrap());
}

#[tokio::test]
async fn no_duration_is_too_short_or_too_long() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, value) = (address("a"), Value::encoded("v"));
    for duration in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let token = Token::random();
        store.invalidate(&at).await.unwrap();
        store.acquire(&at, token, duration).await.unwrap();
        store.renew(&at, token, duration).await.unwrap();
        store.commit(&at, token, &value, duration).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_server_rejects_and_stays_connected() {
    let server = Server::start().await;
    let store = server.store().await;
    let (at, token) = (address("a"), Token::random());
    store.acquire(&at, token, LEASE).await.unwrap();
    server.run::<()>("CONFIG SET maxmemory 1").await;
    let value = Value::encoded("v");
    let error = store.commit(&at, token, &value, TTL).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    let error = store.acquire(&address("b"), token, LEASE).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(store.lookup(&at).await.unwrap().is_none());
    server.run::<()>("CONFIG SET maxmemory 0").await;
    assert!(store.commit(&at, token, &value, TTL).await.unwrap());
}

#[tokio::test]
async fn many_lookups_at_once_each_get_their_own_value() {
    let server = Server::start().await;
    let store = server.store().await;
    let mut raw = server.raw().await;
    for i in 0..500 {
        let mut set = redis::cmd("SET");
        set.arg(format!("t:{i}")).arg(i);
        set.exec_async(&mut raw).await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..500_u32 {
        let store = store.clone();
        tasks.spawn(async move {
            let found = store.lookup(&address(&i.to_string())).await.unwrap();
            assert_eq!(bytes(found).unwrap(), i.to_string().into_bytes());
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}
