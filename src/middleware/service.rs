//! [`MemoLockService`]: the service that a [`MemoLockLayer`](super::MemoLockLayer) wraps around another.

mod past;
mod warm;

#[cfg(feature = "axum")]
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::cache::Cache;
use super::grpc;
use super::inner::{InnerCall, InnerService, ResponseBody};
use super::key_extractor::{HeadKey, KeyExtractor};
use super::lead::on_path;
use super::methods::Methods;
use super::policy::cache_status::Forward;
use super::policy::credentials::Credentials;
use super::policy::origin::uri_as_received;
use super::policy::reason::{Reason, RequestOutcome};
use super::policy::request::{Access, RequestConstraints, access};
use super::respond::body::MemoBody;
use super::respond::future::ResponseFuture;
use super::serve::answer;
use super::serve::body_key::{BodyKeyRead, answer_with_body};
use super::serve::hit::{self, FreshHit};
use super::serve::partial;
use super::serve::refresh;
use super::serve::unsafe_request::Change;
use crate::error::BoxError;
use crate::key::{Address, Key};
use crate::memo::Aim;
use crate::trace;

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
    layer: Arc<LayerState<K>>,
}

/// What all services of one layer share.
pub(crate) struct LayerState<K> {
    pub(crate) key: K,
    pub(crate) cache: Arc<Cache>,
    /// The methods of a layer for gRPC: a request that is no call of one of them passes untouched.
    pub(crate) methods: Option<Methods>,
}

impl<S, K> MemoLockService<S, K> {
    pub(crate) fn new(inner: S, layer: LayerState<K>) -> Self {
        let layer = Arc::new(layer);
        Self { inner, layer }
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
            layer: Arc::clone(&self.layer),
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
    type Future = ResponseFuture<S, K::Body>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let extractor = &self.layer.key;
        let cache = match &self.layer.methods {
            None => &self.layer.cache,
            Some(methods) => match methods.cache(&request) {
                Some(cache) => cache,
                None => {
                    self.layer
                        .cache
                        .tally
                        .decide(RequestOutcome::Bypassed, Reason::Unnamed, None);
                    return ResponseFuture::untouched(self.inner.clone(), extractor.pass(request));
                }
            },
        };
        #[cfg(feature = "admin")]
        if let Some(shadow) = &cache.shadow {
            return past::watched(self, cache, shadow, request);
        }
        let uncovered_body = !extractor.covers_body() && !request.body().is_end_stream();
        let in_key = |name: &_| extractor.covers_header(name);
        let (method, headers) = (request.method(), request.headers());
        let constraints = match access(method, headers, uncovered_body, in_key, &cache.requests) {
            Access::Share => RequestConstraints::default(),
            Access::Read(constraints) => constraints,
            Access::Change if cache.misuse.is_outside_runtime() => {
                return past::direct(self, request, Forward::Method, Reason::NoRuntime, None);
            }
            Access::Change => return self.change(cache, request),
            Access::Bypass(reason) => {
                let why = past::bypassed(self, cache, reason, &request);
                return past::direct(self, request, why, reason, None);
            }
        };
        if !constraints.is_for_all_of_it() && !cache.credential_history.may_admit(&constraints) {
            return past::unread(self, request, constraints, Reason::Credentials, None);
        }
        let key = match extractor.head_key(&request) {
            HeadKey::Key(_) if constraints.head => get_key(extractor, &request),
            HeadKey::Key(key) => Some(key),
            HeadKey::NeedsBody => return self.with_body(cache, request, constraints),
            HeadKey::Bypass => None,
        };
        let key = key.map(|key| cache.whole_key(key, request.headers()));
        let Some(key) = key else {
            return past::without_key(self, request, constraints);
        };
        let address = Address::of(&cache.memo.shared.tag, key);
        match found(cache, &request, &address, constraints) {
            FreshHit::Answer(hit) => {
                address.recycle();
                ResponseFuture::hit(hit)
            }
            found => self.at(cache, request, address, constraints, found),
        }
    }
}

/// The key of a `GET` of the same target.
pub(crate) fn get_key<B, K: KeyExtractor<B>>(extractor: &K, request: &Request<B>) -> Option<Key> {
    let (headers, extensions) = (request.headers(), request.extensions());
    extractor.get_key_with(uri_as_received(request.uri(), extensions), headers, extensions)
}

/// What this process has for a request whose response belongs at this address. The request is taken by reference,
/// because most requests are hits, and moved no further.
fn found<B: Body>(cache: &Cache, request: &Request<B>, address: &Address, constraints: RequestConstraints) -> FreshHit {
    if on_path::has_been_at(request.extensions(), &cache.memo.shared.store, address) {
        return FreshHit::Reentry;
    }
    cache.ask(address);
    match cache.aim(request.headers(), request.extensions()) {
        // A request with a body cannot go on once its client has an answer.
        Aim::Fresh => hit::find(
            cache,
            address,
            request.headers(),
            constraints,
            request.body().is_end_stream(),
        ),
        Aim::Since(_) | Aim::Now => FreshHit::None,
    }
}

impl<S, K> MemoLockService<S, K> {
    /// Answers a request whose response belongs at this address, and for which this was found.
    fn at<ReqBody, ResBody>(
        &self,
        cache: &Arc<Cache>,
        request: Request<ReqBody>,
        address: Address,
        constraints: RequestConstraints,
        found: FreshHit,
    ) -> ResponseFuture<S, K::Body>
    where
        S: InnerService<K::Body, ResBody> + Clone,
        K: KeyExtractor<ReqBody>,
        K::Body: Send + 'static,
        ReqBody: Body + Send + 'static,
        ResBody: ResponseBody,
    {
        let extractor = &self.layer.key;
        let can_lead = request.body().is_end_stream();
        match found {
            FreshHit::Reentry => {
                // The layer that has seen to the request says what there is to say.
                cache.memo.shared.asks_for_itself(&address);
                cache
                    .tally
                    .decide(RequestOutcome::Bypassed, Reason::Reentry, Some(&address));
                return ResponseFuture::untouched(self.inner.clone(), extractor.pass(request));
            }
            FreshHit::Answer(hit) => return ResponseFuture::hit(hit),
            FreshHit::Refresh(variant, stored) => {
                let mut call = InnerCall::new(self.inner.clone(), extractor.pass(request));
                on_path::mark(&mut call.head.extensions, &cache.memo.shared.store, &address);
                refresh::start(cache, call, variant, &stored, Credentials::known(constraints));
                return ResponseFuture::hit(hit::reply(cache, stored, &address, Instant::now()));
            }
            #[cfg(feature = "admin")]
            FreshHit::Verify(stored) => {
                let call = InnerCall::new(self.inner.clone(), extractor.pass(request));
                hit::verify(cache, call, Arc::clone(&stored), &address);
                return ResponseFuture::hit(hit::reply(cache, stored, &address, Instant::now()));
            }
            FreshHit::None => {}
        }
        if cache.misuse.is_outside_runtime() {
            return past::unread(self, request, constraints, Reason::NoRuntime, Some(&address));
        }
        #[cfg(feature = "axum")]
        if TypeId::of::<S>() == TypeId::of::<axum::routing::Route>() {
            cache.misuse.came_by_router(request.extensions());
        }
        let call = InnerCall::new(self.inner.clone(), extractor.pass(request));
        let told = cache.told_key();
        told.as_ref().inspect(|told| told.set(&address));
        let teller = cache.teller(told).looking_up(trace::lookup(Some(&address)));
        let cache = Arc::clone(cache);
        // Whether the request may lead others, or wait for them.
        match constraints.is_for_all_of_it() {
            true => ResponseFuture::core(answer::give(cache, call, address, constraints, can_lead), teller),
            false => ResponseFuture::core(partial::read(cache, call, address, constraints), teller),
        }
    }

    /// Answers an unsafe request, which may make stored responses out of date.
    fn change<ReqBody, ResBody>(&self, cache: &Arc<Cache>, request: Request<ReqBody>) -> ResponseFuture<S, K::Body>
    where
        S: InnerService<K::Body, ResBody> + Clone,
        K: KeyExtractor<ReqBody>,
        K::Body: Send + 'static,
        ReqBody: Body + Send + 'static,
        ResBody: ResponseBody,
    {
        past::tell_method(self, &request);
        let layer = Arc::clone(&self.layer);
        let find_key =
            Box::new(move |uri: &_, headers: &_, extensions: &_| layer.key.get_key_with(uri, headers, extensions));
        let call = InnerCall::new(self.inner.clone(), self.layer.key.pass(request));
        let change = Change::new(Arc::clone(cache), find_key, &call.head);
        let told = cache.logged_key();
        told.as_ref()
            .zip(change.target())
            .inspect(|(told, target)| told.set(target));
        ResponseFuture::core(change.carry_out(call), cache.teller(told))
    }

    /// Answers a request whose key covers its body, if the body may be read.
    fn with_body<ReqBody, ResBody>(
        &self,
        cache: &Arc<Cache>,
        request: Request<ReqBody>,
        constraints: RequestConstraints,
    ) -> ResponseFuture<S, K::Body>
    where
        S: InnerService<K::Body, ResBody> + Clone,
        K: KeyExtractor<ReqBody>,
        K::Body: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: ResponseBody,
    {
        if constraints != RequestConstraints::default() {
            return past::unread(self, request, constraints, constraints.reason(), None);
        }
        if cache.misuse.is_outside_runtime() {
            return past::unread(self, request, constraints, Reason::NoRuntime, None);
        }
        let deadline = cache.methods.as_ref().and_then(|_| grpc::deadline(request.headers()));
        let reading = self.read_body(request);
        let told = cache.told_key();
        let answer = answer_with_body(Arc::clone(cache), reading, deadline, told.clone());
        ResponseFuture::core(answer, cache.teller(told).looking_up(trace::lookup(None)))
    }

    /// Reads the body of a request for its key.
    fn read_body<ReqBody, ResBody>(&self, request: Request<ReqBody>) -> BodyKeyRead
    where
        S: InnerService<K::Body, ResBody> + Clone,
        K: KeyExtractor<ReqBody>,
        K::Body: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: ResponseBody,
    {
        let (layer, inner) = (Arc::clone(&self.layer), self.inner.clone());
        Box::pin(async move {
            let (key, request) = layer.key.body_key(request).await;
            (key, InnerCall::new(inner, request))
        })
    }
}
