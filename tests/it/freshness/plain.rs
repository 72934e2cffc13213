//! A store that keeps no generations: nothing with tags is stored in it, so that none is missed by an invalidation.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;
use tower_memolock::store::{Acquire, MemoryWatch, Release, Renewed, Token, Value};
use tower_memolock::{Address, InvalidateError, MemoLock, MemoryStore, Store, StoreError, StoreErrorKind};

#[derive(Clone)]
struct Plain(MemoryStore);

impl Store for Plain {
    type Watch = MemoryWatch;

    fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
        self.0.peek(address, now)
    }

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        self.0.lookup(address).await
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        self.0.acquire(address, token, lease).await
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        self.0.renew(address, token, lease).await
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        self.0.commit(address, token, value, ttl).await
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        self.0.release(address, token, reason).await
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        self.0.invalidate(address).await
    }

    fn watch(&self, address: &Address) -> MemoryWatch {
        self.0.watch(address)
    }
}

#[tokio::test]
async fn nothing_with_tags_is_stored_where_no_generations_are_kept() {
    let memo = MemoLock::new(Plain(MemoryStore::new()), "t");
    let memo = memo.tags_of(|id, _| (id == "tagged").then_some("x"));
    let compute = || async { Ok::<_, Infallible>("value".into()) };
    assert_eq!(memo.get_or_compute("tagged", compute).await.unwrap(), "value");
    assert_eq!(memo.get("tagged").await.unwrap(), None);
    assert_eq!(memo.get_or_compute("plain", compute).await.unwrap(), "value");
    assert_eq!(memo.get("plain").await.unwrap().unwrap(), "value");

    let memo = memo.stamped(true);
    for refused in [memo.invalidate_tags(["x"]).await, memo.invalidate_all().await] {
        match refused {
            Err(InvalidateError::Store { source, .. }) => assert_eq!(source.kind(), StoreErrorKind::Unsupported),
            other => panic!("{other:?}"),
        }
    }
}
