//! An invalidation comes to be pending while an answer is on its way. The answer is from before it, and does not count.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use tokio::time::Instant;

use super::server::Server;
use super::{eventually, private_address};
use crate::codec::Raw;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Label, Tag};
use crate::store::parts::Parts;
use crate::store::redis::large::LARGE;
use crate::store::{Lock, RedisStore, RedisStoreBuilder, Stamp, Standing, Store, Token, Value};

const LONG: Duration = Duration::from_secs(60);

/// A server whose user may do everything at first.
async fn server() -> (Server, RedisStoreBuilder) {
    let server = Server::start().await;
    server
        .run::<()>("ACL SETUSER memo on >pw allkeys allchannels +@all")
        .await;
    let builder = RedisStore::builder(server.url_for("memo:pw@"));
    (server, builder)
}

async fn commit(store: &RedisStore, bytes: usize) {
    let (at, token, value) = (private_address(), Token::random(), Value::encoded(vec![b'v'; bytes]));
    store.acquire(&at, token, LONG).await.unwrap();
    assert!(store.commit(&at, token, &value, LONG).await.unwrap());
}

/// A server and a store with a value of so many bytes.
async fn stored(bytes: usize) -> (Server, RedisStore) {
    let (server, builder) = server().await;
    let store = builder.connect().await.unwrap();
    commit(&store, bytes).await;
    (server, store)
}

/// What `read` gives if the store takes note of an invalidation after it has asked. Redis refuses the invalidation.
async fn overtaken<T>(
    server: &Server,
    read: impl Future<Output = T>,
    invalidation: impl Future<Output = Result<(), StoreError>>,
) -> T {
    server.run::<()>("ACL SETUSER memo -publish -zadd").await;
    let mut read = pin!(read);
    assert!(poll!(&mut read).is_pending());
    {
        // The caller leaves, and does not know what has become of it.
        let mut invalidation = pin!(invalidation);
        assert!(poll!(&mut invalidation).is_pending());
    }
    read.await
}

fn is_refused<T>(read: Result<T, StoreError>) -> bool {
    read.is_err_and(|error| error.kind() == StoreErrorKind::Unavailable)
}

#[tokio::test]
async fn a_value_is_not_served() {
    let at = private_address();
    for bytes in [1, LARGE] {
        let (server, store) = stored(bytes).await;
        let found = overtaken(&server, store.lookup(&at), store.invalidate(&at)).await;
        assert!(is_refused(found), "{bytes}");
    }
}

#[tokio::test]
async fn a_value_is_not_served_with_the_lock() {
    let at = private_address();
    for bytes in [1, LARGE] {
        let (server, store) = stored(bytes).await;
        let acquire = store.acquire(&at, Token::random(), LONG);
        let acquired = overtaken(&server, acquire, store.invalidate(&at)).await.unwrap();
        assert_eq!(acquired.lock, Lock::Granted);
        assert!(acquired.value.is_none(), "{bytes}");
    }
}

#[tokio::test]
async fn bytes_of_a_value_are_not_served() {
    let (at, (server, store)) = (private_address(), stored(9).await);
    let bytes = overtaken(&server, store.part(&at, 0..3), store.invalidate(&at)).await;
    assert!(is_refused(bytes));
}

#[tokio::test]
async fn a_value_under_way_is_not_joined() {
    let (at, (server, store)) = (private_address(), stored(1).await);
    store.acquire(&at, Token::random(), LONG).await.unwrap();
    assert!(store.find(&at, 9).await.unwrap().is_some());
    let found = overtaken(&server, store.find(&at, 9), store.invalidate(&at)).await;
    assert!(is_refused(found));
}

#[tokio::test]
async fn a_stamp_is_out_of_date() {
    let (tag, labels) = (Tag::from_literal("t"), [Label::new("a").unwrap()]);
    for of_all in [false, true] {
        let (server, store) = stored(1).await;
        let stamp = Stamp::new(store.generation(&tag).await.unwrap(), labels.to_vec());
        assert_eq!(store.standing(&tag, &stamp).await.unwrap(), Standing::Current);
        let read = store.standing(&tag, &stamp);
        let standing = match of_all {
            false => overtaken(&server, read, store.invalidate_labels(&tag, &labels)).await,
            true => overtaken(&server, read, store.invalidate_all(&tag)).await,
        };
        assert_eq!(standing.unwrap(), Standing::Outdated, "{of_all}");
    }
}

#[tokio::test]
async fn a_value_that_is_fetched_for_a_near_copy_is_not_served() {
    let (at, (server, builder)) = (private_address(), server().await);
    let store = builder.near(1 << 20).connect().await.unwrap();
    commit(&store, 1).await;
    eventually(async || {
        let mut value = store.lookup(&at).await.unwrap().unwrap();
        // It is kept once it is decoded.
        value.decode(&at, &Raw).unwrap();
        store.peek(&at, Instant::now()).is_some().then_some(())
    })
    .await;
    let mut expire = redis::cmd("PEXPIRE");
    expire.arg(at.as_str()).arg(50_000);
    expire.exec_async(&mut server.raw().await).await.unwrap();
    eventually(async || (store.stats().near.copies == 0).then_some(())).await;
    let found = overtaken(&server, store.lookup(&at), store.invalidate(&at)).await;
    assert!(is_refused(found));
}
