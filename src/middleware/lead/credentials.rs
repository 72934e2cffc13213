//! Requests with credentials, whose responses are for others only where they say so.
//!
//! Whether such a response may be shared is known only once it is there. So the request does not wait: a miss goes to
//! the inner service at once. Meanwhile it tries to take the lease, without waiting for it, so that a response that
//! says that it is for all such requests can be stored, fenced like every other. That response is the *record* from
//! then on. As long as the record is stored, fresh or stale, or this process remembers it, requests like the first one
//! wait, lead and refresh as all others do.
//!
//! A response that does not say so reaches its own client only. It goes neither to followers nor to the store. It
//! leaves no marker either, because it means nothing for requests without credentials.

use std::sync::Arc;

use http::Response;
use tokio::time::Instant;

use super::unshared::Unshared;
use super::{begin, task};
use crate::key::Address;
use crate::memo;
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::lead::begin::computing_as;
use crate::middleware::lookup::{Miss, VariantAddress};
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::policy::sharing::{Reason, Sharing};
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::tally::Answer;

/// Whether requests like this one are known to have had a response in common.
pub(crate) fn has_record(cache: &Cache, address: &Address, constraints: &RequestConstraints) -> bool {
    let seen = cache.credential_history.seen(address, Instant::now());
    seen.is_some_and(|seen| seen.permits(constraints))
}

/// Whether the last response to a request like this one was for its client only.
pub(crate) fn is_refused(cache: &Cache, address: &Address, constraints: &RequestConstraints) -> bool {
    let seen = cache.credential_history.seen(address, Instant::now());
    seen.is_some_and(|seen| seen.refuses(constraints))
}

/// Sends the request to the inner service at once, and stores a response that says that it is for more than this
/// request.
pub(crate) async fn ask_alone(
    cache: Arc<Cache>,
    mut call: InnerCall,
    miss: Miss,
    constraints: RequestConstraints,
) -> Step<Answer> {
    let VariantAddress { address, fingerprint } = &miss.variant;
    if is_refused(&cache, address, &constraints) {
        let address = address.clone();
        return ask_again(cache, call, address, constraints, miss.why).await;
    }
    if fingerprint.is_some_and(|fingerprint| !cache.vary.admit(&miss.first, fingerprint)) {
        let decision = Forwarded::because(Forward::VaryMiss).bypassed(Reason::TooManyVariants);
        return begin::by_itself(call, decision);
    }
    if cache.memo.shared.counters.recorded_bytes.get() >= cache.responses.max_recording {
        let decision = Forwarded::because(miss.why).bypassed(Reason::NoRoom);
        return begin::by_itself(call, decision);
    }
    match memo::background::solo::lead(
        &cache.memo.shared,
        address,
        &cache.memo.config,
        computing_as(call.headers()),
    )
    .await
    {
        Some(lead) => {
            let computation = begin::computation(&cache, lead, &mut call.head, miss);
            Step::then(async move { Step::Done(task::run(computation, call).await) })
        }
        None => {
            let decision = Forwarded::because(miss.why).bypassed(Reason::Credentials);
            begin::by_itself(call, decision)
        }
    }
}

/// Sends the request to the inner service, where the last response to such a request was for its client only. The
/// first response that is for more requests ends that.
pub(crate) async fn ask_again(
    cache: Arc<Cache>,
    call: InnerCall,
    address: Address,
    constraints: RequestConstraints,
    why: Forward,
) -> Step<Answer> {
    let decision = Forwarded::because(why).bypassed(Reason::Credentials);
    let alone = Unshared::call(call, Credentials::Unknown(constraints), &cache.responses);
    let (head, body, sharing) = match alone.await {
        Ok(alone) => (alone.head, alone.body, alone.sharing),
        Err(error) => return Step::Done(Answer::failed(error, decision)),
    };
    if let Sharing::Store(_) = sharing {
        cache.credential_history.forget(&address);
    }
    let response = Response::from_parts(head, ReplyBody::inner(body));
    Step::Done(Answer::new(response, decision))
}
