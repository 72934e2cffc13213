//! Constructors: the layer for HTTP, and the one for gRPC.

use std::sync::Arc;

use http::Method;

use super::MemoLockLayer;
use crate::key::{KeyError, Tag};
use crate::memo::MemoLock;
use crate::middleware::cache::Cache;
use crate::middleware::key_extractor::{GrpcKey, UriKey};
use crate::middleware::policy::request::RequestRules;
use crate::middleware::policy::response::ResponseRules;
use crate::middleware::stored_response::Form;
use crate::store::{AnyStore, Store};

/// # Constructing
impl MemoLockLayer {
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
        let settings = Cache {
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
            pauses: Arc::default(),
            misuse: Arc::default(),
            demand: None,
            methods: None,
        };
        Self { settings }
    }

    /// A layer over `store` that collapses calls of the gRPC methods it is told, and passes everything else on
    /// untouched: other methods, streams of every kind, gRPC-Web, and all that is not gRPC. Works on tonic's
    /// `Server::builder().layer(..)`, and on an axum router that serves both; layers for its routes can share the
    /// store.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tonic::transport::Server;
    /// use tower_memolock::middleware::GrpcMethod;
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let layer = MemoLockLayer::grpc(MemoryStore::new(), "greeter")
    ///     .method(GrpcMethod::new("/helloworld.Greeter/SayHello").ttl(Duration::from_secs(30)))
    ///     .method(GrpcMethod::new("/helloworld.Greeter/FindHello").status_ttl(5, Duration::from_secs(1)))
    ///     .metadata(["x-tenant"])
    ///     .identified_by("authorization")
    ///     .wait_timeout(Duration::from_secs(10));
    /// let server = Server::builder().layer(layer);
    /// # let _ = server;
    /// ```
    ///
    /// # What makes two calls identical
    ///
    /// Authority, method, message, what it is encoded in, what the reply may be encoded in, and the
    /// [`metadata`](Self::metadata) that are named. What a handler learns from elsewhere, such as the address or the
    /// certificate of the client, is not part of the key. A call with credentials that are not part of the key
    /// ([`identified_by`](Self::identified_by)) goes to the inner service by itself. [`GrpcKey`] says more.
    ///
    /// # What is shared and stored
    ///
    /// A reply that is one whole message with its status. With the status OK it is stored for as long as its
    /// `cache-control` says in the initial metadata, or for the [`ttl`](Self::ttl) of the method or the layer. Without
    /// either, or with another status, only those who wait at that moment get it.
    /// [`GrpcMethod::status_ttl`](crate::middleware::GrpcMethod::status_ttl) has failures stored as well. A replay
    /// cannot be told from the original: metadata, message, trailers and their order are the same, and there is no
    /// `age`.
    ///
    /// A method that tags its replies, with a [`MemoControl`](crate::middleware::policy::control::MemoControl) among the extensions of
    /// `tonic::Response`, can have them removed: [`invalidate_tag`](Self::invalidate_tag).
    ///
    /// # Deadlines
    ///
    /// A call whose `grpc-timeout` ends while it waits ends in DEADLINE_EXCEEDED, it alone. The computation does not
    /// end with the deadline of the call that leads it: the inner service does not see that call's `grpc-timeout`. A
    /// deadline that the server sets beneath the layer does count for it.
    ///
    /// # Panics
    ///
    /// If `tag` cannot be a [`Tag`]. For a tag that comes from outside the program use
    /// [`MemoLockLayer::grpc_with_tag`].
    pub fn grpc<T>(store: impl Store, tag: T) -> MemoLockLayer<GrpcKey>
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        Self::grpc_with_tag(store, Tag::from_literal(tag))
    }

    /// The same, under a tag that has been checked already.
    #[must_use]
    pub fn grpc_with_tag(store: impl Store, tag: Tag) -> MemoLockLayer<GrpcKey> {
        let mut layer = Self::with_tag(store, tag).methods([Method::POST]).key(GrpcKey::new());
        layer.settings.requests.invalidates = false;
        layer.settings.methods = Some(Arc::default());
        layer
    }
}
