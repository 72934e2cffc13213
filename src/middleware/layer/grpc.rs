//! What can be set on a layer for gRPC.

use std::error::Error;
use std::sync::Arc;

use http::Method;
use http::header::HeaderName;

use super::MemoLockLayer;
use super::keys::name;
use crate::key::{KeyError, Tag};
use crate::middleware::grpc::GrpcMethod;
use crate::middleware::key_extractor::GrpcKey;
use crate::store::Store;

impl MemoLockLayer {
    /// A layer over `store` that collapses calls of the gRPC methods it is told, and passes everything else on
    /// untouched: other methods, streams of every kind, gRPC-Web, whatever is not gRPC. Works on tonic's
    /// `Server::builder().layer(..)`, and on an axum router that serves both; layers for its routes can share the store.
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
    /// certificate of the client, is not part of the key. A call with credentials that are not part of it
    /// ([`identified_by`](Self::identified_by)) goes to the inner service by itself. [`GrpcKey`] says more.
    ///
    /// # What is shared and stored
    ///
    /// A reply that is one whole message with its status. With the status OK it is stored for as long as its
    /// `cache-control` says in the initial metadata, or for the [`ttl`](Self::ttl) of the method or the layer; without
    /// either, and with another status, it goes to those who wait at that moment, and to nobody later.
    /// [`GrpcMethod::status_ttl`] has failures stored as well. What is replayed cannot be told from the original: metadata,
    /// message, trailers and their order are the same, and there is no `age`.
    ///
    /// A method that tags its replies, with a [`MemoControl`](crate::middleware::MemoControl) among the extensions of
    /// `tonic::Response`, can have them removed: [`invalidate_tag`](Self::invalidate_tag).
    ///
    /// # Deadlines
    ///
    /// A call whose `grpc-timeout` is over while it waits ends in DEADLINE_EXCEEDED, it alone. The computation does not
    /// end with the deadline of the call that happens to lead it: the inner service does not see that one's
    /// `grpc-timeout`. A deadline that the server itself sets counts for it if it is set beneath the layer.
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

impl MemoLockLayer<GrpcKey> {
    /// How long, in bytes, the message of a call may be, unless told otherwise, to be collapsed: 64 KiB.
    pub const DEFAULT_MAX_MESSAGE: u64 = GrpcKey::DEFAULT_MAX_MESSAGE;

    /// Collapses the calls of one more method. Defaults to none.
    ///
    /// What the method does not say is as the layer says, before this or after. Of two with one path the second counts.
    #[must_use]
    pub fn method(mut self, method: GrpcMethod) -> Self {
        let own = method.own_max_message();
        self.settings.key = self.settings.key.max_message_of(method.path(), own);
        let known = self.settings.methods.iter().flat_map(|methods| methods.iter());
        let others = known.filter(|known| known.path() != method.path()).cloned();
        let mut methods: Vec<_> = others.collect();
        methods.push(method);
        self.settings.methods = Some(methods.into());
        self
    }

    /// Makes metadata part of the key, of all methods: everything that a handler looks at. Defaults to none. It stands there
    /// legible, unless its name says that it is a [credential](Self::credentials).
    ///
    /// # Panics
    ///
    /// If one is not the name of metadata.
    #[must_use]
    pub fn metadata<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        self.settings.key = self.settings.key.metadata(names.into_iter().map(name));
        self
    }

    /// Makes metadata with credentials, such as `authorization`, part of the key, so that calls with the same ones share
    /// with each other, and with nobody else. Defaults to none: calls with credentials share nothing. Calls without any
    /// share with each other.
    ///
    /// The key holds a digest, never the credentials. They have to tell who is asking and nothing else: with tokens that
    /// are new in each call nothing is shared. What is stored outlives the credentials by up to its ttl, and is given to
    /// them without asking the inner service whether they are still good.
    ///
    /// # Panics
    ///
    /// If it is not the name of metadata.
    #[must_use]
    #[track_caller]
    pub fn identified_by<N>(self, credentials: N) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        self.key_headers([credentials])
    }

    /// Leaves the authority out of the key. Defaults to its being part of it.
    ///
    /// For servers with several names or addresses that mean the same, such as the nodes of a cluster that clients
    /// address one by one.
    #[must_use]
    pub fn without_authority(mut self) -> Self {
        self.settings.key = self.settings.key.without_authority();
        self
    }

    /// How long, in bytes, the message of a call may be to be collapsed: as much is read before the call is answered. A
    /// longer one goes to the inner service. Defaults to [`MemoLockLayer::DEFAULT_MAX_MESSAGE`].
    #[must_use]
    pub fn max_message(mut self, bytes: u64) -> Self {
        self.settings.key = self.settings.key.max_message(bytes);
        self
    }
}
