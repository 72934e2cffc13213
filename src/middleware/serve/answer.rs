//! How a request comes to its response: by a hit, by waiting for another one, by leading, or by itself.

mod followed;

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;

use self::followed::{follow, gave_up, or_stale};
use super::at_limit::{reached, refuse};
use super::hit::{NextStep, computed_at};
use super::soft_timeout::{miss_or_stale, stand_by};
use crate::key::Address;
use crate::memo::{self, Aim, Caller, Config, Lead, MemoLock, Obtained, Outcome, QueueTurn};
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::lead::begin::computing_as;
use crate::middleware::lead::deferred::{lead_or_wait, waited_too_long};
use crate::middleware::lead::on_path;
use crate::middleware::lead::pause::paused;
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

#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
impl Cache {
    /// Hit, follow or lead, unless it is known that there is no response for the request.
    pub(crate) fn answer(
        self: Arc<Self>,
        mut call: InnerCall,
        address: Address,
        constraints: RequestConstraints,
        can_lead: bool,
    ) -> BoxFuture<'static, Step<Answer>> {
        if self.hit_for_pass.stands(&address, Instant::now) {
            self.mark(&mut call, &address);
            return Box::pin(self.pass_by(call, address, Credentials::known(constraints)));
        }
        // Where no response was ever for requests like this one, it need not even look.
        if !self.credential_history.may_admit(&constraints) && self.is_refused(&address, &constraints) {
            self.mark(&mut call, &address);
            return Box::pin(self.ask_again(call, address, constraints, Forward::UriMiss));
        }
        self.look(call, address, constraints, can_lead)
    }

    /// Hit, follow or lead.
    fn look(
        self: Arc<Self>,
        mut call: InnerCall,
        address: Address,
        constraints: RequestConstraints,
        can_lead: bool,
    ) -> BoxFuture<'static, Step<Answer>> {
        let credentials = Credentials::known(constraints);
        Box::pin(async move {
            let mut aim = self.aim(call.headers(), &call.head.extensions);
            let arrived = self.memo.shared.clock.tick();
            let (variant, stale, why) = {
                let next = self.next(&address, &call.head, credentials, can_lead, &mut aim).await;
                // Most requests that find nothing wait for others, and need no mark for that.
                if !matches!(next, NextStep::Done(_) | NextStep::Miss(..)) {
                    self.mark(&mut call, &address);
                }
                match next {
                    NextStep::Done(answer) => return Step::Done(answer),
                    NextStep::Refresh(variant, stored) => return self.refreshed(call, variant, stored, credentials),
                    #[cfg(feature = "admin")]
                    NextStep::Verify(stored) => {
                        self.verify(call, Arc::clone(&stored), &address);
                        return Step::Done(self.replay(stored, Instant::now(), Reason::Expired));
                    }
                    NextStep::PassBy(address) => return Step::then(self.pass_by(call, address, credentials)),
                    NextStep::Direct(decision) => return self.then_direct(call, decision),
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
            if !self.may_wait(&miss, &constraints) {
                miss.credentials = Credentials::Unknown(constraints);
                self.mark(&mut call, &miss.first);
                return Step::then(self.ask_alone(call, miss, constraints));
            }
            if let Some(answer) = paused(&self, &miss, call.headers()).await {
                return Step::Done(answer);
            }
            match stand_by(&self, &miss) {
                Some((stale, time)) => {
                    // Marked beforehand: the task that the request goes on in does not know the path to here.
                    self.mark(&mut call, &miss.first);
                    Step::then(miss_or_stale(self, call, miss, stale, time))
                }
                None => Step::then(self.miss(call, miss)),
            }
        })
    }

    /// Whether a request may wait for others, as far as its credentials go: something is known of responses to requests
    /// like it.
    fn may_wait(&self, miss: &Miss, constraints: &RequestConstraints) -> bool {
        miss.stale.is_some() || !constraints.has_credentials() || self.has_record(&miss.variant.address, constraints)
    }

    /// Answers a request with a response that is computed anew meanwhile.
    pub(super) fn refreshed(
        self: &Arc<Self>,
        call: InnerCall,
        variant: VariantAddress,
        stored: Arc<StoredResponse>,
        credentials: Credentials,
    ) -> Step<Answer> {
        let reason = self.refresh(call, variant, &stored, credentials);
        Step::Done(self.replay(stored, Instant::now(), reason))
    }

    /// Marks a request that may go on to the inner service, once it is known that it may: a hit needs no mark.
    pub(super) fn mark(&self, call: &mut InnerCall, address: &Address) {
        on_path::mark(&mut call.head.extensions, &self.memo.shared.store, address);
    }

    /// Follow or lead.
    pub(super) fn miss(
        self: Arc<Self>,
        mut call: InnerCall,
        mut miss: Miss,
    ) -> impl Future<Output = Step<Answer>> + Send {
        async move {
            let own = self.own_config(miss.aim);
            // One patience for all that the request waits for.
            let mut patience = self.memo.config.patience();
            let mut reason = Reason::Unsettled;
            for _ in 0..MAX_ADDRESSES {
                let VariantAddress { address, fingerprint } = &miss.variant;
                if fingerprint.is_some_and(|fingerprint| !self.vary.admit(&miss.first, fingerprint)) {
                    self.mark(&mut call, &miss.first);
                    let decision = Forwarded::because(Forward::VaryMiss).bypassed(Reason::TooManyVariants);
                    return self.then_direct(call, decision);
                }
                let config = own.as_deref().unwrap_or(&self.memo.config);
                let has_room = || self.memo.shared.counters.recorded_bytes.get() < self.responses.max_recording;
                let MemoLock { shared, line, .. } = &self.memo;
                let caller = &mut miss.caller;
                let obtained = memo::turn::obtain(
                    shared,
                    line.as_deref(),
                    address,
                    config,
                    &mut patience,
                    caller,
                    has_room,
                );
                let obtained = obtained.await;
                // It waits once more as if it had just come.
                miss.caller.arrived = self.memo.shared.clock.tick();
                trace::waited(patience.waited());
                let after = Box::pin(self.after(obtained, &mut miss, call.headers())).await;
                if !matches!(after, After::Answer(_) | After::Again(_)) {
                    self.mark(&mut call, &miss.first);
                }
                match after {
                    After::Answer(answer) => return Step::Done(answer),
                    After::Lead(lead) if self.may_defer() && lead.held => {
                        return lead_or_wait(self, lead, call, miss, patience);
                    }
                    After::Lead(lead) => return self.lead(lead, call, miss),
                    After::Turn(turn) => return self.then_in_turn(call, miss.why, turn),
                    After::Refresh(stored) => {
                        let variant = computed_at(&miss.first, miss.variant, &stored);
                        return self.refreshed(call, variant, stored, miss.credentials);
                    }
                    After::Again(why) => reason = why,
                    After::Direct(why) => {
                        reason = why;
                        break;
                    }
                }
            }
            if let Some(answer) = Box::pin(paused(&self, &miss, call.headers())).await {
                return Step::Done(answer);
            }
            self.mark(&mut call, &miss.first);
            let decision = Forwarded::because(miss.why).collapsed(false).bypassed(reason);
            self.then_direct(call, decision)
        }
    }

    /// The settings for a request that wants something else than most.
    fn own_config(&self, aim: Aim) -> Option<Box<Config>> {
        let common = self.memo.config;
        // Boxed, or all waiters would keep room for it.
        (aim != common.aim).then(|| Box::new(Config { aim, ..common }))
    }

    /// Has the request go to the inner service by itself, in its turn, which ends with the body of the response.
    fn then_in_turn(&self, call: InnerCall, why: Forward, turn: QueueTurn) -> Step<Answer> {
        let decision = Forwarded::because(why).collapsed(false).bypassed(Reason::Queued);
        let step = self.then_direct(call, decision);
        Step::then(async move {
            let answer = step.finish().await;
            Step::Done(answer.map_body(|body| body.in_turn(turn)))
        })
    }

    /// The next step of a request that has obtained this.
    async fn after(&self, obtained: Obtained<Arc<StoredResponse>>, miss: &mut Miss, headers: &HeaderMap) -> After {
        match obtained {
            Obtained::Told(Outcome::Ready(stored), by) => follow(self, stored, by, miss, headers).await,
            // The response may be another variant, or not for this client.
            Obtained::Told(Outcome::Soft(found), _) => match follow(self, found.value, None, miss, headers).await {
                After::Refresh(stored) if !miss.can_lead => {
                    After::Answer(self.replay(stored, Instant::now(), Reason::StaleWhileRevalidate))
                }
                after => after,
            },
            Obtained::Told(Outcome::Part(beginning), _) => {
                let address = &miss.variant.address;
                let shared = &self.memo.shared;
                match self.incoming.open(shared, address, *beginning, &self.responses) {
                    Some(stored) => follow(self, stored, None, miss, headers).await,
                    None => After::Again(Reason::LeaderFailed),
                }
            }
            Obtained::Lead(lead) => After::Lead(lead),
            Obtained::Turn(turn) => After::Turn(turn),
            Obtained::Told(Outcome::Limited(limit), _) => {
                let reason = reached(limit);
                let refusal = refuse(self, headers, reason);
                refusal.map_or(After::Direct(reason), After::Answer)
            }
            Obtained::Told(Outcome::Pass, _) => {
                if miss.credentials.has_credentials() {
                    self.credential_history.forget(&miss.variant.address);
                }
                After::Direct(Reason::LeaderPassed)
            }
            Obtained::TimedOut if self.may_defer() => After::Answer(waited_too_long(headers, miss.why)),
            Obtained::TimedOut => After::Direct(Reason::Timeout),
            Obtained::Told(Outcome::Stale, _) => {
                or_stale(self, miss, headers, After::Again, Reason::LeaderFailed).await
            }
            Obtained::Told(Outcome::Failed(_), _) => {
                or_stale(self, miss, headers, After::Direct, Reason::LeaderFailed).await
            }
            Obtained::GaveUp(past) => or_stale(self, miss, headers, After::Direct, gave_up(past)).await,
        }
    }
}
