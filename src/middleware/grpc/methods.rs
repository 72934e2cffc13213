//! [`Methods`]: the methods of one layer, each with its settings.

use std::collections::HashMap;
use std::sync::Arc;

use http::{Method, Request};

use super::is_call;
use crate::middleware::settings::Settings;

/// The settings of each method, by its path.
pub(crate) struct Methods<K> {
    by_path: HashMap<Box<str>, Arc<Settings<K>>>,
}

impl<K: Clone> Methods<K> {
    /// Of a layer with these settings; `None` where it is not one for gRPC.
    pub(crate) fn of(layer: &Settings<K>) -> Option<Arc<Self>> {
        let methods = layer.methods.as_ref()?.iter();
        let by_path = methods.map(|method| (method.path().into(), Arc::new(method.settings(layer))));
        Some(Arc::new(Self {
            by_path: by_path.collect(),
        }))
    }
}

impl<K> Methods<K> {
    /// The settings for a request; `None` where it is not a call of one of the methods.
    pub(crate) fn settings<B>(&self, request: &Request<B>) -> Option<&Arc<Settings<K>>> {
        if *request.method() != Method::POST || !is_call(request.headers()) {
            return None;
        }
        self.by_path.get(request.uri().path())
    }
}
