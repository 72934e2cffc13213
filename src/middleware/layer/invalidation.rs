//! How a layer is told that something is out of date.

use http::{Method, Request};

use super::MemoLockLayer;
use crate::error::StoreError;
use crate::key::{Address, Key};
use crate::memo::InvalidateError;
use crate::middleware::key_extractor::{HeadKey, KeyExtractor};
use crate::middleware::service::get_key;

/// # Invalidation
///
/// What makes stored responses out of date.
impl<K> MemoLockLayer<K> {
    /// Removes the response stored under `key` in all its variants (`Vary`), and keeps every computation that has
    /// started before from storing its own. This includes what a closure has this key for.
    ///
    /// Under a layer with [`key_headers`](Self::key_headers), addresses depend on those fields as well: use
    /// [`invalidate_request`](Self::invalidate_request), which knows them.
    ///
    /// Once this has returned, no later request to any node is answered with a response under `key` from before;
    /// [`MemoLock::invalidate`](crate::MemoLock::invalidate) says more.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] where the store could not be told; whether the response was removed is then unknown.
    pub async fn invalidate(&self, key: &Key) -> Result<(), StoreError> {
        let apart = key.clone().apart();
        if apart != *key {
            self.invalidate_at(&apart).await?;
        }
        self.invalidate_at(key).await
    }

    async fn invalidate_at(&self, key: &Key) -> Result<(), StoreError> {
        let address = Address::new(&self.cache.memo.shared.tag, key);
        self.cache.hit_for_pass.remove(&address);
        self.cache.memo.shared.invalidate(&address).await
    }

    /// Removes the response that this request would get, as [`invalidate`](Self::invalidate) does for its key. For a
    /// HEAD, or a request whose method is not collapsed, that is the response to a GET for the same target.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NoKey`] where the head of the request tells no key; [`InvalidateError::Store`] where the store
    /// could not be told.
    pub async fn invalidate_request<B>(&self, request: &Request<B>) -> Result<(), InvalidateError>
    where
        K: KeyExtractor<B>,
    {
        let key = self.key_of(request).ok_or_else(|| InvalidateError::NoKey {
            what: self.cache.memo.shared.tag.as_str().to_owned(),
        })?;
        self.invalidate_key(&key).await
    }

    /// The key under which the response to this request is stored.
    pub(crate) fn key_of<B>(&self, request: &Request<B>) -> Option<Key>
    where
        K: KeyExtractor<B>,
    {
        let method = request.method();
        let key = if method != Method::HEAD && self.cache.requests.methods.contains(method) {
            match self.key.head_key(request) {
                HeadKey::Key(key) => Some(key),
                HeadKey::Bypass | HeadKey::NeedsBody => None,
            }
        } else {
            get_key(&self.key, request)
        };
        Some(self.cache.whole_key(key?, request.headers()))
    }

    pub(crate) async fn invalidate_key(&self, key: &Key) -> Result<(), InvalidateError> {
        let address = Address::new(&self.cache.memo.shared.tag, key);
        let invalidated = self.invalidate_at(key).await;
        invalidated.map_err(|error| InvalidateError::of(address.as_str(), error))
    }

    /// Makes every response with this tag out of date, on every node, and those under way as well: responses whose
    /// handler gave it with [`MemoControl`](crate::middleware::MemoControl), and responses of any origin with such a
    /// member of `Cache-Groups` (RFC 9875). [`MemoLock::invalidate_tag`](crate::MemoLock::invalidate_tag) says what
    /// holds then.
    ///
    /// The response to an unsafe request does the same for the groups of its own origin that it names in
    /// `Cache-Group-Invalidation`, before its client gets it, unless
    /// [`invalidate_on_change`](crate::middleware::Freshness::invalidate_on_change) is off.
    ///
    /// # Errors
    ///
    /// As [`MemoLock::invalidate_tag`](crate::MemoLock::invalidate_tag).
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<(), InvalidateError> {
        self.cache.memo.invalidate_tag(tag).await
    }

    /// Like [`invalidate_tag`](Self::invalidate_tag), for several tags in one step.
    ///
    /// # Errors
    ///
    /// As [`MemoLock::invalidate_tags`](crate::MemoLock::invalidate_tags).
    pub async fn invalidate_tags<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), InvalidateError> {
        self.cache.memo.invalidate_tags(tags).await
    }

    /// Makes every response out of date that is stored or computed under this layer's tag, on every node.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NotStamped`] unless the layer is [`stamped`](Self::stamped); otherwise as
    /// [`MemoLock::invalidate_all`](crate::MemoLock::invalidate_all).
    pub async fn invalidate_all(&self) -> Result<(), InvalidateError> {
        self.cache.memo.invalidate_all().await
    }

    /// Whether responses without tags are stamped as well, so that [`invalidate_all`](Self::invalidate_all) reaches them.
    /// Defaults to `false`. See [`MemoLock::stamped`](crate::MemoLock::stamped), and set it on every node.
    #[must_use]
    pub fn stamped(mut self, stamped: bool) -> Self {
        self.cache.memo = self.cache.memo.stamped(stamped);
        self
    }
}
