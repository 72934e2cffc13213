//! How a request comes to its response: by a hit, by waiting for another one, by leading, or by itself.

use std::sync::Arc;

use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::body::MemoBody;
use super::cache_status::{Forward, Forwarded};
use super::computation::{Computation, Judge};
use super::finder::{Found, Place, is_variant};
use super::future::{Direct, Step};
use super::key_extractor::{KeyExtractor, uri_as_received};
use super::origin::Origin;
use super::policy::request::Narrow;
use super::policy::revalidation::add_conditions;
use super::refusal::refusal;
use super::replay;
use super::settings::Settings;
use super::stored_response::StoredResponse;
use crate::error::BoxError;
use crate::key::{Address, Key};
use crate::memo::{AtLimit, Lead, Limit, Obtained};
use crate::store::Store;

type Answer<B, E> = Result<Response<MemoBody<B>>, E>;

/// How many addresses of one response are waited at before the request goes its own way: the key's, its variant's, and
/// one more for a response that has begun to vary by other fields.
const MAX_ADDRESSES: usize = 3;

#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
impl<St: Store, K: Send + Sync + 'static> Settings<St, K> {
    pub(crate) fn is_too_long(&self, key: &Key) -> bool {
        let memo = &self.memo;
        memo.shared.is_too_long(key.as_str(), memo.config.limits.key)
    }

    /// The key of a `GET` of the same target.
    pub(crate) fn get_key<B>(&self, request: &Request<B>) -> Option<Key>
    where
        K: KeyExtractor<B>,
    {
        self.key.get_key(uri_as_received(request), request.headers())
    }

    /// A stored response for a request that must not wait for another, nor lead others.
    pub(crate) fn read<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        address: Address,
        narrow: Narrow,
    ) -> impl Future<Output = Step<Answer<ResBody, S::Error>>> + Send
    where
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        ResBody: Send + 'static,
    {
        async move {
            let now = Instant::now();
            let why = match self.find(&address, request.headers()).await {
                Found::Stored(_, stored) if !stored.is_fresh_at(now) => Forward::Stale,
                Found::Stored(_, stored) if !narrow.admits(stored.meta()) => Forward::Request,
                Found::Stored(_, stored) => {
                    self.memo.shared.counters.hits.add();
                    let narrowed = replay::narrowed(stored, narrow, request.headers(), now, self.cache_status);
                    return Step::Done(Ok(narrowed));
                }
                Found::Nothing(place) if place.variant.is_some() => Forward::VaryMiss,
                Found::Nothing(_) | Found::Unsettled => Forward::UriMiss,
            };
            self.then_direct(service, request, Forwarded::because(why))
        }
    }

    /// Hit, follow or lead.
    pub(crate) fn answer<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        address: Address,
    ) -> impl Future<Output = Step<Answer<ResBody, S::Error>>> + Send
    where
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        async move {
            let (place, stale, why) = match self.find(&address, request.headers()).await {
                Found::Stored(place, stored) => {
                    let now = Instant::now();
                    if stored.is_fresh_at(now) {
                        self.memo.shared.counters.hits.add();
                        return Step::Done(Ok(replay::hit(stored, now, self.cache_status)));
                    }
                    (place, Some(stored), Forward::Stale)
                }
                Found::Nothing(place) => {
                    let why = place.variant.map_or(Forward::UriMiss, |_| Forward::VaryMiss);
                    (place, None, why)
                }
                Found::Unsettled => {
                    let forwarded = Forwarded::because(Forward::VaryMiss).detail("unsettled");
                    return self.then_direct(service, request, forwarded);
                }
            };
            let miss = Miss {
                first: address,
                place,
                stale,
                why,
            };
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
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        async move {
            // One clock for all that the request waits for.
            let deadline = self.memo.config.deadline();
            let mut detail = None;
            for _ in 0..MAX_ADDRESSES {
                let Place { address, variant } = &miss.place;
                if variant.is_some_and(|variant| !self.vary.admit(&miss.first, variant)) {
                    let forwarded = Forwarded::because(Forward::VaryMiss).detail("too-many-variants");
                    return self.then_direct(service, request, forwarded);
                }
                match self.memo.shared.obtain(address, &self.memo.config, deadline).await {
                    Obtained::Followed(stored) if is_variant(&stored, request.headers()) => {
                        if !stored.is_fresh_at(Instant::now()) {
                            break;
                        }
                        self.permissions.learn(stored.meta());
                        let mut response = replay::followed(stored);
                        self.say(Forwarded::because(miss.why).collapsed(true), response.headers_mut());
                        return Step::Done(Ok(response));
                    }
                    Obtained::Followed(stored) => {
                        let place = self.other_variant(&miss.first, &stored, request.headers());
                        let Some(place) = place.filter(|place| place.address != miss.place.address) else {
                            break;
                        };
                        let (stale, why) = (None, Forward::VaryMiss);
                        miss = Miss {
                            place,
                            stale,
                            why,
                            ..miss
                        };
                    }
                    Obtained::Lead(lead) => return self.lead(lead, service, request, miss),
                    Obtained::Limited(_) => match self.refuse(request.headers()) {
                        Some(refusal) => return Step::Done(Ok(refusal)),
                        None => break,
                    },
                    Obtained::Pass => match self.refuse_recording(address, request.headers()) {
                        Some(refusal) => return Step::Done(Ok(refusal)),
                        None => break,
                    },
                    Obtained::TimedOut => {
                        detail = Some("timeout");
                        break;
                    }
                    Obtained::Failed(_) | Obtained::GaveUp => break,
                }
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
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        let Miss {
            place, mut stale, why, ..
        } = miss;
        if let Some(refusal) = self.refuse_recording(&place.address, request.headers()) {
            drop(lead.pass());
            return Step::Done(Ok(refusal));
        }
        let request_headers = request.headers().clone();
        stale = stale.filter(|stale| add_conditions(request.headers_mut(), stale.headers()));
        let computation = Computation {
            judge: Judge {
                shared: Arc::clone(&self.memo.shared),
                address: place.address,
                rules: self.responses.clone(),
                cache_status: self.cache_status,
                permissions: Arc::clone(&self.permissions),
            },
            lead,
            method: request.method().clone(),
            request_headers,
            stale,
            why,
            origin: Origin::of(&request),
        };
        Step::then(async move { Step::Done(computation.run(service, request).await) })
    }

    /// To the inner service, and nothing of it to anybody else.
    pub(crate) fn then_direct<S, B, ResBody>(
        &self,
        service: S,
        request: Request<B>,
        forwarded: Forwarded,
    ) -> Step<Answer<ResBody, S::Error>>
    where
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: 'static,
        B: Send + 'static,
        ResBody: 'static,
    {
        let forwarded = self.cache_status.then_some(forwarded);
        Step::then(async move { Step::Done(Direct::new(service, request, forwarded).await) })
    }

    fn say(&self, forwarded: Forwarded, headers: &mut HeaderMap) {
        if self.cache_status {
            forwarded.tell(headers);
        }
    }

    /// The answer to a request at a limit, where it is not to go to the inner service.
    fn refuse<ResBody>(&self, headers: &HeaderMap) -> Option<Response<MemoBody<ResBody>>> {
        match self.memo.config.limits.at_limit {
            AtLimit::Bypass => None,
            AtLimit::Refuse { retry_after } => Some(refusal(headers, retry_after)),
        }
    }

    /// The same, if there is no room for one more recording.
    fn refuse_recording<ResBody>(&self, address: &Address, headers: &HeaderMap) -> Option<Response<MemoBody<ResBody>>> {
        let held = self.memo.shared.counters.recorded_bytes.get();
        if held < self.responses.max_recording {
            return None;
        }
        let refusal = self.refuse(headers)?;
        self.memo.shared.limited(address, Limit::Recording);
        Some(refusal)
    }
}

/// What a request did not find.
struct Miss {
    /// The address of the first variant.
    first: Address,
    /// Where its response would be.
    place: Place,
    /// What is there, but stale.
    stale: Option<Arc<StoredResponse>>,
    /// Why the inner service is asked, if it is.
    why: Forward,
}
