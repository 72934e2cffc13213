//! What can be set on a layer for gRPC.

use super::MemoLockLayer;
use crate::middleware::key_extractor::GrpcKey;
use crate::middleware::settings::GrpcMethod;

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
        self.key = self.key.max_message_of(method.path(), own);
        let known = self.cache.methods.iter().flat_map(|methods| methods.iter());
        let others = known.filter(|known| known.path() != method.path()).cloned();
        let mut methods: Vec<_> = others.collect();
        methods.push(method);
        self.cache.methods = Some(methods.into());
        self
    }

    /// Leaves the authority out of the key. By default it is part of the key.
    ///
    /// For servers with several names or addresses that mean the same, such as nodes of a cluster that clients address
    /// one by one.
    #[must_use]
    pub fn without_authority(mut self) -> Self {
        self.key = self.key.without_authority();
        self
    }
}
