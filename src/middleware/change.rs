//! Unsafe requests, which make what is stored for their target out of date (RFC 9111, 4.4).

use std::marker::PhantomData;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use tower_service::Service;
use tracing::Instrument;

use super::body::MemoBody;
use super::cache_status::{Forward, Forwarded};
use super::future::{Direct, Step};
use super::key_extractor::{KeyExtractor, uri_as_received};
use super::origin::Origin;
use super::policy::groups;
use super::policy::invalidation::{has_changed, locations};
use super::settings::Settings;
use crate::key::{Address, Label};

/// An unsafe request under way.
///
/// One that ends without an answer, because its client has hung up or the inner service failed, may have changed
/// something all the same: dropping this makes its target out of date.
pub(crate) struct Change<Q, K: KeyExtractor<Q>> {
    settings: Arc<Settings<K>>,
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
    pub(crate) fn new(settings: &Arc<Settings<K>>, request: &Request<Q>) -> Self {
        let mut change = Self {
            settings: Arc::clone(settings),
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

    /// Asks the inner service, and removes what is out of date before the answer goes on: whoever has it finds nothing
    /// from before.
    pub(crate) async fn carry_out<S, ResBody>(
        mut self,
        service: S,
        request: Request<K::Body>,
    ) -> Step<Result<Response<MemoBody<ResBody>>, S::Error>>
    where
        S: Service<Request<K::Body>, Response = Response<ResBody>>,
    {
        let forwarded = self.settings.cache_status.then(|| Forwarded::because(Forward::Method));
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
        let settings = Arc::clone(&self.settings);
        // A client that hangs up now has changed something all the same, and the store may take its time.
        let invalidating = tokio::spawn(
            async move {
                invalidate_labels(&settings, &labels).await;
                invalidate(&settings, addresses).await;
            }
            .in_current_span(),
        );
        self.settled = true;
        // One that panicked is no reason to keep the answer back.
        let _ = invalidating.await;
        Step::Done(answer)
    }

    fn labels(&self, groups: &[String]) -> Vec<Label> {
        if groups.is_empty() {
            return Vec::new();
        }
        let origin = Origin::new(&self.uri, &self.headers);
        groups.iter().map(|name| origin.group(name)).collect()
    }

    fn address(&self, uri: &Uri) -> Option<Address> {
        let key = self.settings.key.get_key_with(uri, &self.headers, &self.extensions)?;
        let key = self.settings.whole_key(key, &self.headers);
        Some(Address::of(&self.settings.memo.shared.tag, key))
    }
}

impl<Q, K: KeyExtractor<Q>> Drop for Change<Q, K> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let addresses = Vec::from_iter(self.target.take());
        let settings = Arc::clone(&self.settings);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { invalidate(&settings, addresses).await });
        }
    }
}

async fn invalidate_labels<K>(settings: &Settings<K>, labels: &[Label]) {
    let shared = &settings.memo.shared;
    if !labels.is_empty()
        && let Err(error) = shared.invalidate_labels(labels).await
    {
        shared.tags_failed("invalidate_labels", &error);
    }
}

async fn invalidate<K>(settings: &Settings<K>, addresses: Vec<Address>) {
    for address in addresses {
        settings.markers.remove(&address);
        if let Err(error) = settings.memo.shared.invalidate(&address).await {
            settings.memo.shared.store_failed(&address, "invalidate", &error);
        }
    }
}

/// The URI of another target of the same origin.
fn at_path(uri: &Uri, target: PathAndQuery) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).ok()
}
