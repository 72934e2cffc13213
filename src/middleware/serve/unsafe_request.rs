//! Unsafe requests, which make what is stored for their target out of date (RFC 9111, 4.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::key::{Address, Key, Label};
use crate::memo::{Receipt, Shared};
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::known::hit_for_pass::HitForPass;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::groups;
use crate::middleware::policy::invalidation::{has_changed, locations};
use crate::middleware::policy::origin::{Origin, uri_as_received};
use crate::middleware::policy::reason::Reason;
use crate::middleware::policy::recency::RECEIPT;
use crate::middleware::respond::future::{Step, direct};
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::Form;
use crate::store::Purge;
use crate::task::{BoxFuture, spawn, spawn_if_any};

/// Makes the key of a `GET` for a URI, with these fields and extensions.
pub(crate) type FindKey = Box<dyn Fn(&Uri, &HeaderMap, &Extensions) -> Option<Key> + Send>;

/// An unsafe request under way.
///
/// A request that ends without an answer, because its client has hung up or the inner service failed, may have changed
/// something all the same. So dropping this makes the request's target out of date.
pub(crate) struct Change {
    cache: Arc<Cache>,
    find_key: FindKey,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    /// Asked for at the beginning: a key extractor may panic, and must not be asked while this is dropped.
    target: Option<Address>,
    settled: bool,
}

impl Change {
    pub(crate) fn new(cache: Arc<Cache>, find_key: FindKey, request: &Parts) -> Self {
        let mut change = Self {
            cache,
            find_key,
            method: request.method.clone(),
            uri: uri_as_received(&request.uri, &request.extensions).clone(),
            headers: request.headers.clone(),
            extensions: request.extensions.clone(),
            target: None,
            // Nothing has been changed by a request that has no key yet.
            settled: true,
        };
        change.target = change.address(&change.uri);
        change.settled = false;
        change
    }

    /// The key that it makes out of date, if there is one.
    pub(crate) fn target(&self) -> Option<&Address> {
        self.target.as_ref()
    }

    /// Asks the inner service, and removes what is out of date before the answer goes on: a client that has the answer
    /// finds nothing from before.
    pub(crate) fn carry_out(self, call: InnerCall) -> BoxFuture<'static, Step<Answer>> {
        Box::pin(async move { Step::Done(self.carried_out(call).await) })
    }

    async fn carried_out(mut self, call: InnerCall) -> Answer {
        let mut answer = direct(call, Forwarded::because(Forward::Method).bypassed(Reason::Method)).await;
        let Ok(response) = &mut answer.result else {
            return answer;
        };
        let mut addresses = Vec::new();
        let has_changed = has_changed(response.status());
        if has_changed {
            addresses.extend(self.target.clone());
            for target in locations(&self.uri, &self.headers, response.headers()) {
                addresses.extend(at_path(&self.uri, target).and_then(|uri| self.address(&uri)));
            }
        }
        let groups = groups::invalidated(&self.method, response.headers());
        let labels = self.labels(&groups);
        let receipted = self.cache.requests.receipts && (has_changed || !labels.is_empty());
        // A client that hangs up now has changed something all the same, and the store may take its time.
        let (receipts, receipt) = oneshot::channel();
        let invalidation = self.invalidation(labels, addresses, receipted);
        spawn(Box::pin(async move {
            // A client that has left needs none.
            let _ = receipts.send(invalidation.await);
        }));
        self.settled = true;
        // A panic in it is no reason to keep the answer back.
        if let Ok(Some(receipt)) = receipt.await {
            if let Ok(value) = HeaderValue::try_from(receipt.to_string()) {
                response.headers_mut().append(RECEIPT, value);
            }
            response.extensions_mut().insert(receipt);
        }
        answer
    }

    fn invalidation(
        &self,
        labels: Vec<Label>,
        addresses: Vec<Address>,
        receipted: bool,
    ) -> BoxFuture<'static, Option<Receipt>> {
        let (shared, hit_for_pass) = (&self.cache.memo.shared, &self.cache.hit_for_pass);
        invalidation(
            Arc::clone(shared),
            Arc::clone(hit_for_pass),
            labels,
            addresses,
            receipted,
        )
    }

    fn labels(&self, groups: &[String]) -> Vec<Label> {
        if groups.is_empty() {
            return Vec::new();
        }
        let origin = Origin::new(&self.uri, &self.headers);
        groups.iter().map(|name| origin.group(name)).collect()
    }

    fn address(&self, uri: &Uri) -> Option<Address> {
        let key = (self.find_key)(uri, &self.headers, &self.extensions)?;
        let key = self.cache.whole_key(key, &self.headers);
        Some(Address::of(&self.cache.memo.shared.tag, key))
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let addresses = Vec::from_iter(self.target.take());
        let invalidating = self.invalidation(Vec::new(), addresses, false);
        spawn_if_any(Box::pin(async move {
            let _ = invalidating.await;
        }));
    }
}

fn invalidation(
    shared: Arc<Shared<Form>>,
    hit_for_pass: Arc<HitForPass>,
    labels: Vec<Label>,
    addresses: Vec<Address>,
    receipted: bool,
) -> BoxFuture<'static, Option<Receipt>> {
    let invalidation = async move {
        // All together: each may have to wait for a node that does not answer.
        let (receipt, labels, addresses) = tokio::join!(
            async {
                match receipted {
                    true => shared.receipt().await,
                    false => Receipt::NONE,
                }
            },
            invalidate_labels(&shared, &labels),
            invalidate(&shared, &hit_for_pass, addresses)
        );
        // There is no receipt for an invalidation of which the store was not told.
        (labels && addresses && receipt != Receipt::NONE).then_some(receipt)
    };
    Box::pin(invalidation.in_current_span())
}

/// Whether the store has taken it.
async fn invalidate_labels(shared: &Shared<Form>, labels: &[Label]) -> bool {
    if !labels.is_empty()
        && let Err(error) = shared.invalidate_labels(labels, Purge::Hard).await
    {
        shared.tags_failed("invalidate_labels", &error);
        return false;
    }
    true
}

/// Whether the store has taken it.
async fn invalidate(shared: &Arc<Shared<Form>>, hit_for_pass: &HitForPass, addresses: Vec<Address>) -> bool {
    let refused = Arc::new(AtomicBool::new(false));
    let mut invalidating = Vec::new();
    for address in addresses {
        hit_for_pass.remove(&address);
        let (shared, refused) = (Arc::clone(shared), Arc::clone(&refused));
        let invalidate = async move {
            if let Err(error) = shared.invalidate(&address, Purge::Hard).await {
                shared.store_failed(&address, "invalidate", &error);
                refused.store(true, Ordering::Relaxed);
            }
        };
        invalidating.push(spawn(Box::pin(invalidate.in_current_span())));
    }
    // A panic in one is no reason to leave the others.
    let mut ended = true;
    for one in invalidating {
        ended &= one.await.is_ok();
    }
    ended && !refused.load(Ordering::Relaxed)
}

/// The URI of another target of the same origin.
fn at_path(uri: &Uri, target: PathAndQuery) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).ok()
}
