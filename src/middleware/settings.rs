//! What one layer and all its services share.

use std::sync::Arc;

use super::grpc::GrpcMethod;
use super::marker::Markers;
use super::permissions::Permissions;
use super::policy::request::RequestRules;
use super::policy::response::ResponseRules;
use super::stored_response::Form;
use super::vary_index::VaryIndex;
use crate::memo::MemoLock;

/// The settings of a [`MemoLockLayer`](super::MemoLockLayer), with its core.
#[derive(Clone)]
pub(crate) struct Settings<St, K> {
    pub(crate) memo: MemoLock<St, Form>,
    pub(crate) key: K,
    pub(crate) requests: RequestRules,
    pub(crate) responses: ResponseRules,
    /// Whether responses say what the layer did.
    pub(crate) cache_status: bool,
    /// Whether they say the key, too.
    pub(crate) cache_status_key: bool,
    pub(crate) vary: Arc<VaryIndex>,
    pub(crate) permissions: Arc<Permissions>,
    pub(crate) markers: Arc<Markers>,
    /// Of a layer for gRPC, the methods whose calls it collapses.
    pub(crate) methods: Option<Arc<[GrpcMethod]>>,
}

impl<St, K> Settings<St, K> {
    /// The same, with another key.
    pub(crate) fn with_key<L>(self, key: L) -> Settings<St, L> {
        Settings {
            memo: self.memo,
            key,
            requests: self.requests,
            responses: self.responses,
            cache_status: self.cache_status,
            cache_status_key: self.cache_status_key,
            vary: self.vary,
            permissions: self.permissions,
            markers: self.markers,
            methods: self.methods,
        }
    }
}
