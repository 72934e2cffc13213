//! Unsafe requests, which make what is stored for their target out of date (RFC 9111, 4.4).

use std::marker::PhantomData;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use tokio::task::JoinSet;
use tower_service::Service;
use tracing::Instrument;

use crate::key::{Address, Label};
use crate::memo::Shared;
use crate::middleware::cache::Cache;
use crate::middleware::key_extractor::KeyExtractor;
use crate::middleware::known::hit_for_pass::HitForPass;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::groups;
use crate::middleware::policy::invalidation::{has_changed, locations};
use crate::middleware::policy::origin::{Origin, uri_as_received};
use crate::middleware::respond::body::MemoBody;
use crate::middleware::respond::future::{Direct, Step};
use crate::middleware::stored_response::Form;
use crate::task::{BoxFuture, inherited, spawn, spawn_if_any};

/// An unsafe request under way.
///
/// One that ends without an answer, because its client has hung up or the inner service failed, may have changed
/// something all the same: dropping this makes its target out of date.
pub(crate) struct Change<Q, K: KeyExtractor<Q>> {
    cache: Arc<Cache<K>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    /// Known from the beginning: when this is dropped is no time to ask a key extractor that may panic.
    target: Option<Address>,
    settled: bool,
    body: PhantomData<fn(Q)>,
}

impl<Q, K: KeyExtractor<Q>> Change<Q, K> {
    pub(crate) fn new(cache: &Arc<Cache<K>>, request: &Request<Q>) -> Self {
        let mut change = Self {
            cache: Arc::clone(cache),
            method: request.method().clone(),
            uri: uri_as_received(request).clone(),
            headers: request.headers().clone(),
            extensions: request.extensions().clone(),
            target: None,
            // Nothing has been changed by a request that has no key yet.
            settled: true,
            body: PhantomData,
        };
        change.target = change.address(&change.uri);
        change.settled = false;
        change
    }

    /// Asks the inner service, and removes what is out of date before the answer goes on: a client that has it finds nothing
    /// from before.
    pub(crate) async fn carry_out<S, ResBody>(
        mut self,
        service: S,
        request: Request<K::Body>,
    ) -> Step<Result<Response<MemoBody<ResBody>>, S::Error>>
    where
        S: Service<Request<K::Body>, Response = Response<ResBody>>,
    {
        let forwarded = self.cache.cache_status.then(|| Forwarded::because(Forward::Method));
        let answer = Direct::new(service, request, forwarded).await;
        let Ok(response) = &answer else {
            return Step::Done(answer);
        };
        let mut addresses = Vec::new();
        if has_changed(response.status()) {
            addresses.extend(self.target.clone());
            for target in locations(&self.uri, &self.headers, response.headers()) {
                addresses.extend(at_path(&self.uri, target).and_then(|uri| self.address(&uri)));
            }
        }
        let groups = groups::invalidated(&self.method, response.headers());
        let labels = self.labels(&groups);
        // A client that hangs up now has changed something all the same, and the store may take its time.
        let invalidating = spawn(self.invalidation(labels, addresses));
        self.settled = true;
        // One that panicked is no reason to keep the answer back.
        let _ = invalidating.await;
        Step::Done(answer)
    }

    fn invalidation(&self, labels: Vec<Label>, addresses: Vec<Address>) -> BoxFuture<'static, ()> {
        let (shared, hit_for_pass) = (&self.cache.memo.shared, &self.cache.hit_for_pass);
        invalidation(Arc::clone(shared), Arc::clone(hit_for_pass), labels, addresses)
    }

    fn labels(&self, groups: &[String]) -> Vec<Label> {
        if groups.is_empty() {
            return Vec::new();
        }
        let origin = Origin::new(&self.uri, &self.headers);
        groups.iter().map(|name| origin.group(name)).collect()
    }

    fn address(&self, uri: &Uri) -> Option<Address> {
        let key = self.cache.key.get_key_with(uri, &self.headers, &self.extensions)?;
        let key = self.cache.whole_key(key, &self.headers);
        Some(Address::of(&self.cache.memo.shared.tag, key))
    }
}

impl<Q, K: KeyExtractor<Q>> Drop for Change<Q, K> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let addresses = Vec::from_iter(self.target.take());
        spawn_if_any(self.invalidation(Vec::new(), addresses));
    }
}

fn invalidation(
    shared: Arc<Shared<Form>>,
    hit_for_pass: Arc<HitForPass>,
    labels: Vec<Label>,
    addresses: Vec<Address>,
) -> BoxFuture<'static, ()> {
    let invalidation = async move {
        // Together: each may have to wait for a node that does not answer.
        tokio::join!(
            invalidate_labels(&shared, &labels),
            invalidate(&shared, &hit_for_pass, addresses)
        );
    };
    Box::pin(invalidation.in_current_span())
}

async fn invalidate_labels(shared: &Shared<Form>, labels: &[Label]) {
    if !labels.is_empty()
        && let Err(error) = shared.invalidate_labels(labels).await
    {
        shared.tags_failed("invalidate_labels", &error);
    }
}

async fn invalidate(shared: &Arc<Shared<Form>>, hit_for_pass: &HitForPass, addresses: Vec<Address>) {
    let mut invalidating = JoinSet::new();
    for address in addresses {
        hit_for_pass.remove(&address);
        let shared = Arc::clone(shared);
        let invalidate = async move {
            if let Err(error) = shared.invalidate(&address).await {
                shared.store_failed(&address, "invalidate", &error);
            }
        };
        invalidating.spawn(inherited(invalidate.in_current_span()));
    }
    // One that panics is no reason to leave the others.
    while invalidating.join_next().await.is_some() {}
}

/// The URI of another target of the same origin.
fn at_path(uri: &Uri, target: PathAndQuery) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).ok()
}
