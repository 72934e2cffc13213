//! How a request comes to its response: by a hit, by waiting for another one, by leading, or by itself.

mod followed;

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;

use self::followed::{follow, gave_up, or_stale};
use super::at_limit::{reached, refuse};
use super::hit::{self, NextStep, computed_at};
use super::soft_timeout::{answer_or_stale, stand_by};
use super::{refresh, stand_in};
use crate::key::Address;
use crate::memo::{self, Aim, Caller, Config, Lead, Obtained, Outcome, QueueTurn};
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::lead::begin::{self, computing_as};
use crate::middleware::lead::credentials;
use crate::middleware::lead::deferred::{lead_or_wait, waited_too_long};
use crate::middleware::lead::marker;
use crate::middleware::lead::on_path;
use crate::middleware::lookup::{Miss, VariantAddress};
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::reason::Reason;
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::StoredResponse;
use crate::task::BoxFuture;
use crate::trace;

/// At how many addresses of one response a request waits before it goes its own way: the key's, its variant's, and one
/// more for a response that has begun to vary by other fields.
const MAX_ADDRESSES: u8 = 3;

/// The next step of a request that has waited.
enum After {
    /// It is answered.
    Answer(Answer),
    Lead(Lead<Arc<StoredResponse>>),
    /// It is answered with this response, which is computed anew meanwhile.
    Refresh(Arc<StoredResponse>),
    /// It goes to the inner service by itself, and holds this meanwhile.
    Turn(QueueTurn),
    /// It waits once more, at the address where its response would be now, unless it has waited often enough for this
    /// reason.
    Again(Reason),
    /// It goes to the inner service by itself.
    Direct(Reason),
}

/// Hit, follow or lead, unless it is known that there is no response for the request.
pub(crate) fn give(
    cache: Arc<Cache>,
    mut call: InnerCall,
    address: Address,
    constraints: RequestConstraints,
    can_lead: bool,
) -> BoxFuture<'static, Step<Answer>> {
    if cache.hit_for_pass.stands(&address, Instant::now) {
        mark(&cache, &mut call, &address);
        return Box::pin(marker::pass_by(cache, call, address, Credentials::known(constraints)));
    }
    // Where no response was ever for requests like this one, it need not even look.
    if !cache.credential_history.may_admit(&constraints) && credentials::is_refused(&cache, &address, &constraints) {
        mark(&cache, &mut call, &address);
        return Box::pin(credentials::ask_again(
            cache,
            call,
            address,
            constraints,
            Forward::UriMiss,
        ));
    }
    look(cache, call, address, constraints, can_lead)
}

/// Hit, follow or lead.
fn look(
    cache: Arc<Cache>,
    mut call: InnerCall,
    address: Address,
    constraints: RequestConstraints,
    can_lead: bool,
) -> BoxFuture<'static, Step<Answer>> {
    let credentials = Credentials::known(constraints);
    Box::pin(async move {
        let mut aim = cache.aim(call.headers(), &call.head.extensions);
        let arrived = cache.memo.shared.clock.tick();
        let (variant, stale, why) = {
            let next = hit::next_step(&cache, &address, &call.head, credentials, can_lead, &mut aim).await;
            // Most requests that find nothing wait for others, and need no mark for that.
            if !matches!(next, NextStep::Done(_) | NextStep::Miss(..)) {
                mark(&cache, &mut call, &address);
            }
            match next {
                NextStep::Done(answer) => return Step::Done(answer),
                NextStep::Refresh(variant, stored) => return refreshed(&cache, call, variant, stored, credentials),
                #[cfg(feature = "admin")]
                NextStep::Verify(stored) => {
                    hit::verify(&cache, call, Arc::clone(&stored), &address);
                    return Step::Done(hit::replay(&cache, stored, Instant::now(), Reason::Expired));
                }
                NextStep::PassBy(address) => return Step::then(marker::pass_by(cache, call, address, credentials)),
                NextStep::Direct(decision) => return begin::by_itself(call, decision),
                NextStep::Miss(variant, stale, why) => (variant, stale, why),
            }
        };
        let context = computing_as(call.headers());
        let mut miss = Miss {
            first: address,
            variant,
            stale,
            why,
            credentials,
            can_lead,
            aim,
            caller: Caller { arrived, context },
        };
        if !may_wait(&cache, &miss, &constraints) {
            miss.credentials = Credentials::Unknown(constraints);
            mark(&cache, &mut call, &miss.first);
            return Step::then(credentials::ask_alone(cache, call, miss, constraints));
        }
        if let Some(answer) = stand_in::paused(&cache, &miss, call.headers()).await {
            return Step::Done(answer);
        }
        match stand_by(&cache, &miss) {
            Some((stale, time)) => {
                // Marked beforehand: the task that the request goes on in does not know the path to here.
                mark(&cache, &mut call, &miss.first);
                let work = follow_or_lead(Arc::clone(&cache), call, miss);
                Step::then(answer_or_stale(cache, work, stale, time))
            }
            None => Step::then(follow_or_lead(cache, call, miss)),
        }
    })
}

/// Whether a request may wait for others, as far as its credentials go: something is known of responses to requests
/// like it.
fn may_wait(cache: &Cache, miss: &Miss, constraints: &RequestConstraints) -> bool {
    miss.stale.is_some()
        || !constraints.has_credentials()
        || credentials::has_record(cache, &miss.variant.address, constraints)
}

/// Answers a request with a response that is computed anew meanwhile.
pub(super) fn refreshed(
    cache: &Arc<Cache>,
    call: InnerCall,
    variant: VariantAddress,
    stored: Arc<StoredResponse>,
    credentials: Credentials,
) -> Step<Answer> {
    let reason = refresh::start(cache, call, variant, &stored, credentials);
    Step::Done(hit::replay(cache, stored, Instant::now(), reason))
}

/// Marks a request that may go on to the inner service, once it is known that it may: a hit needs no mark.
pub(super) fn mark(cache: &Cache, call: &mut InnerCall, address: &Address) {
    on_path::mark(&mut call.head.extensions, &cache.memo.shared.store, address);
}

/// Follow or lead.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
fn follow_or_lead(cache: Arc<Cache>, mut call: InnerCall, mut miss: Miss) -> impl Future<Output = Step<Answer>> + Send {
    async move {
        let own = own_config(&cache, miss.aim);
        // One patience for all that the request waits for.
        let mut patience = cache.memo.config.patience();
        let mut reason = Reason::Unsettled;
        for _ in 0..MAX_ADDRESSES {
            let VariantAddress { address, fingerprint } = &miss.variant;
            if fingerprint.is_some_and(|fingerprint| !cache.vary.admit(&miss.first, fingerprint)) {
                mark(&cache, &mut call, &miss.first);
                let decision = Forwarded::because(Forward::VaryMiss).bypassed(Reason::TooManyVariants);
                return begin::by_itself(call, decision);
            }
            let config = own.as_deref().unwrap_or(&cache.memo.config);
            let has_room = || cache.memo.shared.counters.recorded_bytes.get() < cache.responses.max_recording;
            let caller = &mut miss.caller;
            let obtained = memo::turn::obtain(&cache.memo, address, config, &mut patience, caller, has_room);
            let obtained = obtained.await;
            // It waits once more as if it had just come.
            miss.caller.arrived = cache.memo.shared.clock.tick();
            trace::waited(patience.waited());
            let after = Box::pin(after(&cache, obtained, &mut miss, call.headers())).await;
            if !matches!(after, After::Answer(_) | After::Again(_)) {
                mark(&cache, &mut call, &miss.first);
            }
            match after {
                After::Answer(answer) => return Step::Done(answer),
                After::Lead(lead) if cache.may_defer() && lead.held => {
                    return lead_or_wait(cache, lead, call, miss, patience);
                }
                After::Lead(lead) => return begin::lead(&cache, lead, call, miss),
                After::Turn(turn) => return then_in_turn(call, miss.why, turn),
                After::Refresh(stored) => {
                    let variant = computed_at(&miss.first, miss.variant, &stored);
                    return refreshed(&cache, call, variant, stored, miss.credentials);
                }
                After::Again(why) => reason = why,
                After::Direct(why) => {
                    reason = why;
                    break;
                }
            }
        }
        if let Some(answer) = Box::pin(stand_in::paused(&cache, &miss, call.headers())).await {
            return Step::Done(answer);
        }
        mark(&cache, &mut call, &miss.first);
        let decision = Forwarded::because(miss.why).collapsed(false).bypassed(reason);
        begin::by_itself(call, decision)
    }
}

/// The settings for a request that wants something else than most.
fn own_config(cache: &Cache, aim: Aim) -> Option<Box<Config>> {
    let common = cache.memo.config;
    // Boxed, or all waiters would keep room for it.
    (aim != common.aim).then(|| Box::new(Config { aim, ..common }))
}

/// Has the request go to the inner service by itself, in its turn, which ends with the body of the response.
fn then_in_turn(call: InnerCall, why: Forward, turn: QueueTurn) -> Step<Answer> {
    let decision = Forwarded::because(why).collapsed(false).bypassed(Reason::Queued);
    let step = begin::by_itself(call, decision);
    Step::then(async move {
        let answer = step.finish().await;
        Step::Done(answer.map_body(|body| body.in_turn(turn)))
    })
}

/// The next step of a request that has obtained this.
async fn after(cache: &Cache, obtained: Obtained<Arc<StoredResponse>>, miss: &mut Miss, headers: &HeaderMap) -> After {
    match obtained {
        Obtained::Told(Outcome::Ready(stored), by) => follow(cache, stored, by, miss, headers).await,
        // The response may be another variant, or not for this client.
        Obtained::Told(Outcome::Soft(found), _) => match follow(cache, found.value, None, miss, headers).await {
            After::Refresh(stored) if !miss.can_lead => {
                After::Answer(hit::replay(cache, stored, Instant::now(), Reason::StaleWhileRevalidate))
            }
            after => after,
        },
        Obtained::Told(Outcome::Part(beginning), _) => {
            let address = &miss.variant.address;
            let shared = &cache.memo.shared;
            match cache.incoming.open(shared, address, *beginning, &cache.responses) {
                Some(stored) => follow(cache, stored, None, miss, headers).await,
                None => After::Again(Reason::LeaderFailed),
            }
        }
        Obtained::Lead(lead) => After::Lead(lead),
        Obtained::Turn(turn) => After::Turn(turn),
        Obtained::Told(Outcome::Limited(limit), _) => {
            let reason = reached(limit);
            let refusal = refuse(cache, headers, reason);
            refusal.map_or(After::Direct(reason), After::Answer)
        }
        Obtained::Told(Outcome::Pass, _) => {
            if miss.credentials.has_credentials() {
                cache.credential_history.forget(&miss.variant.address);
            }
            After::Direct(Reason::LeaderPassed)
        }
        Obtained::TimedOut if cache.may_defer() => After::Answer(waited_too_long(headers, miss.why)),
        Obtained::TimedOut => After::Direct(Reason::Timeout),
        Obtained::Told(Outcome::Stale, _) => or_stale(cache, miss, headers, After::Again, Reason::LeaderFailed).await,
        Obtained::Told(Outcome::Failed(_), _) => {
            or_stale(cache, miss, headers, After::Direct, Reason::LeaderFailed).await
        }
        Obtained::GaveUp(past) => or_stale(cache, miss, headers, After::Direct, gave_up(past)).await,
    }
}
