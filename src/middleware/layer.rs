//! [`MemoLockLayer`]: the layer, and everything that can be set on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, Request, StatusCode};
use tower_layer::Layer;

use super::key_extractor::{HeadKey, KeyExtractor, UriKey, uri_as_received};
use super::policy::request::RequestRules;
use super::policy::response::ResponseRules;
use super::service::MemoLockService;
use super::settings::Settings;
use super::stored_response::BinaryHttp;
use super::vary_index::VaryIndex;
use crate::error::StoreError;
use crate::key::{Address, Key, KeyError, Tag};
use crate::memo::{AtLimit, InvalidateError, MemoLock, Stats};
use crate::store::Store;

/// Makes any number of identical requests, on any number of machines, cost one call of the inner service.
///
/// Works on whatever takes a [`tower_layer::Layer`]: axum's `Router::layer` and `route_layer`, `ServiceBuilder`,
/// tonic's `Server::builder().layer(..)`. A clone, and every service made from it, share one table of computations
/// under way. Settings for one route are a layer of its own over the same store.
///
/// ```
/// use std::time::Duration;
///
/// use axum::{Router, routing::get};
/// use tower_memolock::{MemoLockLayer, MemoryStore};
///
/// let store = MemoryStore::new();
/// let app: Router = Router::new()
///     .route("/report/{id}", get(|| async { "rendered" }))
///     .layer(MemoLockLayer::new(store, "report").ttl(Duration::from_secs(30)));
/// ```
pub struct MemoLockLayer<St, K = UriKey> {
    memo: MemoLock<St, BinaryHttp>,
    key: K,
    requests: RequestRules,
    responses: ResponseRules,
    cache_status: bool,
    vary: Arc<VaryIndex>,
}

impl<St: Store> MemoLockLayer<St> {
    /// How long a body may be, unless told otherwise, to be shared: 8 MiB.
    pub const DEFAULT_MAX_BODY: u64 = ResponseRules::DEFAULT_MAX_BODY;

    /// How large header and trailer fields may be, unless told otherwise, to be shared: 64 KiB.
    pub const DEFAULT_MAX_HEADERS: u64 = ResponseRules::DEFAULT_MAX_HEADERS;

    /// How much memory recordings may hold, unless told otherwise: 256 MiB.
    pub const DEFAULT_MAX_RECORDING: u64 = ResponseRules::DEFAULT_MAX_RECORDING;

    /// A layer over `store` with the default settings.
    ///
    /// # Panics
    ///
    /// If `tag` cannot be a [`Tag`]. For a tag that comes from outside the program use [`MemoLockLayer::with_tag`].
    pub fn new<T>(store: St, tag: T) -> Self
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        Self::with_tag(store, Tag::from_literal(tag))
    }

    /// A layer over `store` under a tag that has been checked already.
    #[must_use]
    pub fn with_tag(store: St, tag: Tag) -> Self {
        Self {
            memo: MemoLock::with_tag(store, tag).codec(BinaryHttp).tagged(),
            key: UriKey::default(),
            requests: RequestRules::default(),
            responses: ResponseRules::default(),
            cache_status: false,
            vary: Arc::default(),
        }
    }
}

impl<St: Store, K> MemoLockLayer<St, K> {
    /// What makes two requests identical. Defaults to [`UriKey`]: method, scheme, authority, path and query.
    #[must_use]
    pub fn key<L>(self, key: L) -> MemoLockLayer<St, L> {
        let Self {
            memo,
            key: _,
            requests,
            responses,
            cache_status,
            vary,
        } = self;
        MemoLockLayer {
            memo,
            key,
            requests,
            responses,
            cache_status,
            vary,
        }
    }

    /// How long to keep a response that says nothing of its own freshness. Defaults to not at all: such a response
    /// goes to those who wait for it at that moment, and to nobody later.
    ///
    /// A response that does say (`Cache-Control: max-age`, `s-maxage`, `Expires`) is kept as long as it says.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.responses.ttl = (!ttl.is_zero()).then_some(ttl);
        self
    }

    /// How long to keep a response whatever it says of its own freshness, `no-cache` included. Defaults to as long as it
    /// says. A status that [`ttl`](Self::ttl) is not for is not for this either.
    ///
    /// `private`, `no-store`, `Set-Cookie` and `Vary: *` still keep a response from being shared.
    #[must_use]
    pub fn override_ttl(mut self, ttl: Duration) -> Self {
        self.responses.override_ttl = Some(ttl);
        self
    }

    /// How long to keep a response with this status that says nothing of its own freshness, in place of
    /// [`ttl`](Self::ttl): zero for not at all. Defaults to `ttl` for 200, 203, 204, 300, 301 and 308, and to not at all
    /// for the others, errors most of all.
    #[must_use]
    pub fn status_ttl(mut self, status: StatusCode, ttl: Duration) -> Self {
        let others = self.responses.status_ttl.iter().filter(|(known, _)| *known != status);
        self.responses.status_ttl = others.copied().chain([(status, ttl)]).collect();
        self
    }

    /// Stores nothing: responses go to those who wait for them at that moment. Defaults to storing what may be stored.
    #[must_use]
    pub fn no_store(mut self) -> Self {
        self.responses.no_store = true;
        self
    }

    /// How long to keep a stale response that has an `ETag` or a `Last-Modified`, so that the inner service can say that
    /// it is still right (304) rather than make it anew. Defaults to 60 seconds; zero keeps none.
    ///
    /// Each such response takes memory for that much longer. Whether it is stale is a matter of the nodes' clocks, which
    /// have to agree; those of all other responses need not, because they end when the store says so.
    #[must_use]
    pub fn revalidate_for(mut self, time: Duration) -> Self {
        self.responses.revalidate_for = time;
        self
    }

    /// The targeted cache control fields (RFC 9213) that this layer heeds: the first one that a response has replaces
    /// its `Cache-Control` and `Expires` here. Defaults to `CDN-Cache-Control`, which is meant for every shared cache on
    /// the server's side; a field of the layer's own in front of it tells the two apart.
    #[must_use]
    pub fn targeted(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.responses.targets = fields.into_iter().collect();
        self
    }

    /// Treats requests with credentials (`Authorization`, `Cookie` and their like) as all others. Defaults to answering
    /// them only from a stored response that allows it (`public`, `s-maxage`; for `Authorization`, `must-revalidate`),
    /// and to collapsing none.
    ///
    /// Right only where credentials change nothing about the response, or are part of the key.
    #[must_use]
    pub fn ignore_credentials(mut self) -> Self {
        self.requests.credentials = true;
        self
    }

    /// Whether a request with an unsafe method removes what is stored for its target, and for the `Location` and
    /// `Content-Location` of its answer, unless it failed (RFC 9111, section 4.4). Defaults to `true`.
    ///
    /// Each such request waits for the store once. It removes the response to a `GET`, as [`UriKey`] finds it; of keys
    /// with header fields, the one with the fields of the unsafe request. gRPC calls remove nothing.
    #[must_use]
    pub fn invalidate_on_change(mut self, invalidates: bool) -> Self {
        self.requests.invalidates = invalidates;
        self
    }

    /// Whether responses say in `Cache-Status` (RFC 9211) what the layer did: `memolock; hit; ttl=30`, or
    /// `memolock; fwd=uri-miss; stored`. Defaults to `false`: it helps whoever runs the layer, and whoever probes it
    /// (section 6), and is the one allocation of a hit in memory. It never tells the key.
    #[must_use]
    pub fn cache_status(mut self, tell: bool) -> Self {
        self.cache_status = tell;
        self
    }

    /// Whether responses without tags are stamped as well, so that [`invalidate_all`](Self::invalidate_all) reaches them.
    /// Defaults to `false`. See [`MemoLock::stamped`], and set it on every node.
    #[must_use]
    pub fn stamped(mut self, stamped: bool) -> Self {
        self.memo = self.memo.stamped(stamped);
        self
    }

    /// How long a lock lasts unless renewed, which the leader does every third of that; a leader that dies is
    /// succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts as 100
    /// milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.memo = self.memo.lease(lease);
        self
    }

    /// How long a request waits for a response that another one leads, before it goes to the inner service itself.
    /// Defaults to 30 seconds.
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.memo = self.memo.wait_timeout(timeout);
        self
    }

    /// How long, in bytes, a response body may be to be shared. A longer one goes to its own client as it comes, and
    /// those who wait go to the inner service. Defaults to [`MemoLockLayer::DEFAULT_MAX_BODY`].
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.responses.max_body = bytes;
        self
    }

    /// How large, in bytes of names and values, header and trailer fields may be together to be shared. A response with
    /// more of them goes to its own client as it is, and those who wait go to the inner service. Defaults to
    /// [`MemoLockLayer::DEFAULT_MAX_HEADERS`].
    #[must_use]
    pub fn max_headers(mut self, bytes: u64) -> Self {
        self.responses.max_headers = bytes;
        self
    }

    /// How long, in bytes, a key may be. A request with a longer one goes to the inner service. Defaults to 2048, which
    /// the keys of no extractor of this crate exceed.
    #[must_use]
    pub fn max_key(mut self, bytes: usize) -> Self {
        self.memo = self.memo.max_key(bytes);
        self
    }

    /// How many requests may wait for one key in this process. One on top of that is at a limit. Defaults to 65,536.
    #[must_use]
    pub fn max_waiters(mut self, requests: usize) -> Self {
        self.memo = self.memo.max_waiters(requests);
        self
    }

    /// How many keys may be in flight in this process, each with any number of requests. A request for one more is at a
    /// limit. Defaults to 16,384.
    #[must_use]
    pub fn max_in_flight(mut self, keys: usize) -> Self {
        self.memo = self.memo.max_in_flight(keys);
        self
    }

    /// How many bytes of bodies all recordings may hold together: of responses under way, until they have reached the
    /// store and the client they are streamed to. Each counts once; a body that came in pieces is there twice while they
    /// are joined. A response for which there is no room is not shared, and a request
    /// that would lead while there is none at all is at a limit. Defaults to
    /// [`MemoLockLayer::DEFAULT_MAX_RECORDING`].
    #[must_use]
    pub fn max_recording(mut self, bytes: u64) -> Self {
        self.responses.max_recording = bytes;
        self
    }

    /// What becomes of requests at a limit. Defaults to [`AtLimit::Bypass`]: they go to the inner service.
    #[must_use]
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.memo = self.memo.at_limit(at_limit);
        self
    }

    /// The methods whose requests are collapsed. Defaults to GET and HEAD; a HEAD is answered from the stored response to
    /// a GET, and goes to the inner service by itself where there is none.
    ///
    /// Whoever adds one says that repeating it changes nothing. A request with a body is collapsed only if the key
    /// covers the body, see [`BodyKey`](super::BodyKey).
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.requests.methods = methods.into_iter().collect();
        self
    }

    /// Removes the response stored under `key`, and keeps every computation that has started before from storing its
    /// own. This goes for all its variants (`Vary`).
    ///
    /// Once this has returned, no request that comes later, to whichever node, is answered with a response under `key` from
    /// before, however that comes to its node; [`MemoLock::invalidate`] says more.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] where the store could not be told; whether the response was removed is then unknown.
    pub async fn invalidate(&self, key: &Key) -> Result<(), StoreError> {
        let address = Address::new(&self.memo.shared.tag, key);
        self.memo.shared.invalidate(&address).await
    }

    /// Removes the response that this request would get, as [`invalidate`](Self::invalidate) does for its key: of a
    /// request whose method is not collapsed, or a `HEAD`, the response to a `GET` for the same target.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NoKey`] where the head of the request tells no key; [`InvalidateError::Store`] where the store
    /// could not be told.
    pub async fn invalidate_request<B>(&self, request: &Request<B>) -> Result<(), InvalidateError>
    where
        K: KeyExtractor<B>,
    {
        let method = request.method();
        let key = if method != Method::HEAD && self.requests.methods.contains(method) {
            match self.key.head_key(request) {
                HeadKey::Key(key) => Some(key),
                HeadKey::Bypass | HeadKey::NeedsBody => None,
            }
        } else {
            self.key.get_key(uri_as_received(request), request.headers())
        };
        let address = Address::of(&self.memo.shared.tag, key.ok_or(InvalidateError::NoKey)?);
        let invalidated = self.memo.shared.invalidate(&address).await;
        invalidated.map_err(InvalidateError::Store)
    }

    /// Makes every response with this tag out of date, on every node, and those under way as well: responses to which
    /// their handler gave it with [`MemoControl`](super::MemoControl), and those of any origin with such a member of
    /// `Cache-Groups` (RFC 9875). [`MemoLock::invalidate_tag`] says what holds then.
    ///
    /// The answer to an unsafe request does the same for the groups of its own origin that it names in
    /// `Cache-Group-Invalidation`, before it goes to its client; unless
    /// [`invalidate_on_change`](Self::invalidate_on_change) is off.
    ///
    /// # Errors
    ///
    /// As [`MemoLock::invalidate_tag`].
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<(), InvalidateError> {
        self.memo.invalidate_tag(tag).await
    }

    /// Like [`invalidate_tag`](Self::invalidate_tag), for several tags in one step.
    ///
    /// # Errors
    ///
    /// As [`MemoLock::invalidate_tags`].
    pub async fn invalidate_tags<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), InvalidateError> {
        self.memo.invalidate_tags(tags).await
    }

    /// Makes every response out of date that is stored or computed under this layer's tag, on every node.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NotStamped`] unless the layer is [`stamped`](Self::stamped); otherwise as
    /// [`MemoLock::invalidate_all`].
    pub async fn invalidate_all(&self) -> Result<(), InvalidateError> {
        self.memo.invalidate_all().await
    }

    /// Gives every lease back, so that requests that wait on other machines are led by one of those at once.
    ///
    /// To be called as soon as the program is asked to stop, before it waits for its connections to finish: requests
    /// under way here are answered all the same, and those that still come as well. See [`MemoLock::shutdown`].
    pub async fn shutdown(&self) {
        self.memo.shutdown().await;
    }

    /// Resolves once no computation is under way in this process and all responses have reached the store.
    ///
    /// For the end of a program, once it takes no more requests; see [`MemoLock::drained`].
    pub async fn drained(&self) {
        self.memo.drained().await;
    }

    /// What this layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.memo.stats()
    }
}

impl<S, St, K> Layer<S> for MemoLockLayer<St, K>
where
    St: Store,
    K: Clone,
{
    type Service = MemoLockService<S, St, K>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self {
            memo,
            key,
            requests,
            responses,
            cache_status,
            vary,
        } = self;
        let settings = Settings {
            memo: memo.clone(),
            key: key.clone(),
            requests: requests.clone(),
            responses: responses.clone(),
            cache_status: *cache_status,
            vary: Arc::clone(vary),
        };
        MemoLockService::new(inner, Arc::new(settings))
    }
}

impl<St: Clone, K: Clone> Clone for MemoLockLayer<St, K> {
    fn clone(&self) -> Self {
        Self {
            memo: self.memo.clone(),
            key: self.key.clone(),
            requests: self.requests.clone(),
            responses: self.responses.clone(),
            cache_status: self.cache_status,
            vary: Arc::clone(&self.vary),
        }
    }
}

impl<St, K> fmt::Debug for MemoLockLayer<St, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoLockLayer")
            .field("memo", &self.memo)
            .field("requests", &self.requests)
            .field("responses", &self.responses)
            .finish_non_exhaustive()
    }
}
