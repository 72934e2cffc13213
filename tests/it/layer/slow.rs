//! [`Slow`]: a store that takes its time to say which process holds the lock.

use std::time::Duration;

use tokio::time::sleep;
use tower_memolock::store::{Acquire, MemoryWatch, Release, Renewed, Token, Value};
use tower_memolock::{Address, MemoryStore, Store, StoreError};

#[derive(Clone)]
pub(super) struct Slow {
    pub(super) store: MemoryStore,
    /// How long it takes to be asked for a lock.
    pub(super) delay: Duration,
    /// How long it takes to be told of a value.
    pub(super) commits: Duration,
    /// Whether values are bytes to it, as to one elsewhere.
    encodes: bool,
}

impl Slow {
    pub(super) fn new(delay: Duration) -> Self {
        Self::encoding(delay, false)
    }

    pub(super) fn encoding(delay: Duration, encodes: bool) -> Self {
        let store = MemoryStore::new();
        Self {
            store,
            delay,
            commits: Duration::ZERO,
            encodes,
        }
    }

    fn kept(&self, value: &Value) -> Result<Value, StoreError> {
        match self.encodes {
            true => Ok(Value::encoded(value.bytes()?)),
            false => Ok(value.clone()),
        }
    }
}

impl Store for Slow {
    type Watch = MemoryWatch;

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        self.store.lookup(address).await
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        sleep(self.delay).await;
        self.store.acquire(address, token, lease).await
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        self.store.renew(address, token, lease).await
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        sleep(self.commits).await;
        self.store.commit(address, token, &self.kept(value)?, ttl).await
    }

    async fn resolve(&self, address: &Address, value: &Value, ttl: Duration) -> Result<(), StoreError> {
        self.store.resolve(address, &self.kept(value)?, ttl).await
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        self.store.release(address, token, reason).await
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        self.store.invalidate(address).await
    }

    fn watch(&self, address: &Address) -> MemoryWatch {
        self.store.watch(address)
    }
}
