//! [`Methods`]: the methods of a gRPC layer, each with a cache by its own rules.

use std::collections::HashMap;
use std::sync::Arc;

use http::{Method, Request};

use super::cache::Cache;
use super::grpc::{Sightings, is_call};
use super::policy::grpc::GrpcRules;
use super::settings::GrpcMethod;

/// The cache of each method, by its path.
pub(crate) struct Methods {
    by_path: HashMap<Box<str>, NamedMethod>,
}

/// One of them.
struct NamedMethod {
    cache: Arc<Cache>,
    sightings: Arc<Sightings>,
}

impl Methods {
    /// Of this layer; `None` where it is not one for gRPC.
    pub(crate) fn of(layer: &Cache) -> Option<Self> {
        let methods = layer.methods.as_ref()?.iter();
        let by_path = methods.map(|method| {
            let named = NamedMethod {
                cache: Arc::new(cache_of(method, layer)),
                sightings: Arc::clone(&method.sightings),
            };
            (method.path().into(), named)
        });
        Some(Self {
            by_path: by_path.collect(),
        })
    }

    /// The cache for a request; `None` where it is not a call of one of the methods.
    pub(crate) fn cache<B>(&self, request: &Request<B>) -> Option<&Arc<Cache>> {
        if *request.method() != Method::POST || !is_call(request.headers()) {
            return None;
        }
        let path = request.uri().path();
        let Some(method) = self.by_path.get(path) else {
            for (name, method) in &self.by_path {
                method.sightings.missed(name, path);
            }
            return None;
        };
        method.sightings.seen();
        Some(&method.cache)
    }
}

/// The cache of a layer, by the rules of this method.
fn cache_of(method: &GrpcMethod, layer: &Cache) -> Cache {
    // All of them share one table of what is under way.
    let mut cache = layer.clone();
    if let Some(lease) = method.lease {
        cache.memo = cache.memo.lease(lease);
    }
    if let Some(timeout) = method.wait_timeout {
        cache.memo = cache.memo.wait_timeout(timeout);
    }
    let rules = &mut cache.responses;
    let of_ok = method.status_ttl.iter().find(|(status, _)| *status == 0);
    if let Some(ttl) = of_ok.map(|(_, ttl)| *ttl).or(method.ttl) {
        rules.ttl = (!ttl.is_zero()).then_some(ttl);
    }
    method.response_limits.apply(rules);
    rules.grpc = Some(GrpcRules {
        status_ttl: Arc::from(method.status_ttl.as_slice()),
    });
    cache
}
