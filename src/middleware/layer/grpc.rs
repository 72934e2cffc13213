//! What can be set on a layer for gRPC.

use std::error::Error;

use http::header::HeaderName;

use super::MemoLockLayer;
use super::keys::name;
use crate::middleware::grpc::GrpcMethod;
use crate::middleware::key_extractor::GrpcKey;

/// # gRPC
///
/// Settings of a layer made with [`MemoLockLayer::grpc`].
impl MemoLockLayer<GrpcKey> {
    /// Collapses the calls of one more method. Defaults to none.
    ///
    /// Unset options inherit from the layer, whatever the call order. Of two methods with one path the second counts.
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

    /// Makes metadata part of the key, of all methods: name everything that a handler looks at. Defaults to none. It
    /// stands there legible, unless its name says that it is a [credential](Self::credentials).
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

    /// Makes metadata with credentials, such as `authorization`, part of the key, so that only calls with the same ones
    /// share with each other. Defaults to none: calls with credentials share nothing. Calls without any share with each
    /// other.
    ///
    /// The key holds a digest, never the credentials. They have to identify the client and nothing else: with tokens
    /// that are new in each call nothing is shared. A stored reply outlives the credentials by up to its ttl, and is
    /// given to them without asking the inner service whether they are still good.
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
    /// For servers with several names or addresses that mean the same, such as nodes of a cluster that clients address
    /// one by one.
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

    /// How long, in bytes, the message of a call may be, unless told otherwise, to be collapsed: 64 KiB.
    pub const DEFAULT_MAX_MESSAGE: u64 = GrpcKey::DEFAULT_MAX_MESSAGE;
}
