//! [`MemoLockService`]: the service that a [`MemoLockLayer`](super::MemoLockLayer) wraps around another.

#[cfg(feature = "axum")]
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::bounds::{InnerService, ResponseBody};
use super::cache::Cache;
use super::key_extractor::{HeadKey, KeyExtractor};
use super::lead::on_path;
use super::lookup::VariantAddress;
use super::methods::Methods;
use super::policy::cache_status::{Forward, Forwarded};
use super::policy::credentials::Credentials;
use super::policy::request::{Access, Bypass, RequestConstraints, access};
use super::respond::body::MemoBody;
use super::respond::future::ResponseFuture;
use super::respond::refusal::not_stored;
use super::respond::replay;
use super::respond::told_key::ToldKey;
use super::serve::unsafe_request::Change;
use super::stored_response::StoredResponse;
use crate::error::BoxError;
use crate::key::Address;

/// Shares responses among identical requests. Made by a [`MemoLockLayer`](super::MemoLockLayer).
///
/// # Readiness
///
/// The service is always ready: a stored response does not have to wait for the inner service. A request that calls the
/// inner service, because it leads or bypasses the layer, waits for its readiness first, in the response future. So a
/// `ConcurrencyLimit`, a `Buffer` or a `LoadShed` beneath the layer works as ever, and a layer above does not see how
/// busy the inner service is.
pub struct MemoLockService<S, K> {
    inner: S,
    cache: Arc<Cache<K>>,
    /// Of a layer for gRPC: whatever is not a call of one of them passes untouched.
    methods: Option<Arc<Methods<K>>>,
}

impl<S, K> MemoLockService<S, K> {
    pub(crate) fn new(inner: S, cache: Arc<Cache<K>>, methods: Option<Arc<Methods<K>>>) -> Self {
        Self { inner, cache, methods }
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

impl<S: Clone, K> Clone for MemoLockService<S, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            cache: Arc::clone(&self.cache),
            methods: self.methods.clone(),
        }
    }
}

impl<S: fmt::Debug, K> fmt::Debug for MemoLockService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoLockService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, K, ReqBody, ResBody> Service<Request<ReqBody>> for MemoLockService<S, K>
where
    S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
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
        let cache = match &self.methods {
            None => &self.cache,
            Some(methods) => match methods.cache(&request) {
                Some(cache) => cache,
                None => return ResponseFuture::untouched(self.inner.clone(), self.cache.key.pass(request)),
            },
        };
        let uncovered_body = !cache.key.covers_body() && !request.body().is_end_stream();
        let in_key = |name: &_| cache.key.covers_header(name);
        let (method, headers) = (request.method(), request.headers());
        let constraints = match access(method, headers, uncovered_body, in_key, &cache.requests) {
            Access::Share => RequestConstraints::default(),
            Access::Read(constraints) => constraints,
            Access::Change if cache.misuse.is_outside_runtime() => return self.direct(request, Forward::Method),
            Access::Change => {
                self.tell_method(&request);
                let change = Change::new(cache, &request);
                let request = cache.key.pass(request);
                return ResponseFuture::core(change.carry_out(self.inner.clone(), request));
            }
            Access::Bypass(reason) => {
                let why = self.bypassed(cache, reason, &request);
                return self.direct(request, why);
            }
        };
        if !constraints.is_for_all_of_it() && !cache.credential_history.may_admit(&constraints) {
            return self.unread(request, constraints);
        }
        let told = cache.cache_status_key.then(ToldKey::default);
        let key = match cache.key.head_key(&request) {
            HeadKey::Key(_) if constraints.head => cache.get_key(&request),
            HeadKey::Key(key) => Some(key),
            HeadKey::NeedsBody
                if constraints == RequestConstraints::default() && !cache.misuse.is_outside_runtime() =>
            {
                let cache = Arc::clone(cache);
                let answer = cache.answer_with_body(self.inner.clone(), request, told.clone());
                return ResponseFuture::core(answer).telling(told);
            }
            HeadKey::NeedsBody | HeadKey::Bypass => None,
        };
        let key = key.map(|key| cache.whole_key(key, request.headers()));
        let Some(key) = key else {
            return self.unread(request, constraints);
        };
        told.as_ref().inspect(|told| told.set(&key));
        let address = Address::of(&cache.memo.shared.tag, key);
        self.at(cache, request, address, constraints, told)
    }
}

impl<S, K> MemoLockService<S, K> {
    /// What a request gets whose response belongs at this address.
    fn at<ReqBody, ResBody>(
        &self,
        cache: &Arc<Cache<K>>,
        request: Request<ReqBody>,
        address: Address,
        constraints: RequestConstraints,
        told: Option<ToldKey>,
    ) -> ResponseFuture<S, K::Body, ResBody>
    where
        S: InnerService<K::Body, ResBody> + Clone,
        K: KeyExtractor<ReqBody>,
        K::Body: Send + 'static,
        ReqBody: Body + Send + 'static,
        ResBody: ResponseBody,
    {
        if on_path::has_been_at(request.extensions(), &cache.memo.shared.store, &address) {
            // What the response has to say is for the layer that has seen to the request.
            cache.memo.shared.asks_for_itself(&address);
            return ResponseFuture::untouched(self.inner.clone(), cache.key.pass(request));
        }
        cache.ask(&address);
        // Whether it may lead others, or wait for them.
        let collapses = constraints.is_for_all_of_it();
        // A request with a body cannot go on once its client has an answer.
        let can_lead = request.body().is_end_stream();
        let now = Instant::now();
        if collapses && let Some((variant, stored)) = find_fresh(cache, &address, request.headers(), constraints, now) {
            if !can_lead || !cache.is_early(&stored, now) || cache.misuse.is_outside_runtime() {
                cache.memo.shared.counters.hits.add();
                let mut hit = replay::hit(stored, now, cache.cache_status);
                cache.tell_near(&mut hit);
                address.recycle();
                return ResponseFuture::ready(hit, told);
            }
            let mut request = cache.key.pass(request);
            on_path::mark(&mut request, &cache.memo.shared.store, &address);
            let variant = variant.unwrap_or_else(|| VariantAddress::first(&address));
            let credentials = Credentials::known(constraints);
            let mut hit = cache.refresh(self.inner.clone(), request, variant, stored, credentials);
            cache.tell_near(&mut hit);
            return ResponseFuture::ready(hit, told);
        }
        if cache.misuse.is_outside_runtime() {
            return self.unread(request, constraints);
        }
        #[cfg(feature = "axum")]
        if TypeId::of::<S>() == TypeId::of::<axum::routing::Route>() {
            cache.misuse.came_by_router(request.extensions());
        }
        let mut request = cache.key.pass(request);
        on_path::mark(&mut request, &cache.memo.shared.store, &address);
        let cache = Arc::clone(cache);
        match collapses {
            true => ResponseFuture::core(cache.answer(self.inner.clone(), request, address, constraints, can_lead)),
            false => ResponseFuture::core(cache.read(self.inner.clone(), request, address, constraints)),
        }
        .telling(told)
    }

    /// Tells of a request that is not collapsed.
    fn bypassed<ReqBody>(&self, cache: &Cache<K>, reason: Bypass, request: &Request<ReqBody>) -> Forward
    where
        ReqBody: Body,
        K: KeyExtractor<ReqBody>,
    {
        tracing::trace!(reason = reason.as_str(), "the request is not collapsed");
        match reason {
            Bypass::Method => {
                self.tell_method(request);
                Forward::Method
            }
            Bypass::Body if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                cache.misuse.body_is_not_in_key(request.method());
                Forward::Bypass
            }
            _ => Forward::Bypass,
        }
    }

    /// There is no stored response that the request could have.
    fn unread<ReqBody, ResBody>(
        &self,
        request: Request<ReqBody>,
        constraints: RequestConstraints,
    ) -> ResponseFuture<S, K::Body, ResBody>
    where
        S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
        K: KeyExtractor<ReqBody>,
    {
        match constraints.only_if_cached {
            true => ResponseFuture::ready(not_stored(), None),
            false => self.direct(request, Forward::Bypass),
        }
    }

    /// A method that is not collapsed, of a request with a body: where the key covers bodies, that is a mistake.
    fn tell_method<ReqBody>(&self, request: &Request<ReqBody>)
    where
        ReqBody: Body,
        K: KeyExtractor<ReqBody>,
    {
        let methods = &self.cache.requests.methods;
        let has_none = || {
            methods
                .iter()
                .all(|method| matches!(*method, Method::GET | Method::HEAD))
        };
        if self.cache.key.covers_body()
            && *request.method() == Method::POST
            && !request.body().is_end_stream()
            && has_none()
        {
            self.cache.misuse.method_is_not_collapsed(request.method());
        }
    }

    /// The request goes to the inner service, and nothing else happens.
    fn direct<ReqBody, ResBody>(&self, request: Request<ReqBody>, why: Forward) -> ResponseFuture<S, K::Body, ResBody>
    where
        S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
        K: KeyExtractor<ReqBody>,
    {
        let forwarded = self.cache.cache_status.then(|| Forwarded::because(why));
        ResponseFuture::direct(self.inner.clone(), self.cache.key.pass(request), forwarded)
    }
}

/// The response that is stored for a request, where it is in this process, fresh, and for such requests; with its address,
/// unless that is the first variant's.
fn find_fresh<K>(
    cache: &Cache<K>,
    address: &Address,
    headers: &HeaderMap,
    constraints: RequestConstraints,
    now: Instant,
) -> Option<(Option<VariantAddress>, Arc<StoredResponse>)> {
    let (variant, stored) = cache.peek(address, headers, now)?;
    if !constraints.admits(stored.meta()) {
        return None;
    }
    if constraints.has_credentials() {
        let address = variant.as_ref().map_or(address, |variant| &variant.address);
        let time = cache.responses.pass_marker;
        cache.credential_history.remember(address, &stored, now, time);
    }
    Some((variant, stored))
}
