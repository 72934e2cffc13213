//! [`MemoLockService`]: the service that a [`MemoLockLayer`](super::MemoLockLayer) wraps around another.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::body::MemoBody;
use super::computation::Computation;
use super::future::{Direct, ResponseFuture};
use super::key_extractor::{HeadKey, KeyExtractor};
use super::policy::request::may_collapse;
use super::policy::vary::{self, Vary};
use super::replay;
use super::settings::Settings;
use super::stored_response::StoredResponse;
use crate::error::BoxError;
use crate::key::{Address, Key};
use crate::memo::Obtained;
use crate::store::Store;

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
                        (Some(key), request) => {
                            let address = settings.locate(key, request.headers());
                            settings.answer(service, request, address).await
                        }
                        (None, request) => direct(service, request).await,
                    }
                })
            }
        }
    }
}

impl<St: Store, K: Send + Sync + 'static> Settings<St, K> {
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
    async fn answer<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        mut address: Address,
    ) -> Result<Response<MemoBody<ResBody>>, S::Error>
    where
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        for _ in 0..MAX_ADDRESSES {
            let Some(stored) = self.memo.shared.look_up(&address).await else {
                // Boxed, because a hit should not have to allocate what a miss needs.
                return Box::pin(self.miss(service, request, address)).await;
            };
            if is_variant(&stored, request.headers()) {
                return Ok(replay::hit(stored, Instant::now()));
            }
            address = self.variant(address, &stored, request.headers());
        }
        Box::pin(direct(service, request)).await
    }

    /// Follow or lead.
    async fn miss<S, B, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<B>,
        mut address: Address,
    ) -> Result<Response<MemoBody<ResBody>>, S::Error>
    where
        S: Service<Request<B>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        let config = self.memo.config;
        // One clock for all that the request waits for.
        let deadline = config.deadline();
        for _ in 0..MAX_ADDRESSES {
            match self.memo.shared.obtain(&address, config, deadline).await {
                Obtained::Followed(stored) if is_variant(&stored, request.headers()) => {
                    return Ok(replay::followed(stored));
                }
                Obtained::Followed(stored) => address = self.variant(address, &stored, request.headers()),
                Obtained::Lead(lead) => {
                    let computation = Computation {
                        lead,
                        rules: self.responses,
                        method: request.method().clone(),
                        request_headers: request.headers().clone(),
                    };
                    return computation.run(service, request).await;
                }
                Obtained::Pass | Obtained::Failed(_) | Obtained::TimedOut | Obtained::GaveUp => break,
            }
        }
        direct(service, request).await
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

async fn direct<S, B, ResBody>(service: S, request: Request<B>) -> Result<Response<MemoBody<ResBody>>, S::Error>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    let response = Direct::new(service, request).await?;
    Ok(response.map(MemoBody::inner))
}
