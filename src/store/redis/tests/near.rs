//! Which values are kept in this process, and what the store's own writes mean for them.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::server::Server;
use super::{eventually, private_address};
use crate::codec::Raw;
use crate::key::{Address, Key, Label, Tag};
use crate::store::parts::{Part, PartId, Tail};
use crate::store::redis::large::LARGE;
use crate::store::{Generation, RedisStore, Release, Stamp, Store, Token, Value};

const LONG: Duration = Duration::from_secs(60);

/// A store with near copies, as a user whose permissions a test changes.
async fn started() -> (Server, RedisStore) {
    let server = Server::start().await;
    server
        .run::<()>("ACL SETUSER memo on >pw allkeys allchannels +@all")
        .await;
    let builder = RedisStore::builder(server.url_for("memo:pw@"));
    let store = builder.near(8 * LARGE * 2).connect().await.unwrap();
    (server, store)
}

async fn commit(store: &RedisStore, at: &Address, value: Value) {
    let token = Token::random();
    store.acquire(at, token, LONG).await.unwrap();
    assert!(store.commit(at, token, &value, LONG).await.unwrap());
}

/// A value whose beginning the holder of this token has uploaded.
fn uploaded(token: Token) -> Value {
    let (id, id_at) = (PartId::new(token), Part::ID_AT);
    Value::encoded("new").with_tail(Some(Tail {
        part: Part { id, token, id_at },
        at: 1,
        bytes: Bytes::from_static(b"ew"),
        stamp: None,
    }))
}

fn is_kept(store: &RedisStore, at: &Address) -> bool {
    store.peek(at, Instant::now()).is_some()
}

/// Reads the value as the core does.
async fn read(store: &RedisStore, at: &Address) {
    let found = store.lookup(at).await.unwrap();
    // It is kept once it is decoded.
    found.unwrap().decode(at, &Raw).unwrap();
}

async fn until_kept(store: &RedisStore, at: &Address) {
    eventually(async || {
        read(store, at).await;
        is_kept(store, at).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_process_writes_or_tries_to_write_it_does_not_serve_an_older_copy_of() {
    let (at, (server, store)) = (private_address(), started().await);
    let new = Value::encoded("new");
    commit(&store, &at, Value::encoded("old")).await;
    for way in ["commit", "finish", "mark", "resolve", "unmark"] {
        let token = Token::random();
        store.acquire(&at, token, LONG).await.unwrap();
        until_kept(&store, &at).await;
        // Redis does none of them, and tells of no change.
        server.run::<()>("ACL SETUSER memo -set -del -getrange").await;
        let is_done = match way {
            "commit" => store.commit(&at, token, &new, LONG).await.is_ok(),
            "finish" => store.commit(&at, token, &uploaded(token), LONG).await.is_ok(),
            "mark" => store.mark(&at, token, &new, LONG).await.is_ok(),
            "resolve" => store.resolve(&at, &new, LONG).await.is_ok(),
            _ => store.unmark(&at, &Value::encoded("old")).await.is_ok(),
        };
        assert!(!is_done && !is_kept(&store, &at), "{way}");
        server.run::<()>("ACL SETUSER memo +set +del +getrange").await;
        store.release(&at, token, Release::Abandoned).await.unwrap();
    }
}

#[tokio::test]
async fn a_value_with_a_stamp_is_kept_as_long_as_nothing_of_it_was_invalidated() {
    let (at, (_server, store)) = (private_address(), started().await);
    let (tag, labels) = (Tag::from_literal("t"), [Label::new("a").unwrap()]);
    let now = store.begin_generation(&tag).await.unwrap();
    let stamped = |generation: Generation| {
        let stamp = Stamp::new(generation, labels.to_vec());
        Value::encoded("v").stamped(stamp)
    };
    commit(&store, &at, stamped(now)).await;
    until_kept(&store, &at).await;
    for is_soft in [true, false] {
        match is_soft {
            true => store.soften_labels(&tag, &labels).await.unwrap(),
            false => store.invalidate_labels(&tag, &labels).await.unwrap(),
        }
        for _ in 0..3 {
            assert!(!is_kept(&store, &at), "{is_soft}");
            read(&store, &at).await;
        }
        assert!(!is_kept(&store, &at), "{is_soft}");
    }
    // Everything that a copy needs is there.
    let now = store.begin_generation(&tag).await.unwrap();
    commit(&store, &at, stamped(now)).await;
    until_kept(&store, &at).await;
}

#[tokio::test]
async fn a_large_value_in_place_of_a_small_one_is_not_kept() {
    let (at, (server, store)) = (private_address(), started().await);
    commit(&store, &at, Value::encoded("small")).await;
    until_kept(&store, &at).await;
    let mut set = redis::cmd("SET");
    set.arg(at.as_str()).arg(vec![b'x'; LARGE + 1]).arg("KEEPTTL");
    set.exec_async(&mut server.raw().await).await.unwrap();
    eventually(async || (!is_kept(&store, &at)).then_some(())).await;
    for _ in 0..3 {
        read(&store, &at).await;
        assert!(!is_kept(&store, &at));
    }
}

#[tokio::test]
async fn nothing_is_served_without_redis_while_an_invalidation_is_pending() {
    let (at, (server, store)) = (private_address(), started().await);
    commit(&store, &at, Value::encoded("v")).await;
    until_kept(&store, &at).await;
    server.run::<()>("ACL SETUSER memo -publish").await;
    let other = Address::new(&Tag::from_literal("other"), &Key::new("a").unwrap());
    store.invalidate(&other).await.unwrap_err();
    assert!(!is_kept(&store, &at));
    server.run::<()>("ACL SETUSER memo +publish").await;
    eventually(async || is_kept(&store, &at).then_some(())).await;
}

#[tokio::test]
async fn a_store_that_settles_leaves_the_processes_with_copies() {
    let (at, (server, store)) = (private_address(), started().await);
    commit(&store, &at, Value::encoded("v")).await;
    until_kept(&store, &at).await;
    let members = async || server.run::<usize>("ZCARD t/gen:{t}/near").await;
    assert_eq!(members().await, 1);
    assert_eq!(store.settle().await, 0);
    assert_eq!(members().await, 0);
    assert!(!is_kept(&store, &at));
}
