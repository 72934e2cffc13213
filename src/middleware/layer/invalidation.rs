//! How a layer is told that something is out of date.

use std::sync::Arc;

use http::{Method, Request};

use super::MemoLockLayer;
use crate::key::{Address, Key};
use crate::memo::{InvalidateError, Invalidation};
use crate::middleware::key_extractor::{HeadKey, KeyExtractor};
use crate::middleware::service::get_key;

/// # Invalidation
///
/// What makes stored responses out of date.
impl<K> MemoLockLayer<K> {
    /// Removes the response stored under `key` in all its variants (`Vary`), and keeps every computation that has
    /// started before from storing its own. A key that a closure made is one, too.
    ///
    /// Under a layer with [`key_headers`](Self::key_headers), addresses depend on those fields as well: use
    /// [`invalidate_request`](Self::invalidate_request), which knows them.
    ///
    /// Once this has returned, no later request to any node is answered with a response under `key` from before;
    /// [`MemoLock::invalidate`](crate::MemoLock::invalidate) says more.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] where the store could not be told.
    pub fn invalidate(&self, key: &Key) -> Invalidation {
        let apart = key.clone().apart();
        let both = (apart != *key).then_some(&apart).into_iter().chain([key]);
        self.invalidate_at(both)
    }

    fn invalidate_at<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Invalidation {
        let shared = &self.cache.memo.shared;
        let addresses: Vec<_> = keys.into_iter().map(|key| Address::new(&shared.tag, key)).collect();
        let (shared, hit_for_pass) = (Arc::clone(shared), Arc::clone(&self.cache.hit_for_pass));
        Invalidation::new(move |purge| {
            for address in &addresses {
                hit_for_pass.remove(address);
            }
            shared.invalidate_each(addresses, purge)
        })
    }

    /// Removes the response that this request would get, as [`invalidate`](Self::invalidate) does for its key. For a
    /// HEAD, or a request whose method is not collapsed, that is the response to a GET for the same target.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NoKey`] where the head of the request tells no key; [`InvalidateError::Store`] where the store
    /// could not be told.
    pub fn invalidate_request<B>(&self, request: &Request<B>) -> Invalidation
    where
        K: KeyExtractor<B>,
    {
        match self.key_of(request) {
            Some(key) => self.invalidate_key(&key),
            None => Invalidation::failed(InvalidateError::NoKey {
                what: self.cache.memo.shared.tag.as_str().to_owned(),
            }),
        }
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

    pub(crate) fn invalidate_key(&self, key: &Key) -> Invalidation {
        self.invalidate_at([key])
    }

    /// Makes every response with one of these tags out of date, on every node, and responses under way as well. A
    /// response has the tags that its handler gave it with [`MemoControl`](crate::middleware::MemoControl), and the
    /// members of its `Cache-Groups` (RFC 9875), whatever its origin.
    /// [`MemoLock::invalidate_tags`](crate::MemoLock::invalidate_tags) says what holds then.
    ///
    /// The response to an unsafe request does the same for the groups of its own origin that it names in
    /// `Cache-Group-Invalidation`, before its client gets it, unless
    /// [`invalidate_on_change`](crate::middleware::Freshness::invalidate_on_change) is off.
    ///
    /// # Errors
    ///
    /// As [`MemoLock::invalidate_tags`](crate::MemoLock::invalidate_tags).
    pub fn invalidate_tags<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Invalidation {
        self.cache.memo.invalidate_tags(tags)
    }

    /// Makes every response under this layer's tag out of date, stored or being computed, on every node.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NotStamped`] unless the layer is [`stamped`](crate::middleware::Freshness::stamped); otherwise as
    /// [`MemoLock::invalidate_all`](crate::MemoLock::invalidate_all).
    pub fn invalidate_all(&self) -> Invalidation {
        self.cache.memo.invalidate_all()
    }
}
