//! [`MemoLockLayer`]: the layer, and everything that can be set on it.

mod beyond;
mod caching;
mod deferral;
mod grpc;
mod invalidation;
mod keys;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tower_layer::Layer;

use super::grpc::Methods;
use super::key_extractor::UriKey;
use super::policy::request::RequestRules;
use super::policy::response::ResponseRules;
use super::service::MemoLockService;
use super::settings::Settings;
use super::stored_response::Form;
use crate::key::{KeyError, Tag};
use crate::memo::{AtLimit, MemoLock, Stats};
use crate::store::{AnyStore, Store};

/// Makes any number of identical requests, on any number of machines, cost one call of the inner service.
///
/// Works on whatever takes a [`tower_layer::Layer`]: axum's `Router::layer` and `route_layer`, `ServiceBuilder`,
/// tonic's `Server::builder().layer(..)`. A clone, and every service made from it, share one table of computations
/// under way. Settings for one route are a layer of its own over the same store; one that shares other responses than the
/// rest ([`ignore_credentials`](Self::ignore_credentials), [`set_cookie`](Self::set_cookie)) has a tag of its own, because
/// layers under one tag take each other's responses where their keys cover the same. A handler may have somebody else give the
/// response to all who wait: see [`may_defer`](Self::may_defer).
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
pub struct MemoLockLayer<K = UriKey> {
    settings: Settings<K>,
}

impl MemoLockLayer {
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
    pub fn new<T>(store: impl Store, tag: T) -> Self
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        Self::with_tag(store, Tag::from_literal(tag))
    }

    /// A layer over `store` under a tag that has been checked already.
    #[must_use]
    pub fn with_tag(store: impl Store, tag: Tag) -> Self {
        Self::over(store.into_any(), tag)
    }

    pub(super) fn over(store: AnyStore, tag: Tag) -> Self {
        let settings = Settings {
            memo: MemoLock::over(store, Form::binary(), tag).tagged(),
            key: UriKey::default(),
            key_headers: Arc::default(),
            requests: RequestRules::default(),
            responses: ResponseRules::default(),
            cache_status: false,
            cache_status_key: false,
            vary: Arc::default(),
            permissions: Arc::default(),
            markers: Arc::default(),
            demand: None,
            methods: None,
        };
        Self { settings }
    }
}

impl<K> MemoLockLayer<K> {
    /// How long a lock lasts unless renewed, which the leader does every third of that; a leader that dies is
    /// succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts as 100
    /// milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.memo = self.settings.memo.lease(lease);
        self
    }

    /// How long a request waits for a response that another one leads, before it goes to the inner service itself.
    /// Defaults to 30 seconds.
    ///
    /// The clock starts once another request of this process leads, or once the store has said that another process
    /// computes. Until then the request may yet lead and waits for the store, for as long as that takes to answer or
    /// fail; so a request that is alone leads and has its response stored, however short this is. With zero a request
    /// never waits for another: it leads, or it goes to the inner service at once.
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.settings.memo = self.settings.memo.wait_timeout(timeout);
        self
    }

    /// How long, in bytes, a response body may be to be shared. A longer one goes to its own client as it comes, and
    /// those who wait go to the inner service. Defaults to [`MemoLockLayer::DEFAULT_MAX_BODY`].
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.settings.responses.max_body = bytes;
        self
    }

    /// How large, in bytes of names and values, header and trailer fields may be together to be shared. A response with
    /// more of them goes to its own client as it is, and those who wait go to the inner service. Defaults to
    /// [`MemoLockLayer::DEFAULT_MAX_HEADERS`].
    #[must_use]
    pub fn max_headers(mut self, bytes: u64) -> Self {
        self.settings.responses.max_headers = bytes;
        self
    }

    /// How long, in bytes, a key may be. A request with a longer one goes to the inner service. Defaults to 2048.
    ///
    /// This bounds what a key costs in memory and in the store, not how long a target may be: the keys of this crate's
    /// extractors end in a SHA-256 beyond 240 bytes, and have no more than 450 with all that is added to them. Only ids
    /// that a closure gives to the letter can be longer.
    #[must_use]
    pub fn max_key(mut self, bytes: usize) -> Self {
        self.settings.memo = self.settings.memo.max_key(bytes);
        self
    }

    /// How many requests may wait for one key in this process. One on top of that is at a limit. Defaults to 65,536.
    #[must_use]
    pub fn max_waiters(mut self, requests: usize) -> Self {
        self.settings.memo = self.settings.memo.max_waiters(requests);
        self
    }

    /// How many keys may be in flight in this process, each with any number of requests. A request for one more is at a
    /// limit. Defaults to 16,384.
    #[must_use]
    pub fn max_in_flight(mut self, keys: usize) -> Self {
        self.settings.memo = self.settings.memo.max_in_flight(keys);
        self
    }

    /// How many calls of the inner service may go on in this process although no client waits for them any more. A client
    /// that leaves stops nothing, because the next one may want the response; but where that makes more of them than this,
    /// the oldest is cancelled: its future, or the body that is recorded, is dropped. Defaults to 64.
    #[must_use]
    pub fn max_orphaned(mut self, calls: usize) -> Self {
        self.settings.memo = self.settings.memo.max_orphaned(calls);
        self
    }

    /// How long a call of the inner service, from its beginning to the end of its body, goes on for all who wait. After
    /// that one of those who wait takes over. It still goes on for the client that leads, if that is there; otherwise it is
    /// cancelled. Defaults to 10 minutes.
    #[must_use]
    pub fn max_computation(mut self, time: Duration) -> Self {
        self.settings.memo = self.settings.memo.max_computation(time);
        self
    }

    /// How many bytes of bodies all recordings may hold together: of responses under way, until they have reached the
    /// store and the client they are streamed to. Each counts once; a body that came in pieces is there twice while they
    /// are joined. A response for which there is no room is not shared: those who wait for it in this process are at a
    /// limit, and so is a request that would lead while there is none at all. Defaults to
    /// [`MemoLockLayer::DEFAULT_MAX_RECORDING`].
    #[must_use]
    pub fn max_recording(mut self, bytes: u64) -> Self {
        self.settings.responses.max_recording = bytes;
        self
    }

    /// What becomes of requests at a limit. Defaults to [`AtLimit::Bypass`]: they go to the inner service. See
    /// [`AtLimit`] for which to choose.
    ///
    /// Clones that are made after this share the turns of [`AtLimit::Queue`], for all keys and routes.
    #[must_use]
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.settings.memo = self.settings.memo.at_limit(at_limit);
        self
    }

    /// The HTTP methods whose requests are collapsed. Defaults to GET and HEAD; a HEAD is answered from the stored response to
    /// a GET, and goes to the inner service by itself where there is none.
    ///
    /// Whoever adds one says that repeating it changes nothing. A request with a body is collapsed only if the key
    /// covers the body, see [`BodyKey`](super::BodyKey).
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.settings.requests.methods = methods.into_iter().collect();
        self
    }

    /// Lets what is computed come to its end, for as long as `grace`, and gives back what leases there are then.
    ///
    /// To be called as soon as the program is asked to stop, while its server finishes the requests under way: not after that,
    /// and not before it. See [`MemoLock::shutdown_within`].
    pub async fn shutdown_within(&self, grace: Duration) {
        self.settings.memo.shutdown_within(grace).await;
    }

    /// Gives every lease back at once, so that requests that wait on other machines are led by one of those. What is computed
    /// here answers those who wait here and is not stored. See [`MemoLock::shutdown`].
    pub async fn shutdown(&self) {
        self.settings.memo.shutdown().await;
    }

    /// Resolves once no computation is under way in this process and all responses have reached the store.
    ///
    /// For the end of a program, once it takes no more requests; see [`MemoLock::drained`].
    pub async fn drained(&self) {
        self.settings.memo.drained().await;
    }

    /// What this layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.settings.memo.stats()
    }
}

impl<S, K> Layer<S> for MemoLockLayer<K>
where
    K: Clone,
{
    type Service = MemoLockService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        MemoLockService::new(inner, Arc::new(self.settings.clone()), Methods::of(&self.settings))
    }
}

impl<K: Clone> Clone for MemoLockLayer<K> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
        }
    }
}

impl<K> fmt::Debug for MemoLockLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoLockLayer")
            .field("memo", &self.settings.memo)
            .field("requests", &self.settings.requests)
            .field("responses", &self.settings.responses)
            .finish_non_exhaustive()
    }
}
