//! What use a stored response is to a request; and hits in this process, which take no task, no wait and no command to
//! Redis.

use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;
use tokio::time::Instant;

use super::at_limit::refuse;
use super::parts;
use crate::key::Address;
use crate::memo::{Aim, Limit};
use crate::middleware::cache::Cache;
#[cfg(feature = "admin")]
use crate::middleware::inner::InnerCall;
use crate::middleware::lead::marker;
use crate::middleware::lookup::{self, Lookup, VariantAddress};
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::early;
use crate::middleware::policy::reason::{Reason, RequestOutcome};
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::respond::replay::{self, HitReply};
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::{Form, StoredResponse};
use crate::store::{Peeked, Store};
use crate::trace;

/// What this process has for a request.
pub(crate) enum FreshHit {
    /// The request is part of the computation of its own response.
    Reentry,
    Answer(HitReply),
    /// An answer, to be computed anew meanwhile.
    Refresh(VariantAddress, Peeked<Form>),
    /// An answer, to be compared with a new one.
    #[cfg(feature = "admin")]
    Verify(Peeked<Form>),
    None,
}

/// What use a stored response is to a request.
pub(crate) enum Use {
    /// An answer.
    Hit,
    /// An answer, to be computed anew meanwhile.
    Refresh,
    /// An answer, to be compared with a new one.
    #[cfg(feature = "admin")]
    Verify,
    /// No answer, unless computing it anew fails.
    Stale,
}

/// The next step of a request, given what is stored.
pub(super) enum NextStep {
    /// It is answered.
    Done(Answer),
    /// It is answered with this response, which is computed anew meanwhile.
    Refresh(VariantAddress, Arc<StoredResponse>),
    /// It is answered with this response, which is compared with a new one.
    #[cfg(feature = "admin")]
    Verify(Arc<StoredResponse>),
    /// A marker stands there.
    PassBy(Address),
    /// It goes to the inner service by itself.
    Direct(Decision),
    /// It follows or leads. A stale response may stand in for a failure.
    Miss(VariantAddress, Option<Arc<StoredResponse>>, Forward),
}

/// The answer to a request with these fields, where it is in this process and fresh.
pub(crate) fn find(
    cache: &Cache,
    address: &Address,
    headers: &HeaderMap,
    constraints: RequestConstraints,
    can_lead: bool,
) -> FreshHit {
    if !constraints.is_for_all_of_it() || !cache.memo.shared.store.can_peek() {
        return FreshHit::None;
    }
    let now = Instant::now();
    let mut variant = None;
    let Some(stored) = lookup::peek(cache, address, headers, now, &mut variant) else {
        return FreshHit::None;
    };
    if !constraints.admits(stored.meta()) {
        return FreshHit::None;
    }
    if constraints.has_credentials() {
        let address = variant.as_ref().map_or(address, |variant| &variant.address);
        let time = cache.responses.pass_marker;
        cache.credential_history.remember(address, &stored, now, time);
    }
    if can_lead && is_early(cache, &stored, now) && !cache.misuse.is_outside_runtime() {
        let variant = variant.unwrap_or_else(|| VariantAddress::first(address));
        return FreshHit::Refresh(variant, stored);
    }
    #[cfg(feature = "admin")]
    if can_lead && verifies(cache, &stored) {
        return FreshHit::Verify(stored);
    }
    FreshHit::Answer(reply(cache, stored, address, now))
}

/// The answer to a request for which this process has found this.
#[inline]
pub(crate) fn reply(cache: &Cache, stored: Peeked<Form>, address: &Address, now: Instant) -> HitReply {
    cache.memo.shared.counters.hits.add();
    let is_near = cache.memo.shared.store.is_near();
    let reason = if is_near { Reason::Near } else { Reason::Fresh };
    cache.tally.decide(RequestOutcome::Hit, reason, Some(address));
    trace::hit(address, reason.as_str(), stored.meta().computed_by);
    HitReply {
        stored,
        now,
        cache_status: cache.cache_status,
        is_near,
        key: cache.cache_status_key.then(|| Box::new(address.clone())),
    }
}

/// Whether a fresh response is to be computed anew already.
pub(crate) fn is_early(cache: &Cache, stored: &StoredResponse, now: Instant) -> bool {
    let beta = cache.responses.early_refresh;
    if beta <= 0.0 {
        return false;
    }
    let left = stored.fresh_at(now).unwrap_or_default();
    early::is_due(left, stored.meta().cost, beta, || cache.responses.random.unit())
}

/// What use a stored response is to a request. `can_lead` says that the request may lead a computation for which no
/// client waits.
pub(crate) fn use_of(cache: &Cache, stored: &StoredResponse, can_lead: bool, now: Instant) -> Use {
    if stored.is_fresh_at(now) {
        #[cfg(feature = "admin")]
        if can_lead && verifies(cache, stored) {
            return Use::Verify;
        }
        return match can_lead && is_early(cache, stored, now) {
            true => Use::Refresh,
            false => Use::Hit,
        };
    }
    match can_lead && stored.serves_meanwhile(now) {
        true => Use::Refresh,
        false => Use::Stale,
    }
}

/// The response, fresh or stale for this reason, as it is stored.
pub(super) fn replay(cache: &Cache, stored: Arc<StoredResponse>, now: Instant, reason: Reason) -> Answer {
    let decision = outcome(cache, &stored, now, reason);
    let response = match decision.outcome {
        RequestOutcome::Hit => replay::hit(stored, now, cache.cache_status),
        _ => replay::stale(stored, now, cache.cache_status.then_some(reason)),
    };
    Answer::new(response, decision)
}

/// The outcome of a request that gets this response, which may be stale for that reason.
pub(super) fn outcome(cache: &Cache, stored: &StoredResponse, now: Instant, reason: Reason) -> Decision {
    trace::computed_by(stored.meta().computed_by);
    let counters = &cache.memo.shared.counters;
    if stored.is_fresh_at(now) {
        counters.hits.add();
        return Decision::found(RequestOutcome::Hit, Reason::Fresh);
    }
    counters.stale.add();
    Decision::found(RequestOutcome::Stale, reason)
}

/// Whether this hit is to be verified.
#[cfg(feature = "admin")]
fn verifies(cache: &Cache, stored: &StoredResponse) -> bool {
    let verify = cache.verify.as_ref();
    verify.is_some_and(|verify| verify.is_due(stored) && !cache.misuse.is_outside_runtime())
}

/// Compares a hit with what the inner service says now.
#[cfg(feature = "admin")]
pub(crate) fn verify(cache: &Cache, call: InnerCall, stored: Arc<StoredResponse>, address: &Address) {
    let Some(verify) = &cache.verify else { return };
    let span = trace::verifying(address);
    let (shared, address) = (Arc::clone(&cache.memo.shared), address.clone());
    let differs = move || {
        let what = format_args!("a hit was verified: it is not what the inner service says now");
        shared.insight.failed(address.readable(), what);
    };
    verify.check(call, stored, cache.memo.config.max_computation, span, differs);
}

/// The next step of a request, given what is stored.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
pub(super) fn next_step(
    cache: &Cache,
    address: &Address,
    head: &Parts,
    credentials: Credentials,
    can_lead: bool,
    aim: &mut Aim,
) -> impl Future<Output = NextStep> + Send {
    async move {
        let headers = &head.headers;
        let found = parts::find_whole(cache, address, headers).await;
        let is_met = matches!(&found, Lookup::Stored(_, stored) if stored.meets(*aim));
        if !is_met && matches!(aim, Aim::Since(_)) {
            // Boxed, because most requests have no receipt.
            *aim = Box::pin(cache.settled(*aim, head)).await;
        }
        match found {
            // It cannot be read in parts.
            Lookup::Stored(variant, stored) if parts::is_crowded_beside(cache, &stored) => {
                drop(stored);
                cache.memo.shared.limited(&variant.address, Limit::Recording);
                match refuse(cache, headers, Reason::NoRoom) {
                    Some(refusal) => NextStep::Done(refusal),
                    None => NextStep::Direct(Forwarded::because(Forward::Bypass).bypassed(Reason::NoRoom)),
                }
            }
            Lookup::Stored(_, stored) if !credentials.may_have(stored.meta()) => {
                NextStep::Direct(Forwarded::because(Forward::Request).bypassed(Reason::Credentials))
            }
            Lookup::Stored(variant, stored) if !stored.meets(*aim) => {
                NextStep::Miss(computed_at(address, variant, &stored), None, Forward::Request)
            }
            Lookup::Stored(variant, stored) => next_step_with(cache, address, variant, stored, credentials, can_lead),
            Lookup::Marker(variant) => {
                marker::learn(cache, &variant.address);
                NextStep::PassBy(variant.address)
            }
            Lookup::Nothing(variant) => {
                let why = variant.fingerprint.map_or(Forward::UriMiss, |_| Forward::VaryMiss);
                NextStep::Miss(variant, None, why)
            }
            Lookup::Unsettled => NextStep::Direct(Forwarded::because(Forward::VaryMiss).bypassed(Reason::Unsettled)),
        }
    }
}

/// The next step of a request that may have this stored response, fresh or stale.
fn next_step_with(
    cache: &Cache,
    address: &Address,
    variant: VariantAddress,
    stored: Arc<StoredResponse>,
    credentials: Credentials,
    can_lead: bool,
) -> NextStep {
    let now = Instant::now();
    if credentials.has_credentials() {
        cache
            .credential_history
            .remember(&variant.address, &stored, now, cache.responses.pass_marker);
    }
    // A response that takes its place would break off the body that is read in parts.
    let may_refresh = can_lead && stored.apart_body().is_none();
    match use_of(cache, &stored, may_refresh, now) {
        Use::Hit => {
            let decision = outcome(cache, &stored, now, Reason::Expired);
            NextStep::Done(Answer::new(replay::hit(stored, now, cache.cache_status), decision))
        }
        Use::Refresh => NextStep::Refresh(computed_at(address, variant, &stored), stored),
        #[cfg(feature = "admin")]
        Use::Verify => NextStep::Verify(stored),
        Use::Stale => {
            let variant = computed_at(address, variant, &stored);
            NextStep::Miss(variant, Some(stored), Forward::Stale)
        }
    }
}

/// The address at which a stale response is computed anew. A soft invalidation concerns all variants, and the first new
/// variant that takes their place ends them all.
pub(super) fn computed_at(first: &Address, variant: VariantAddress, stored: &StoredResponse) -> VariantAddress {
    match stored.is_soft() {
        true => VariantAddress::first(first),
        false => variant,
    }
}
