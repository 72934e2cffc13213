//! [`MemoLockService`]: the service that a [`MemoLockLayer`](super::MemoLockLayer) wraps around another.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::body::MemoBody;
use super::computation::{Computation, Judge};
use super::future::{Direct, ResponseFuture, Step};
use super::key_extractor::{HeadKey, KeyExtractor};
use super::policy::request::may_collapse;
use super::policy::vary::{self, Vary};
use super::refusal::refusal;
use super::replay;
use super::settings::Settings;
use super::stored_response::StoredResponse;
use crate::error::BoxError;
use crate::key::{Address, Key};
use crate::memo::{AtLimit, Lead, Limit, Obtained};
use crate::store::Store;

type Answer<B, E> = Result<Response<MemoBody<B>>, E>;

/// How many addresses of one response are tried before the request goes its own way: the key's, its variant's, and one
/// more for a response that has begun to vary by other fields.
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
        if let Err(reason) = may_collapse(request.method(), request.headers(), uncovered_body, &settings.requests) {
            tracing::trace!(reason = reason.as_str(), "the request is not collapsed");
            return ResponseFuture::direct(self.inner.clone(), settings.key.pass(request));
        }
        match settings.key.head_key(&request) {
            HeadKey::Bypass => ResponseFuture::direct(self.inner.clone(), settings.key.pass(request)),
            HeadKey::Key(key) if settings.is_too_long(&key) => {
                ResponseFuture::direct(self.inner.clone(), settings.key.pass(request))
            }
            HeadKey::Key(key) => {
                let address = settings.locate(key, request.headers());
                let now = Instant::now();
                if let Some(stored) = settings.memo.shared.peek(&address, now)
                    && is_variant(&stored, request.headers())
                {
                    return ResponseFuture::ready(replay::hit(stored, now));
                }
                let request = settings.key.pass(request);
                let settings = Arc::clone(settings);
                ResponseFuture::core(settings.answer(self.inner.clone(), request, address))
            }
            HeadKey::NeedsBody => {
                let settings = Arc::clone(settings);
                let service = self.inner.clone();
                ResponseFuture::core(async move {
                    match settings.key.body_key(request).await {
                        (Some(key), request) if !settings.is_too_long(&key) => {
                            let address = settings.locate(key, request.headers());
                            settings.answer(service, request, address).await
                        }
                        (_, request) => Step::Done(direct(service, request).await),
                    }
                })
            }
        }
    }
}

#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
impl<St: Store, K: Send + Sync + 'static> Settings<St, K> {
    fn is_too_long(&self, key: &Key) -> bool {
        let memo = &self.memo;
        memo.shared.is_too_long(key.as_str(), memo.config.limits.key)
    }

    /// Where the response to a request with this key is: at the key's address, or at that of its variant.
    fn locate(&self, key: Key, headers: &HeaderMap) -> Address {
        let address = Address::of(&self.memo.shared.tag, key);
        match self.vary.get(&address) {
            Some(known) => match vary::fingerprint(&known.names, headers) {
                variant if variant == known.first => address,
                variant => address.variant(&variant),
            },
            None => address,
        }
    }

    /// Hit, follow or lead.
    fn answer<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        mut address: Address,
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
            for _ in 0..MAX_ADDRESSES {
                let Some(stored) = self.memo.shared.look_up(&address).await else {
                    return Step::then(self.miss(service, request, address));
                };
                if is_variant(&stored, request.headers()) {
                    return Step::Done(Ok(replay::hit(stored, Instant::now())));
                }
                address = self.variant(address, &stored, request.headers());
            }
            Step::then(then_direct(service, request))
        }
    }

    /// Follow or lead.
    fn miss<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        mut address: Address,
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
            for _ in 0..MAX_ADDRESSES {
                match self.memo.shared.obtain(&address, &self.memo.config, deadline).await {
                    Obtained::Followed(stored) if is_variant(&stored, request.headers()) => {
                        return Step::Done(Ok(replay::followed(stored)));
                    }
                    Obtained::Followed(stored) => address = self.variant(address, &stored, request.headers()),
                    Obtained::Lead(lead) => return self.lead(lead, service, request, address),
                    Obtained::Limited(_) => match self.refuse(request.headers()) {
                        Some(refusal) => return Step::Done(Ok(refusal)),
                        None => break,
                    },
                    Obtained::Pass => match self.refuse_recording(&address, request.headers()) {
                        Some(refusal) => return Step::Done(Ok(refusal)),
                        None => break,
                    },
                    Obtained::Failed(_) | Obtained::TimedOut | Obtained::GaveUp => break,
                }
            }
            Step::then(then_direct(service, request))
        }
    }

    fn lead<S, B, ResBody>(
        &self,
        lead: Lead<Arc<StoredResponse>>,
        service: S,
        request: Request<B>,
        address: Address,
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
        if let Some(refusal) = self.refuse_recording(&address, request.headers()) {
            drop(lead.pass());
            return Step::Done(Ok(refusal));
        }
        let computation = Computation {
            judge: Judge {
                shared: Arc::clone(&self.memo.shared),
                address,
                rules: self.responses,
            },
            lead,
            method: request.method().clone(),
            request_headers: request.headers().clone(),
        };
        Step::then(async move { Step::Done(computation.run(service, request).await) })
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

    /// The address of the variant that the request asks for, when `stored` at `address` is another.
    fn variant(&self, address: Address, stored: &StoredResponse, headers: &HeaderMap) -> Address {
        let (Vary::Names(names), Some(first)) = (vary::names(stored.headers()), stored.meta().variant) else {
            return address;
        };
        self.vary.learn(&address, &names, first);
        address.variant(&vary::fingerprint(&names, headers))
    }
}

/// Whether the stored response is one for a request with these fields (RFC 9111, section 4.1).
fn is_variant(stored: &StoredResponse, headers: &HeaderMap) -> bool {
    let Some(variant) = stored.meta().variant else {
        return true;
    };
    match vary::names(stored.headers()) {
        Vary::Names(names) => vary::matches(&names, &variant, headers),
        Vary::None | Vary::Any => false,
    }
}

async fn then_direct<S, B, ResBody>(service: S, request: Request<B>) -> Step<Answer<ResBody, S::Error>>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    Step::Done(direct(service, request).await)
}

async fn direct<S, B, ResBody>(service: S, request: Request<B>) -> Answer<ResBody, S::Error>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    let response = Direct::new(service, request).await?;
    Ok(response.map(MemoBody::inner))
}
