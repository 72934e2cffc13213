//! [`Source`]: a layer as the admin service knows it.

use std::sync::Arc;

use http::Request;

use crate::counter::Visit;
use crate::key::{Address, Key};
use crate::memo::{FailureNote, Glance, Hot, InvalidateError, Stats};
use crate::middleware::{Handle, KeyExtractor, Shadow, Verify};
use crate::store::Purge;
#[cfg(feature = "redis")]
use crate::store::RedisStore;
use crate::task::BoxFuture;

/// Invalidates the responses of a layer.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    Keys(Vec<Key>),
    Tag(String),
    All,
}

/// A layer, whichever extractor of keys it has; requests to it have bodies of type `B`.
pub(super) trait Source<B>: Send + Sync {
    /// Two layers that share everything but settings have the same.
    fn identity(&self) -> usize;

    fn tag(&self) -> &str;

    fn stats(&self) -> Stats;

    /// The store of the layer, where that is a Redis.
    #[cfg(feature = "redis")]
    fn redis(&self) -> Option<&RedisStore>;

    fn visit(&self, each: Visit<'_>);

    fn oldest(&self, most: usize) -> Vec<(Address, Glance)>;

    fn hottest(&self) -> Vec<Hot>;

    fn failures(&self) -> Vec<FailureNote>;

    /// The shadow report, where the layer only watches.
    fn shadow(&self) -> Option<&Arc<Shadow>>;

    /// The report on verified hits, where the layer verifies some.
    fn verify(&self) -> Option<&Arc<Verify>>;

    /// The key of a request as it comes to the service in front of the layer.
    fn key(&self, request: Request<B>) -> (Option<Key>, B);

    fn invalidate(&self, scope: Scope, purge: Purge) -> BoxFuture<'static, Result<(), InvalidateError>>;
}

/// Rewrites requests as the service in front of a layer does.
pub(super) type Rewrite = Arc<dyn Fn(Request<()>) -> Request<()> + Send + Sync>;

pub(super) struct LayerSource<K> {
    pub(super) handle: Handle<K>,
    pub(super) rewrite: Option<Rewrite>,
}

impl<B, K: KeyExtractor<B>> Source<B> for LayerSource<K> {
    fn identity(&self) -> usize {
        Arc::as_ptr(&self.handle.cache.memo.shared).addr()
    }

    fn tag(&self) -> &str {
        self.handle.cache.memo.shared.tag.as_str()
    }

    fn stats(&self) -> Stats {
        self.handle.stats()
    }

    #[cfg(feature = "redis")]
    fn redis(&self) -> Option<&RedisStore> {
        self.handle.cache.memo.shared.store.downcast_ref()
    }

    fn visit(&self, each: Visit<'_>) {
        self.handle.cache.tally.visit(each);
        self.handle.cache.memo.shared.visit(each);
    }

    fn oldest(&self, most: usize) -> Vec<(Address, Glance)> {
        self.handle.cache.memo.shared.table.oldest(most)
    }

    fn hottest(&self) -> Vec<Hot> {
        self.handle.cache.memo.shared.insight.hottest()
    }

    fn failures(&self) -> Vec<FailureNote> {
        self.handle.cache.memo.shared.insight.failures()
    }

    fn shadow(&self) -> Option<&Arc<Shadow>> {
        self.handle.cache.shadow.as_ref()
    }

    fn verify(&self) -> Option<&Arc<Verify>> {
        self.handle.cache.verify.as_ref()
    }

    fn key(&self, request: Request<B>) -> (Option<Key>, B) {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let head = match &self.rewrite {
            Some(rewrite) => rewrite(head),
            None => head,
        };
        let request = head.map(|()| body);
        let key = self.handle.key_of(&request);
        (key, request.into_body())
    }

    fn invalidate(&self, scope: Scope, purge: Purge) -> BoxFuture<'static, Result<(), InvalidateError>> {
        let handle = self.handle.clone();
        Box::pin(async move {
            match scope {
                Scope::Keys(keys) => {
                    for key in keys {
                        handle.invalidate_key(&key).by(purge).await?;
                    }
                    Ok(())
                }
                Scope::Tag(tag) => handle.invalidate_tags([tag]).by(purge).await.map(drop),
                Scope::All => handle.invalidate_all().by(purge).await.map(drop),
            }
        })
    }
}
