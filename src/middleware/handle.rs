//! [`Handle`]: what a running layer is told and asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};

use super::cache::Cache;
use super::key_extractor::{HeadKey, KeyExtractor, UriKey};
use super::service::get_key;
use super::stored_response::StoredResponse;
use super::stored_response::bare;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Key, KeyError};
use crate::memo::{self, InvalidateError, Invalidation, ResolveError, Stats};

/// A handle on a running layer, made by [`MemoLockLayer::handle`](crate::MemoLockLayer::handle): it makes stored responses
/// out of date, gives responses in a handler's place, tells what the layer has done, and ends its work.
///
/// It belongs in the state of the program, where the layer itself goes around a service. A clone is a handle on the same layer.
///
/// ```
/// use std::time::Duration;
///
/// use axum::extract::{Path, State};
/// use axum::http::StatusCode;
/// use axum::routing::{get, post};
/// use axum::Router;
/// use tower_memolock::middleware::Handle;
/// use tower_memolock::{MemoLockLayer, MemoryStore};
///
/// async fn publish(State(reports): State<Handle>, Path(shop): Path<String>) -> StatusCode {
///     match reports.invalidate_tags([shop]).await {
///         Ok(_) => StatusCode::NO_CONTENT,
///         Err(_) => StatusCode::SERVICE_UNAVAILABLE,
///     }
/// }
///
/// let layer = MemoLockLayer::new(MemoryStore::new(), "report").ttl(Duration::from_secs(30));
/// let reports = layer.handle();
/// let app: Router = Router::new()
///     .route("/report/{id}", get(|| async { "rendered" }).layer(layer))
///     .route("/publish/{shop}", post(publish).with_state(reports));
/// # let _ = app;
/// ```
pub struct Handle<K = UriKey> {
    key: K,
    pub(crate) cache: Arc<Cache>,
}

impl<K> Handle<K> {
    pub(crate) fn new(key: K, cache: Arc<Cache>) -> Self {
        Self { key, cache }
    }
}

impl<K: Clone> Clone for Handle<K> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            cache: Arc::clone(&self.cache),
        }
    }
}

impl<K> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("memo", &self.cache.memo)
            .finish_non_exhaustive()
    }
}

/// # Invalidation
///
/// What makes stored responses out of date.
impl<K> Handle<K> {
    /// Removes the response stored under `key` in all its variants (`Vary`), and keeps every computation that has
    /// started before from storing its own. A key that a closure made is one, too.
    ///
    /// Under a layer with [`key_headers`](crate::MemoLockLayer::key_headers), addresses depend on those fields as well: use
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
            memo::invalidation::each(shared, addresses, purge)
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

/// # Responses that other programs give
///
/// For a layer under which handlers [may defer](crate::MemoLockLayer::may_defer).
impl<K> Handle<K> {
    /// Gives the response to all requests that wait for `id`, the [id of the promise](crate::middleware::Promise::id), on
    /// every node, and for `ttl` to later ones. With a ttl of zero only those that wait at this moment get it.
    ///
    /// The metadata of `response` do not count. A program without this layer can do the same with
    /// [`MemoLock::resolve`](crate::MemoLock::resolve) and the codec [`BinaryHttp`](crate::middleware::stored_response::BinaryHttp), or
    /// the codec [`Raw`](crate::codec::Raw).
    ///
    /// # Errors
    ///
    /// [`ResolveError`] where this cannot be an id, or the store could not be told. Its cause is of the kind
    /// [`StoreErrorKind::Encode`] where the response is one to refuse, like [a message
    /// alone](crate::middleware::stored_response#what-is-refused), or cannot be encoded.
    pub async fn resolve<I>(&self, id: I, response: StoredResponse, ttl: Duration) -> Result<(), ResolveError>
    where
        I: TryInto<Key>,
        I::Error: Into<KeyError>,
    {
        let tag = &self.cache.memo.shared.tag;
        let key = id.try_into().map_err(|error| ResolveError::key(tag, error.into()))?;
        let address = Address::new(tag, &key);
        let refused = |error| ResolveError::store(&address, StoreError::with_source(StoreErrorKind::Encode, error));
        let response = bare::given(response, ttl).map_err(refused)?;
        self.cache.hit_for_pass.remove(&address);
        self.cache.memo.resolve(key, Arc::new(response), ttl).await
    }
}

/// # Operating
///
/// What the layer has done, and how it ends.
impl<K> Handle<K> {
    /// What the layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.cache.memo.stats()
    }

    /// Lets computations under way finish within `grace`, and then gives back the leases that are left: at once with a
    /// grace of zero. A request that waits on another machine then takes over. Computations that still run here answer
    /// the requests that wait here, and their results are not stored.
    ///
    /// Call it as soon as the program is asked to stop, while its server finishes the requests under way, neither
    /// before nor after that. See [`MemoLock::shutdown`](crate::MemoLock::shutdown).
    pub async fn shutdown(&self, grace: Duration) {
        self.cache.memo.shutdown(grace).await;
    }

    /// Resolves once no computation is under way in this process and all responses have reached the store.
    ///
    /// For the end of a program, once it takes no more requests; see [`MemoLock::drained`](crate::MemoLock::drained).
    pub async fn drained(&self) {
        self.cache.memo.drained().await;
    }
}
