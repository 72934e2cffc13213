//! Each cache as its own documentation builds it, with in-flight requests collapsed where it can do that.

use std::time::Duration;

use hitbox::concurrency::BroadcastConcurrencyManager;
use hitbox::policy::PolicyConfig;
use hitbox_http::extractors::Method;
use hitbox_http::extractors::path::PathExtractor;
use hitbox_http::predicates::NeutralRequestPredicate;
use hitbox_http::predicates::response::StatusCode;
use hitbox_moka::MokaBackend;
use hitbox_redis::{ConnectionMode, RedisBackend};
use http_cache::MokaManager;
use http_cache_tower_server::ServerCacheLayer;
use tower::Layer;
use tower_http_cache::prelude::{CacheLayer, InMemoryBackend};
use tower_memolock::{MemoLockLayer, MemoryStore, RedisStore};

use crate::handler::Handler;

pub(crate) const TTL: Duration = Duration::from_secs(3600);

/// Calls `$run` with the name and the service of each cache that keeps responses in memory.
macro_rules! in_memory {
    ($handler:expr, $run:ident) => {{
        let handler = || $handler;
        $run!("tower-memolock", $crate::caches::memolock_memory(handler()));
        $run!("tower-http-cache 0.6", $crate::caches::http_cache_memory(handler()));
        $run!("hitbox 0.2", $crate::caches::hitbox_memory(handler()));
        $run!(
            "http-cache-tower-server 0.2",
            $crate::caches::server_cache_memory(handler())
        );
    }};
}

/// Calls `$run` with the name and the service of each cache that keeps responses in Redis.
macro_rules! in_redis {
    ($server:expr, $handler:expr, $run:ident) => {{
        let handler = || $handler;
        $run!(
            "tower-memolock",
            $crate::caches::memolock_redis($server.url(), handler()).await
        );
        $run!(
            "tower-http-cache 0.6",
            $crate::caches::http_cache_redis($server.url(), handler()).await
        );
        $run!("hitbox 0.2", $crate::caches::hitbox_redis($server.url(), handler()));
    }};
}

pub(crate) use {in_memory, in_redis};

/// The type of every such service.
macro_rules! service {
    () => {
        impl tower::Service<
            http::Request<crate::handler::Body>,
            Response = http::Response<impl http_body::Body<Data = bytes::Bytes, Error: Into<tower::BoxError>> + Send + 'static>,
            Error: Into<tower::BoxError>,
            Future: Send,
        > + Clone + Send + Sync + 'static
    };
}

pub(crate) fn memolock_memory(handler: Handler) -> service!() {
    MemoLockLayer::new(MemoryStore::new(), "peers").layer(handler)
}

pub(crate) async fn memolock_redis(url: String, handler: Handler) -> service!() {
    let store = RedisStore::connect(&url).await.expect("a store");
    MemoLockLayer::new(store, "peers").layer(handler)
}

pub(crate) fn http_cache_memory(handler: Handler) -> service!() {
    CacheLayer::builder(InMemoryBackend::new(10_000))
        .ttl(TTL)
        .build()
        .layer(handler)
}

pub(crate) async fn http_cache_redis(url: String, handler: Handler) -> service!() {
    let client = redis::Client::open(url).expect("a URL");
    let connection = client.get_connection_manager().await.expect("a connection");
    let backend = tower_http_cache::backend::redis::RedisBackend::new(connection);
    CacheLayer::builder(backend).ttl(TTL).build().layer(handler)
}

/// Its key is made of what one names, its responses are stored unless a predicate says no, and its requests are collapsed
/// only with both of `concurrency` and a manager.
macro_rules! hitbox {
    ($backend:expr, $handler:expr) => {{
        let most = 1.try_into().expect("a limit");
        let policy = PolicyConfig::builder().ttl(TTL).concurrency(most).build();
        let config = hitbox::Config::builder()
            .request_predicate(NeutralRequestPredicate::new())
            .response_predicate(StatusCode::new(http::StatusCode::OK))
            .extractor(Method::new().path("/report/{id}"))
            .policy(policy)
            .build();
        let cache = hitbox_tower::Cache::builder().backend($backend).config(config);
        cache
            .concurrency_manager(BroadcastConcurrencyManager::new())
            .build()
            .layer($handler)
    }};
}

pub(crate) fn hitbox_memory(handler: Handler) -> service!() {
    hitbox!(MokaBackend::builder().max_entries(10_000).build(), handler)
}

pub(crate) fn hitbox_redis(url: String, handler: Handler) -> service!() {
    let backend = RedisBackend::builder().connection(ConnectionMode::single(url));
    hitbox!(backend.build().expect("a backend"), handler)
}

pub(crate) fn server_cache_memory(handler: Handler) -> service!() {
    let manager = MokaManager::new(moka::future::Cache::new(10_000));
    ServerCacheLayer::new(manager).layer(handler)
}
