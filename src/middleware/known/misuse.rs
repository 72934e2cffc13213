//! [`Misuse`]: signs that a layer is set up so that it cannot do what its user meant. The log says each once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use tokio::runtime::Handle;

use crate::middleware::policy::response_rules::ResponseRules;
use crate::middleware::policy::sharing::Sharing;

/// So many responses, none of them stored, tell that a ttl is missing.
const UNFRESH: u32 = 100;
/// So many requests, none of them for a route, tell that the layer is around no route.
const UNROUTED: u32 = 20;

/// What was seen by one layer, its clones and its services.
#[derive(Debug, Default)]
pub(crate) struct Misuse {
    no_body_key: AtomicBool,
    no_method: AtomicBool,
    no_runtime: AtomicBool,
    /// Whether a response was stored, or the operator was told that none is.
    stored: AtomicBool,
    unfresh: AtomicU32,
    /// Whether axum's router found a route for a request, or the operator was told that it finds none.
    routed: AtomicBool,
    /// Whether a request came for which it found no route.
    unrouted: AtomicBool,
    lost: AtomicU32,
}

/// Whether it is the first time.
fn is_first(said: &AtomicBool) -> bool {
    !said.load(Ordering::Relaxed) && !said.swap(true, Ordering::Relaxed)
}

impl Misuse {
    /// The key does not cover the body of a request with a method that the layer was told.
    pub(crate) fn body_is_not_in_key(&self, method: &http::Method) {
        if is_first(&self.no_body_key) {
            tracing::warn!(
                %method,
                "a request with a body goes to the handler by itself, because its key does not cover the body; \
                 `.key(BodyKey::new())` makes the body part of the key"
            );
        }
    }

    /// The key covers bodies, and the layer collapses no method that has one.
    pub(crate) fn method_is_not_collapsed(&self, method: &http::Method) {
        if is_first(&self.no_method) {
            tracing::warn!(
                %method,
                "a request with a body goes to the handler by itself, because its method is not collapsed, although the \
                 key covers bodies; `.methods([Method::GET, Method::HEAD, Method::{method}])` has it collapsed"
            );
        }
    }

    /// Whether there is no runtime to compute in.
    pub(crate) fn is_outside_runtime(&self) -> bool {
        // Most requests are in a task, which is cheaper to find out than to get a handle of the runtime.
        let is_outside = tokio::task::try_id().is_none() && Handle::try_current().is_err();
        if is_outside && is_first(&self.no_runtime) {
            tracing::error!(
                "no tokio runtime: requests go to the inner service by themselves; call the service from within a tokio \
                 runtime, #[tokio::main] or Runtime::block_on"
            );
        }
        is_outside
    }

    /// A request came by axum's router.
    #[cfg(feature = "axum")]
    pub(crate) fn came_by_router(&self, extensions: &http::Extensions) {
        if self.routed.load(Ordering::Relaxed) {
            return;
        }
        match extensions.get::<axum::extract::MatchedPath>() {
            Some(_) => self.routed.store(true, Ordering::Relaxed),
            None => self.unrouted.store(true, Ordering::Relaxed),
        }
    }

    /// A response was judged.
    pub(crate) fn judged(&self, status: StatusCode, headers: &HeaderMap, sharing: Sharing, rules: &ResponseRules) {
        match sharing {
            Sharing::Store(_) => self.stored.store(true, Ordering::Relaxed),
            Sharing::Share if status.is_success() && may_forget_ttl(rules) => self.is_unfresh(),
            Sharing::Share if status == StatusCode::NOT_FOUND && !headers.contains_key(CONTENT_TYPE) => self.is_lost(),
            Sharing::Share | Sharing::Pass(_) => {}
        }
    }

    fn is_unfresh(&self) {
        if self.stored.load(Ordering::Relaxed) || self.unfresh.fetch_add(1, Ordering::Relaxed) + 1 < UNFRESH {
            return;
        }
        if is_first(&self.stored) {
            tracing::warn!(
                responses = UNFRESH,
                "no response is stored, because none says how long it is fresh and the layer has no ttl; `.ttl(..)` on \
                 the layer, or `Cache-Control: max-age` in the response, keeps it; `Freshness::no_store` says that this is meant"
            );
        }
    }

    fn is_lost(&self) {
        let has_lost = !self.routed.load(Ordering::Relaxed) && self.unrouted.load(Ordering::Relaxed);
        if !has_lost || self.lost.fetch_add(1, Ordering::Relaxed) + 1 < UNROUTED {
            return;
        }
        if is_first(&self.routed) {
            tracing::warn!(
                requests = UNROUTED,
                "all requests that reached the layer were for no route of axum's router; `Router::layer` is for routes \
                 that were added before it, so put `.layer(..)` behind `.route(..)`"
            );
        }
    }
}

/// Whether nothing was said of how long responses are kept.
fn may_forget_ttl(rules: &ResponseRules) -> bool {
    let of_grpc = rules.grpc.as_ref().is_none_or(|rules| rules.status_ttl.is_empty());
    !rules.no_store && rules.ttl.is_none() && rules.override_ttl.is_none() && rules.status_ttl.is_empty() && of_grpc
}
