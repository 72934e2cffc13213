//! How a request comes to its response: by a hit, by waiting for another one, by leading, or by itself.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;

use super::refresh::Use;
use crate::key::{Address, Key};
use crate::memo::{AtLimit, Lead, Limit, Obtained};
use crate::middleware::bounds::{InnerService, ResponseBody};
use crate::middleware::cache::Cache;
use crate::middleware::grpc::TIMEOUT;
use crate::middleware::key_extractor::KeyExtractor;
use crate::middleware::lead::admission::Admission;
use crate::middleware::lead::promise::Promise;
use crate::middleware::lead::task::Computation;
use crate::middleware::lookup::{Lookup, Miss, VariantAddress, is_variant};
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::fields;
use crate::middleware::policy::origin::{Origin, uri_as_received};
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::policy::response::Reason;
use crate::middleware::policy::revalidation::add_conditions;
use crate::middleware::respond::body::MemoBody;
use crate::middleware::respond::future::{Answer, Direct, Step};
use crate::middleware::respond::refusal::refusal;
use crate::middleware::respond::replay;
use crate::middleware::stored_response::StoredResponse;

/// How many addresses of one response are waited at before the request goes its own way: the key's, its variant's, and
/// one more for a response that has begun to vary by other fields.
const MAX_ADDRESSES: usize = 3;

/// When a request may try again that has waited for its turn in vain.
const MIN_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
impl<K: Send + Sync + 'static> Cache<K> {
    /// The key of a `GET` of the same target.
    pub(crate) fn get_key<B>(&self, request: &Request<B>) -> Option<Key>
    where
        K: KeyExtractor<B>,
    {
        self.key
            .get_key_with(uri_as_received(request), request.headers(), request.extensions())
    }

    /// Hit, follow or lead.
    pub(crate) fn answer<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        address: Address,
        constraints: RequestConstraints,
        can_lead: bool,
    ) -> impl Future<Output = Step<Answer<ResBody, S::Error>>> + Send
    where
        S: InnerService<B, ResBody>,
        B: Send + 'static,
        ResBody: ResponseBody,
    {
        let credentials = Credentials::known(constraints);
        async move {
            if self.hit_for_pass.stands(&address, Instant::now()) {
                return Step::then(self.pass_by(service, request, address, credentials));
            }
            // Where nothing was ever for requests like this, it need not even look.
            if self.is_refused(&address, &constraints) && !self.credential_history.may_admit(&constraints) {
                return Step::then(self.ask_again(service, request, address, constraints, Forward::UriMiss));
            }
            let (variant, stale, why) = match self.find_whole(&address, request.headers()).await {
                // It cannot be read in parts.
                Lookup::Stored(variant, stored) if self.is_crowded_beside(&stored) => {
                    drop(stored);
                    self.memo.shared.limited(&variant.address, Limit::Recording);
                    if let Some(refusal) = self.refuse(request.headers()) {
                        return Step::Done(Ok(refusal));
                    }
                    let forwarded = Forwarded::because(Forward::Bypass).detail(Reason::NoRoom.as_str());
                    return self.then_direct(service, request, forwarded);
                }
                Lookup::Stored(_, stored) if !credentials.may_have(stored.meta()) => {
                    return self.then_direct(service, request, Forwarded::because(Forward::Request));
                }
                Lookup::Stored(variant, stored) => {
                    let now = Instant::now();
                    if credentials.has_credentials() {
                        self.credential_history
                            .remember(&variant.address, &stored, now, self.responses.pass_marker);
                    }
                    // What takes its place would break off the body that is read in parts.
                    let may_refresh = can_lead && stored.apart_body().is_none();
                    match self.use_of(&stored, may_refresh, now) {
                        Use::Hit => {
                            self.memo.shared.counters.hits.add();
                            return Step::Done(Ok(replay::hit(stored, now, self.cache_status)));
                        }
                        Use::Refresh => {
                            return Step::Done(Ok(self.refresh(service, request, variant, stored, credentials)));
                        }
                        Use::Stale => (variant, Some(stored), Forward::Stale),
                    }
                }
                Lookup::Marker(variant) => {
                    self.learn_marker(&variant.address);
                    return Step::then(self.pass_by(service, request, variant.address, credentials));
                }
                Lookup::Nothing(variant) => {
                    let why = variant.fingerprint.map_or(Forward::UriMiss, |_| Forward::VaryMiss);
                    (variant, None, why)
                }
                Lookup::Unsettled => {
                    let forwarded = Forwarded::because(Forward::VaryMiss).detail("unsettled");
                    return self.then_direct(service, request, forwarded);
                }
            };
            let mut miss = Miss {
                first: address,
                variant,
                stale,
                why,
                credentials,
            };
            if miss.stale.is_none()
                && constraints.has_credentials()
                && !self.has_record(&miss.variant.address, &constraints)
            {
                miss.credentials = Credentials::Unknown(constraints);
                return Step::then(self.ask_alone(service, request, miss, constraints));
            }
            if let Some(answer) = self.paused(&miss, request.headers()).await {
                return Step::Done(Ok(answer));
            }
            Step::then(self.miss(service, request, miss))
        }
    }

    /// Follow or lead.
    fn miss<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        mut miss: Miss,
    ) -> impl Future<Output = Step<Answer<ResBody, S::Error>>> + Send
    where
        S: InnerService<B, ResBody>,
        B: Send + 'static,
        ResBody: ResponseBody,
    {
        async move {
            let counters = &self.memo.shared.counters;
            let has_room = || counters.recorded_bytes.get() < self.responses.max_recording;
            // One clock for all that the request waits for.
            let mut patience = self.memo.config.patience();
            let mut detail = None;
            for _ in 0..MAX_ADDRESSES {
                let VariantAddress { address, fingerprint } = &miss.variant;
                if fingerprint.is_some_and(|fingerprint| !self.vary.admit(&miss.first, fingerprint)) {
                    let forwarded = Forwarded::because(Forward::VaryMiss).detail("too-many-variants");
                    return self.then_direct(service, request, forwarded);
                }
                match self
                    .memo
                    .obtain(address, &self.memo.config, &mut patience, has_room)
                    .await
                {
                    // Just before it was told: there is nothing to read any more, but a turn to wait for.
                    Obtained::Followed(stored) if stored.has_broken_off() => {}
                    Obtained::Followed(stored) if is_variant(&stored, request.headers()) => {
                        if !stored.is_fresh_at(Instant::now()) || !miss.credentials.may_have(stored.meta()) {
                            break;
                        }
                        self.credential_history.learn(stored.meta());
                        let stored = self.make_room(address, stored).await;
                        let mut response = replay::followed(stored);
                        self.say(Forwarded::because(miss.why).collapsed(true), response.headers_mut());
                        return Step::Done(Ok(response));
                    }
                    // What others get of that variant is not known.
                    Obtained::Followed(_) if miss.credentials.has_credentials() => break,
                    Obtained::Followed(stored) => {
                        let variant = self.other_variant(&miss.first, &stored, request.headers());
                        let Some(variant) = variant.filter(|variant| variant.address != miss.variant.address) else {
                            break;
                        };
                        let (stale, why) = (None, Forward::VaryMiss);
                        miss = Miss {
                            variant,
                            stale,
                            why,
                            ..miss
                        };
                    }
                    Obtained::Lead(lead) if self.may_defer() && lead.held => {
                        return self.lead_or_wait(lead, service, request, miss, patience);
                    }
                    Obtained::Lead(lead) => return self.lead(lead, service, request, miss),
                    Obtained::Limited(_) => match self.refuse(request.headers()) {
                        Some(refusal) => return Step::Done(Ok(refusal)),
                        None => break,
                    },
                    Obtained::Turn(turn) => {
                        let forwarded = Forwarded::because(miss.why).collapsed(false).detail("queued");
                        let step = self.then_direct(service, request, forwarded);
                        return Step::then(async move {
                            let answer = step.finish().await;
                            Step::Done(answer.map(|response| response.map(|body| body.in_turn(turn))))
                        });
                    }
                    Obtained::Pass => {
                        if miss.credentials.has_credentials() {
                            self.credential_history.forget(address);
                        }
                        break;
                    }
                    Obtained::TimedOut if self.may_defer() => {
                        return Step::Done(Ok(self.waited_too_long(request.headers(), miss.why)));
                    }
                    Obtained::TimedOut => {
                        detail = Some("timeout");
                        break;
                    }
                    Obtained::Stale => {
                        if let Some(stale) = Box::pin(self.stand_in(&miss, request.headers())).await {
                            return Step::Done(Ok(stale));
                        }
                    }
                    Obtained::Failed(_) | Obtained::GaveUp => {
                        if let Some(stale) = Box::pin(self.stand_in(&miss, request.headers())).await {
                            return Step::Done(Ok(stale));
                        }
                        break;
                    }
                }
            }
            if let Some(answer) = self.paused(&miss, request.headers()).await {
                return Step::Done(Ok(answer));
            }
            let mut forwarded = Forwarded::because(miss.why).collapsed(false);
            forwarded.detail = detail;
            self.then_direct(service, request, forwarded)
        }
    }

    fn lead<S, B, ResBody>(
        &self,
        lead: Lead<Arc<StoredResponse>>,
        service: S,
        mut request: Request<B>,
        miss: Miss,
    ) -> Step<Answer<ResBody, S::Error>>
    where
        S: InnerService<B, ResBody>,
        B: Send + 'static,
        ResBody: ResponseBody,
    {
        let computation = self.computation(lead, &mut request, miss);
        Step::then(async move { Step::Done(computation.run(service, request).await) })
    }

    /// What leads with this request, which is made to validate what there is.
    pub(crate) fn computation<B>(
        &self,
        lead: Lead<Arc<StoredResponse>>,
        request: &mut Request<B>,
        miss: Miss,
    ) -> Computation {
        let Miss {
            variant,
            stale,
            why,
            credentials,
            first,
        } = miss;
        // What is there already takes no more room.
        let demand = self.demand.as_ref().filter(|_| stale.is_none());
        let may_defer = self.may_defer() && lead.held;
        if may_defer {
            let promise = Promise::new(variant.address.clone(), self.memo.config.lease);
            request.extensions_mut().insert(promise);
        }
        if self.methods.is_some() {
            // The deadline of one of those who want the reply, which is the others' as well.
            request.headers_mut().remove(TIMEOUT);
        }
        let request_headers = fields::compact(request.headers());
        // One whose body is not in memory could not be stored anew.
        let validates = |stale: &Arc<StoredResponse>| {
            stale.apart_body().is_none() && add_conditions(request.headers_mut(), stale.headers())
        };
        let validated = stale.clone().filter(validates);
        Computation {
            admission: Admission {
                shared: Arc::clone(&self.memo.shared),
                hit_for_pass: Arc::clone(&self.hit_for_pass),
                pauses: Arc::clone(&self.pauses),
                misuse: Arc::clone(&self.misuse),
                credential_history: Arc::clone(&self.credential_history),
                address: variant.address,
                rules: self.responses.clone(),
                cache_status: self.cache_status,
                credentials,
                demand: demand.map(|demand| demand.of(&first)),
            },
            lead,
            method: request.method().clone(),
            request_headers,
            stale: validated,
            fallback: stale,
            why,
            origin: Origin::of(request),
            presence: None,
            may_defer,
        }
    }

    /// To the inner service, and its response to this client only.
    pub(crate) fn then_direct<S, B, ResBody>(
        &self,
        service: S,
        request: Request<B>,
        forwarded: Forwarded,
    ) -> Step<Answer<ResBody, S::Error>>
    where
        S: InnerService<B, ResBody>,
        S::Error: 'static,
        B: Send + 'static,
        ResBody: 'static,
    {
        let forwarded = self.cache_status.then_some(forwarded);
        Step::then(async move { Step::Done(Direct::new(service, request, forwarded).await) })
    }

    pub(crate) fn say(&self, forwarded: Forwarded, headers: &mut HeaderMap) {
        if self.cache_status {
            forwarded.tell(headers);
        }
    }

    /// The answer to a request at a limit, where it is not to go to the inner service.
    fn refuse<ResBody>(&self, headers: &HeaderMap) -> Option<Response<MemoBody<ResBody>>> {
        match self.memo.config.limits.at_limit {
            AtLimit::Bypass => None,
            AtLimit::Refuse { retry_after } => Some(refusal(headers, retry_after)),
            // No sooner than by then is the line likely to have moved on.
            AtLimit::Queue(_) => Some(refusal(
                headers,
                self.memo.config.wait_timeout.clamp(MIN_RETRY, MAX_RETRY),
            )),
        }
    }
}
