//! [`MemoLockService`]: the service that a [`MemoLockLayer`](super::MemoLockLayer) wraps around another.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::body::MemoBody;
use super::cache_status::{Forward, Forwarded};
use super::change::Change;
use super::computation::{Computation, Judge};
use super::finder::{Found, Place, is_variant};
use super::future::{Direct, ResponseFuture, Step};
use super::key_extractor::{HeadKey, KeyExtractor, uri_as_received};
use super::origin::Origin;
use super::policy::request::{Access, Bypass, Narrow, access};
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

/// Shares responses among identical requests. Made by a [`MemoLockLayer`](super::MemoLockLayer).
///
/// # Readiness
///
/// The service is always ready: a stored response does not have to wait for the inner service. Whoever does call the
/// inner service, a leader or a request that bypasses the layer, waits for its readiness first, in the response
/// future; so a `ConcurrencyLimit`, a `Buffer` or a `LoadShed` beneath the layer works as ever, and none above it
/// sees how busy the inner service is.
pub struct MemoLockService<S, St, K> {
    inner: S,
    settings: Arc<Settings<St, K>>,
}

impl<S, St, K> MemoLockService<S, St, K> {
    pub(crate) fn new(inner: S, settings: Arc<Settings<St, K>>) -> Self {
        Self { inner, settings }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the layer off.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, St, K> Clone for MemoLockService<S, St, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            settings: Arc::clone(&self.settings),
        }
    }
}

impl<S: fmt::Debug, St, K> fmt::Debug for MemoLockService<S, St, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoLockService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, St, K, ReqBody, ResBody> Service<Request<ReqBody>> for MemoLockService<S, St, K>
where
    S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    St: Store,
    K: KeyExtractor<ReqBody>,
    K::Body: Send + 'static,
    ReqBody: Body + Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Data: Send,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<MemoBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, K::Body, ResBody>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let settings = &self.settings;
        let uncovered_body = !settings.key.covers_body() && !request.body().is_end_stream();
        let narrow = match access(request.method(), request.headers(), uncovered_body, &settings.requests) {
            Access::Share => None,
            Access::Read(narrow) => Some(narrow),
            Access::Change => {
                let change = Change::new(settings, &request);
                let request = settings.key.pass(request);
                return ResponseFuture::core(change.carry_out(self.inner.clone(), request));
            }
            Access::Bypass(reason) => {
                tracing::trace!(reason = reason.as_str(), "the request is not collapsed");
                let why = if reason == Bypass::Method {
                    Forward::Method
                } else {
                    Forward::Bypass
                };
                return self.direct(request, why);
            }
        };
        let key = match settings.key.head_key(&request) {
            HeadKey::Key(_) if narrow.is_some_and(|narrow| narrow.head) => settings.get_key(&request),
            HeadKey::Key(key) => Some(key),
            HeadKey::NeedsBody if narrow.is_none() => {
                let settings = Arc::clone(settings);
                let service = self.inner.clone();
                return ResponseFuture::core(async move {
                    match settings.key.body_key(request).await {
                        (Some(key), request) if !settings.is_too_long(&key) => {
                            let address = Address::of(&settings.memo.shared.tag, key);
                            settings.answer(service, request, address).await
                        }
                        (_, request) => settings.then_direct(service, request, Forwarded::because(Forward::Bypass)),
                    }
                });
            }
            HeadKey::NeedsBody | HeadKey::Bypass => None,
        };
        let Some(key) = key.filter(|key| !settings.is_too_long(key)) else {
            return self.direct(request, Forward::Bypass);
        };
        let address = Address::of(&settings.memo.shared.tag, key);
        if narrow.is_none() {
            let now = Instant::now();
            if let Some(stored) = settings.peek(&address, request.headers(), now) {
                settings.memo.shared.counters.hits.add();
                return ResponseFuture::ready(replay::hit(stored, now, settings.cache_status));
            }
        }
        let request = settings.key.pass(request);
        let settings = Arc::clone(settings);
        match narrow {
            None => ResponseFuture::core(settings.answer(self.inner.clone(), request, address)),
            Some(narrow) => ResponseFuture::core(settings.read(self.inner.clone(), request, address, narrow)),
        }
    }
}

impl<S, St, K> MemoLockService<S, St, K> {
    /// The request goes to the inner service, and nothing else happens.
    fn direct<ReqBody, ResBody>(&self, request: Request<ReqBody>, why: Forward) -> ResponseFuture<S, K::Body, ResBody>
    where
        S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
        K: KeyExtractor<ReqBody>,
    {
        let forwarded = self.settings.cache_status.then(|| Forwarded::because(why));
        ResponseFuture::direct(self.inner.clone(), self.settings.key.pass(request), forwarded)
    }
}

#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
impl<St: Store, K: Send + Sync + 'static> Settings<St, K> {
    fn is_too_long(&self, key: &Key) -> bool {
        let memo = &self.memo;
        memo.shared.is_too_long(key.as_str(), memo.config.limits.key)
    }

    /// The key of a `GET` of the same target.
    fn get_key<B>(&self, request: &Request<B>) -> Option<Key>
    where
        K: KeyExtractor<B>,
    {
        self.key.get_key(uri_as_received(request), request.headers())
    }

    /// A stored response for a request that must not wait for another, nor lead others.
    fn read<S, B, ResBody>(
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
                Found::Stored(_, stored) if stored.fresh_at(now).is_none() => Forward::Stale,
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
    fn answer<S, B, ResBody>(
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
                    if stored.fresh_at(now).is_some() {
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
                        if stored.fresh_at(Instant::now()).is_none() {
                            break;
                        }
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
    fn then_direct<S, B, ResBody>(
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
