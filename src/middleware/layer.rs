//! [`MemoLockLayer`]: the layer, and everything that can be set on it.

// In the order in which rustdoc shows what is in them.
mod constructing;

mod keys;

mod freshness;

mod privacy;

mod limits;

mod operating;

mod deferral;

mod grpc;

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::cache::Cache;
use super::key_extractor::UriKey;
use super::methods::Methods;
use super::service::{LayerState, MemoLockService};

/// Makes any number of identical requests, on any number of machines, cost one call of the inner service.
///
/// Works wherever a [`tower_layer::Layer`] is taken: axum's `Router::layer` and `route_layer`, `ServiceBuilder`,
/// tonic's `Server::builder().layer(..)`. A clone, and every service made from it, share one table of computations
/// under way. Settings for one route are a layer of its own over the same store. A layer that shares other responses
/// than the rest ([`Privacy`](crate::middleware::Privacy)) has a tag of its own, because layers under one tag take each
/// other's responses where their keys cover the same. A handler may leave the response to another program: see
/// [`may_defer`](Self::may_defer).
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
    key: K,
    pub(crate) cache: Cache,
}

// The bounds of the service that do not depend on requests, so that the compiler names the missing bound here.
impl<S, K> Layer<S> for MemoLockLayer<K>
where
    S: Clone + Send + 'static,
    K: Clone,
{
    type Service = MemoLockService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        MemoLockService::new(
            inner,
            LayerState {
                key: self.key.clone(),
                cache: Arc::new(self.cache.clone()),
                methods: Methods::of(&self.cache),
            },
        )
    }
}

impl<K: Clone> Clone for MemoLockLayer<K> {
    fn clone(&self) -> Self {
        Self {
            key: self.key.clone(),
            cache: self.cache.clone(),
        }
    }
}

impl<K> fmt::Debug for MemoLockLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoLockLayer")
            .field("memo", &self.cache.memo)
            .field("requests", &self.cache.requests)
            .field("responses", &self.cache.responses)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use tower::{Layer, Service, service_fn};

    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn a_request_that_is_looked_up_takes_little_memory_meanwhile() {
        let handler = async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()));
        let mut service = MemoLockLayer::new(MemoryStore::new(), "report").layer(service_fn(handler));
        // What the look-up itself takes, the store allocates.
        let (own, steps) = service.call(Request::new(Full::default())).sizes();
        assert!(own <= 96 && (1..=1300).contains(&steps), "{own} and {steps} bytes");
    }
}
