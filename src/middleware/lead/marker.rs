//! Requests for a response that is marked as not to be shared go to the inner service in parallel, see [`HitForPass`].
//!
//! A response that turns out to be for its own request only leaves a marker, in the store in the place of a response
//! and in this process in [`HitForPass`]. As long as the marker stands, requests neither wait nor are waited for: they
//! go to the inner service in parallel. The first response that turns out shareable after all removes the marker. So a
//! single unshareable response, or the client that provoked it, cannot keep others apart for longer than that.
//!
//! A marker is a hint. Where it stands in one process and not in another, that costs calls and never an answer.

use std::sync::Arc;

use http::Response;
use tokio::time::Instant;

use super::unshared::Unshared;
use crate::error::{BoxError, StoreError};
use crate::key::Address;
use crate::memo::Shared;
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::known::hit_for_pass::{HitForPass, SPREAD};
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::reason::Reason;
use crate::middleware::policy::sharing::Sharing;
use crate::middleware::recording::trial::Candidate;
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::{Form, StoredResponse};
use crate::store::{Store, Value};
use crate::task::{BoxFuture, spawn_if_any};

/// A marker was found in the store.
pub(crate) fn learn(cache: &Cache, address: &Address) {
    // The store does not say how long the marker still stands there.
    let rules = &cache.responses;
    let time = rules.random.shortened(rules.pass_marker, SPREAD);
    cache.hit_for_pass.put(address, Instant::now(), time);
}

/// Sends the request to the inner service, whatever other requests do, and removes the marker if the response can
/// be shared after all.
pub(crate) async fn pass_by(
    cache: Arc<Cache>,
    call: InnerCall,
    address: Address,
    credentials: Credentials,
) -> Step<Answer> {
    cache.memo.shared.counters.marked.add();
    let decision = Forwarded::because(Forward::UriMiss).bypassed(Reason::Marked);
    let alone = match Unshared::call(call, credentials, &cache.responses).await {
        Ok(alone) => alone,
        Err(error) => return Step::Done(Answer::failed(error, decision)),
    };
    let Unshared {
        method,
        head,
        body,
        control,
        sharing,
    } = alone;
    let set_cookie = cache.responses.set_cookie_of(&control);
    let is_candidate = !matches!(sharing, Sharing::Pass(_)) && !head.status.is_server_error();
    let headers = is_candidate.then(|| head.headers.clone());
    let Some(headers) = headers else {
        let response = Response::from_parts(head, ReplyBody::inner(body));
        return Step::Done(Answer::new(response, decision));
    };
    let candidate = Candidate {
        method,
        status: head.status,
        headers,
        sharing,
        set_cookie,
    };
    let is_sized = candidate.is_sized(&body.size_hint());
    let (hit_for_pass, shared) = (Arc::clone(&cache.hit_for_pass), Arc::clone(&cache.memo.shared));
    let mut trial = candidate.trial(&cache.responses, Instant::now(), is_sized, move |took_long| {
        unmark(&shared, &hit_for_pass, &address, took_long);
    });
    if body.is_end_stream() {
        trial.see::<BoxError>(None, true);
    }
    let response = Response::from_parts(head, ReplyBody::tried(body, trial));
    Step::Done(Answer::new(response, decision))
}

/// The response can be shared after all. Where its body `took_long`, followers wait longer for it from now on.
pub(crate) fn unmark(shared: &Arc<Shared<Form>>, hit_for_pass: &HitForPass, address: &Address, took_long: bool) {
    if took_long {
        hit_for_pass.ends.learn(address);
    }
    if !hit_for_pass.remove(address) {
        return;
    }
    tracing::debug!(address = %address.readable(), "the response can be shared after all");
    spawn_if_any(unmarking(Arc::clone(shared), address.clone()));
}

fn unmarking(shared: Arc<Shared<Form>>, address: Address) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let unmarked = match stored_marker(&shared, &address).await {
            Ok(Some(marker)) => shared.store.unmark(&address, &marker).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = unmarked {
            shared.store_failed(&address, "unmark", &error);
        }
    })
}

/// The marker to remove, byte for byte. Where every value has a stamp, that is the marker that is stored.
async fn stored_marker(shared: &Shared<Form>, address: &Address) -> Result<Option<Value>, StoreError> {
    if !shared.stamps_all() {
        let marker = Arc::new(StoredResponse::marker());
        return Ok(Some(Value::native(address, &shared.codec, marker)));
    }
    let is_marker = |found: &Value| {
        let found = shared.decode(address, &mut found.clone());
        found.is_some_and(|found| found.value.meta().is_marker)
    };
    Ok(shared.store.lookup(address).await?.filter(is_marker))
}
