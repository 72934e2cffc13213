//! [`AnyStore`]: a store whose type is not known.

use std::any::TypeId;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Acquire, Generation, Notice, Release, Stamp, Store, Token, Value, Watch};
use crate::error::StoreError;
use crate::key::{Address, Label, Tag};
use crate::task::BoxFuture;

/// Any [`Store`], chosen while the program runs: Redis in production, say, and memory in development.
///
/// It costs one allocation for each operation that waits, which is little beside what a network costs.
/// A clone is another handle on the same store.
///
/// ```
/// # #[cfg(all(feature = "memory", feature = "redis"))] {
/// use tower_memolock::{AnyStore, MemoryStore, RedisStore, Store, StoreError};
///
/// async fn open(redis_url: Option<&str>) -> Result<AnyStore, StoreError> {
///     Ok(match redis_url {
///         Some(url) => RedisStore::connect(url).await?.into_any(),
///         None => MemoryStore::new().into_any(),
///     })
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct AnyStore(Arc<dyn Erased>);

/// The notices of an [`AnyStore`] about one address.
pub struct AnyWatch(Box<dyn ErasedWatch>);

/// [`Store`] without generic types.
trait Erased: Send + Sync {
    fn peek(&self, address: &Address, now: Instant) -> Option<Value>;
    fn watch(&self, address: &Address) -> AnyWatch;
    fn epoch(&self) -> u64;
    fn kind(&self) -> TypeId;
    fn lookup<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Option<Value>, StoreError>>;
    fn part<'a>(
        &'a self,
        address: &'a Address,
        range: Range<usize>,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>>;
    fn acquire<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Acquire, StoreError>>;
    fn renew<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        lease: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn defer<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        lease: Duration,
        starts: u32,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn resolve<'a>(
        &'a self,
        address: &'a Address,
        value: &'a Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
    fn commit<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        value: &'a Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn release<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        reason: Release,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn mark<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        marker: &'a Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn kept<'a>(&'a self, address: &'a Address, token: Token) -> BoxFuture<'a, Result<Option<Value>, StoreError>>;
    fn unmark<'a>(&'a self, address: &'a Address, marker: &'a Value) -> BoxFuture<'a, Result<(), StoreError>>;
    fn invalidate<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<(), StoreError>>;
    fn generation<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<Generation, StoreError>>;
    fn is_current<'a>(&'a self, tag: &'a Tag, stamp: &'a Stamp) -> BoxFuture<'a, Result<bool, StoreError>>;
    fn invalidate_labels<'a>(&'a self, tag: &'a Tag, labels: &'a [Label]) -> BoxFuture<'a, Result<(), StoreError>>;
    fn invalidate_all<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<(), StoreError>>;
    fn settle<'a>(&'a self) -> BoxFuture<'a, usize>;
}

/// [`Watch`] without generic types.
trait ErasedWatch: Send {
    fn next(&mut self) -> BoxFuture<'_, Notice>;
}

impl AnyStore {
    /// Hides the type of `store`, for [`Store::into_any`].
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }

    /// The type that is hidden.
    pub(crate) fn kind(&self) -> TypeId {
        self.0.kind()
    }
}

impl<S: Store> Erased for S {
    fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
        Store::peek(self, address, now)
    }

    fn watch(&self, address: &Address) -> AnyWatch {
        AnyWatch(Box::new(Store::watch(self, address)))
    }

    fn epoch(&self) -> u64 {
        Store::epoch(self)
    }

    fn kind(&self) -> TypeId {
        TypeId::of::<S>()
    }

    fn lookup<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(Store::lookup(self, address))
    }

    fn part<'a>(
        &'a self,
        address: &'a Address,
        range: Range<usize>,
    ) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        Box::pin(Store::part(self, address, range))
    }

    fn acquire<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Acquire, StoreError>> {
        Box::pin(Store::acquire(self, address, token, lease))
    }

    fn renew<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        lease: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(Store::renew(self, address, token, lease))
    }

    fn defer<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        lease: Duration,
        starts: u32,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(Store::defer(self, address, token, lease, starts))
    }

    fn resolve<'a>(
        &'a self,
        address: &'a Address,
        value: &'a Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Store::resolve(self, address, value, ttl))
    }

    fn commit<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        value: &'a Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(Store::commit(self, address, token, value, ttl))
    }

    fn release<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        reason: Release,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(Store::release(self, address, token, reason))
    }

    fn mark<'a>(
        &'a self,
        address: &'a Address,
        token: Token,
        marker: &'a Value,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(Store::mark(self, address, token, marker, ttl))
    }

    fn kept<'a>(&'a self, address: &'a Address, token: Token) -> BoxFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(Store::kept(self, address, token))
    }

    fn unmark<'a>(&'a self, address: &'a Address, marker: &'a Value) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Store::unmark(self, address, marker))
    }

    fn invalidate<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Store::invalidate(self, address))
    }

    fn generation<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<Generation, StoreError>> {
        Box::pin(Store::generation(self, tag))
    }

    fn is_current<'a>(&'a self, tag: &'a Tag, stamp: &'a Stamp) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(Store::is_current(self, tag, stamp))
    }

    fn invalidate_labels<'a>(&'a self, tag: &'a Tag, labels: &'a [Label]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Store::invalidate_labels(self, tag, labels))
    }

    fn invalidate_all<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Store::invalidate_all(self, tag))
    }

    fn settle<'a>(&'a self) -> BoxFuture<'a, usize> {
        Box::pin(Store::settle(self))
    }
}

impl<W: Watch> ErasedWatch for W {
    fn next(&mut self) -> BoxFuture<'_, Notice> {
        Box::pin(Watch::next(self))
    }
}

impl Store for AnyStore {
    type Watch = AnyWatch;

    fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
        self.0.peek(address, now)
    }

    fn watch(&self, address: &Address) -> AnyWatch {
        self.0.watch(address)
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    fn into_any(self) -> Self {
        self
    }

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        self.0.lookup(address).await
    }

    async fn part(&self, address: &Address, range: Range<usize>) -> Result<Option<Bytes>, StoreError> {
        self.0.part(address, range).await
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        self.0.acquire(address, token, lease).await
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<bool, StoreError> {
        self.0.renew(address, token, lease).await
    }

    async fn defer(&self, address: &Address, token: Token, lease: Duration, starts: u32) -> Result<bool, StoreError> {
        self.0.defer(address, token, lease, starts).await
    }

    async fn resolve(&self, address: &Address, value: &Value, ttl: Duration) -> Result<(), StoreError> {
        self.0.resolve(address, value, ttl).await
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        self.0.commit(address, token, value, ttl).await
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        self.0.release(address, token, reason).await
    }

    async fn mark(&self, address: &Address, token: Token, marker: &Value, ttl: Duration) -> Result<bool, StoreError> {
        self.0.mark(address, token, marker, ttl).await
    }

    async fn kept(&self, address: &Address, token: Token) -> Result<Option<Value>, StoreError> {
        self.0.kept(address, token).await
    }

    async fn unmark(&self, address: &Address, marker: &Value) -> Result<(), StoreError> {
        self.0.unmark(address, marker).await
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        self.0.invalidate(address).await
    }

    async fn generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        self.0.generation(tag).await
    }

    async fn is_current(&self, tag: &Tag, stamp: &Stamp) -> Result<bool, StoreError> {
        self.0.is_current(tag, stamp).await
    }

    async fn invalidate_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.0.invalidate_labels(tag, labels).await
    }

    async fn invalidate_all(&self, tag: &Tag) -> Result<(), StoreError> {
        self.0.invalidate_all(tag).await
    }

    async fn settle(&self) -> usize {
        self.0.settle().await
    }
}

impl Watch for AnyWatch {
    async fn next(&mut self) -> Notice {
        self.0.next().await
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").finish_non_exhaustive()
    }
}

impl fmt::Debug for AnyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyWatch").finish_non_exhaustive()
    }
}
