//! Requests that get no more than a part of a stored response: they lead no computation, and wait for none.
//!
//! Nor do they change anything. RFC 9111, 4.3.5 lets the answer to a `HEAD` update or invalidate the stored response.
//! But a `HEAD` that reaches the inner service has found nothing, or a stale response that will be validated before it
//! is used. And a client that gets another head by a field that is not in the key would invalidate, again and again,
//! the responses that others compute.

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;

use super::{answer, hit, parts};
use crate::key::Address;
use crate::memo::Aim;
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::known::pauses::Pause;
use crate::middleware::lead::begin;
use crate::middleware::lead::credentials;
use crate::middleware::lead::pause;
use crate::middleware::lookup::{self, Depth, Lookup, VariantAddress};
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::reason::Reason;
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::refusal::not_stored;
use crate::middleware::respond::replay::{self, Portion};
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::StoredResponse;
use crate::task::BoxFuture;

/// A stored response for a request that must neither wait for another request nor lead others.
pub(crate) fn read(
    cache: Arc<Cache>,
    mut call: InnerCall,
    address: Address,
    constraints: RequestConstraints,
) -> BoxFuture<'static, Step<Answer>> {
    Box::pin(async move {
        answer::mark(&cache, &mut call, &address);
        let now = Instant::now();
        let mut aim = cache.aim(call.headers(), &call.head.extensions);
        let (mut depth, mut again) = (Depth::Head, true);
        let (variant, why, reason) = loop {
            let found = lookup::find(&cache, &address, call.headers(), depth).await;
            if let (Aim::Since(_), Lookup::Stored(_, stored)) = (aim, &found)
                && !stored.meets(aim)
            {
                aim = Box::pin(cache.settled(aim, &call.head)).await;
            }
            match found {
                Lookup::Stored(variant, stored) if !stored.meets(aim) => {
                    break (variant, Forward::Request, constraints.reason());
                }
                Lookup::Stored(variant, stored) if !may_serve(&cache, &variant, &stored, constraints, now) => {
                    break (variant, Forward::Stale, constraints.reason());
                }
                Lookup::Stored(variant, stored) if !constraints.admits(stored.meta()) => {
                    break (variant, Forward::Request, Reason::Credentials);
                }
                Lookup::Stored(_, stored)
                    if again && depth == Depth::Whole && parts::is_crowded_beside(&cache, &stored) =>
                {
                    (depth, again) = (Depth::Head, false);
                }
                Lookup::Stored(variant, stored) => {
                    let headers = call.headers();
                    let part = Box::pin(parts::portion(&cache, &variant.address, &stored, constraints, headers));
                    // The store has another response by now, or the response has to be read as a whole.
                    let Ok(part) = part.await else {
                        depth = Depth::Whole;
                        continue;
                    };
                    return Step::Done(narrowed(&cache, stored, part, constraints, headers, now));
                }
                Lookup::Nothing(variant) if variant.fingerprint.is_some() => {
                    break (variant, Forward::VaryMiss, constraints.reason());
                }
                Lookup::Nothing(variant) | Lookup::Marker(variant) => {
                    break (variant, Forward::UriMiss, constraints.reason());
                }
                Lookup::Unsettled => {
                    break (VariantAddress::first(&address), Forward::UriMiss, constraints.reason());
                }
            }
        };
        match refused(&cache, &variant, constraints, call.headers()) {
            Some(refused) => Step::Done(refused),
            None => begin::by_itself(call, Forwarded::because(why).bypassed(reason)),
        }
    })
}

/// The answer to a request that wants no more than this part of the stored response.
fn narrowed(
    cache: &Cache,
    stored: Arc<StoredResponse>,
    part: Portion,
    constraints: RequestConstraints,
    headers: &HeaderMap,
    now: Instant,
) -> Answer {
    let reason = match stored.serves_meanwhile(now) {
        true => Reason::StaleWhileRevalidate,
        false => Reason::Pause,
    };
    let decision = hit::outcome(cache, &stored, now, reason);
    let narrowed = replay::narrowed(stored, part, constraints, headers, now, cache.cache_status, reason);
    Answer::new(narrowed, decision)
}

/// The answer to a request that has no stored response, where it is not to go to the inner service.
fn refused(
    cache: &Cache,
    variant: &VariantAddress,
    constraints: RequestConstraints,
    headers: &HeaderMap,
) -> Option<Answer> {
    if constraints.only_if_cached {
        return Some(Answer::new(not_stored(), Decision::refused(Reason::OnlyIfCached)));
    }
    let answer = pause::answer(pause_for(cache, variant, constraints)?, headers);
    // A response made of an error may have a body.
    let answer = match constraints.head {
        true => answer.map(|_| ReplyBody::empty()),
        false => answer,
    };
    Some(Answer::new(answer, Decision::refused(Reason::Pause)))
}

fn may_serve(
    cache: &Cache,
    variant: &VariantAddress,
    stored: &StoredResponse,
    constraints: RequestConstraints,
    now: Instant,
) -> bool {
    let meanwhile = stored.is_fresh_at(now) || stored.serves_meanwhile(now);
    meanwhile || (stored.serves_on_error(now) && pause_for(cache, variant, constraints).is_some())
}

/// The pause that stands for a request like this one. A request with credentials heeds it only where there is a
/// record: otherwise its response may be its client's own, and the failure of others says nothing of it.
fn pause_for(cache: &Cache, variant: &VariantAddress, constraints: RequestConstraints) -> Option<Pause> {
    let pause = cache.pauses.of(&variant.address, Instant::now())?;
    let is_alike = !constraints.has_credentials() || credentials::has_record(cache, &variant.address, &constraints);
    is_alike.then_some(pause)
}
