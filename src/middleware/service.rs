//! [`MemoLockService`]: the service that a [`MemoLockLayer`](super::MemoLockLayer) wraps around another.

#[cfg(feature = "axum")]
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::cache::Cache;
use super::key_extractor::{HeadKey, KeyExtractor};
use super::lead::on_path;
use super::lookup::VariantAddress;
use super::methods::Methods;
use super::policy::asker::Credentials;
use super::policy::cache_status::{Forward, Forwarded};
use super::policy::request::{Access, Bypass, RequestConstraints, access};
use super::respond::body::MemoBody;
use super::respond::future::ResponseFuture;
use super::respond::refusal::not_stored;
use super::respond::replay;
use super::respond::told_key::ToldKey;
use super::serve::unsafe_request::Change;
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
    settings: Arc<Cache<K>>,
    /// Of a layer for gRPC: whatever is not a call of one of them passes untouched.
    methods: Option<Arc<Methods<K>>>,
}

impl<S, K> MemoLockService<S, K> {
    pub(crate) fn new(inner: S, settings: Arc<Cache<K>>, methods: Option<Arc<Methods<K>>>) -> Self {
        Self {
            inner,
            settings,
            methods,
        }
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
            settings: Arc::clone(&self.settings),
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
        let settings = match &self.methods {
            None => &self.settings,
            Some(methods) => match methods.settings(&request) {
                Some(settings) => settings,
                None => return ResponseFuture::untouched(self.inner.clone(), self.settings.key.pass(request)),
            },
        };
        // A request with a body cannot go on once its client has an answer.
        let can_lead = request.body().is_end_stream();
        let uncovered_body = !settings.key.covers_body() && !can_lead;
        let in_key = |name: &_| settings.key.covers_header(name);
        let (method, headers) = (request.method(), request.headers());
        let narrow = match access(method, headers, uncovered_body, in_key, &settings.requests) {
            Access::Share => RequestConstraints::default(),
            Access::Read(narrow) => narrow,
            Access::Change if settings.misuse.is_outside_runtime() => return self.direct(request, Forward::Method),
            Access::Change => {
                self.tell_method(&request);
                let change = Change::new(settings, &request);
                let request = settings.key.pass(request);
                return ResponseFuture::core(change.carry_out(self.inner.clone(), request));
            }
            Access::Bypass(reason) => {
                tracing::trace!(reason = reason.as_str(), "the request is not collapsed");
                let why = match reason {
                    Bypass::Method => {
                        self.tell_method(&request);
                        Forward::Method
                    }
                    Bypass::Body => {
                        if !matches!(*method, Method::GET | Method::HEAD) {
                            settings.misuse.body_is_not_in_key(method);
                        }
                        Forward::Bypass
                    }
                    _ => Forward::Bypass,
                };
                return self.direct(request, why);
            }
        };
        // Whether it may lead others, or wait for them.
        let collapses = narrow.is_for_all_of_it();
        if !collapses && !settings.permissions.may_admit(&narrow) {
            return self.unread(request, narrow);
        }
        let told = settings.cache_status_key.then(ToldKey::default);
        let key = match settings.key.head_key(&request) {
            HeadKey::Key(_) if narrow.head => settings.get_key(&request),
            HeadKey::Key(key) => Some(key),
            HeadKey::NeedsBody if narrow == RequestConstraints::default() && !settings.misuse.is_outside_runtime() => {
                let settings = Arc::clone(settings);
                let answer = settings.answer_with_body(self.inner.clone(), request, told.clone());
                return ResponseFuture::core(answer).telling(told);
            }
            HeadKey::NeedsBody | HeadKey::Bypass => None,
        };
        let key = key.map(|key| settings.whole_key(key, request.headers()));
        let Some(key) = key else {
            return self.unread(request, narrow);
        };
        told.as_ref().inspect(|told| told.set(&key));
        let address = Address::of(&settings.memo.shared.tag, key);
        if on_path::has_been_at(request.extensions(), &settings.memo.shared.store, &address) {
            // What the response has to say is for the layer that has seen to the request.
            settings.memo.shared.asks_for_itself(&address);
            return ResponseFuture::untouched(self.inner.clone(), settings.key.pass(request));
        }
        settings.ask(&address);
        if collapses {
            let now = Instant::now();
            let stored = settings.peek(&address, request.headers(), now);
            if let Some((place, stored)) = stored.filter(|(_, stored)| narrow.admits(stored.meta())) {
                if narrow.has_credentials() {
                    let address = place.as_ref().map_or(&address, |place| &place.address);
                    let time = settings.responses.pass_marker;
                    settings.permissions.remember(address, &stored, now, time);
                }
                if !can_lead || !settings.is_early(&stored, now) || settings.misuse.is_outside_runtime() {
                    settings.memo.shared.counters.hits.add();
                    return ResponseFuture::ready(replay::hit(stored, now, settings.cache_status)).telling(told);
                }
                let mut request = settings.key.pass(request);
                on_path::mark(&mut request, &settings.memo.shared.store, &address);
                let place = place.unwrap_or_else(|| VariantAddress::first(&address));
                let asker = Credentials::known(narrow);
                let hit = settings.refresh(self.inner.clone(), request, place, stored, asker);
                return ResponseFuture::ready(hit).telling(told);
            }
        }
        if settings.misuse.is_outside_runtime() {
            return self.unread(request, narrow);
        }
        #[cfg(feature = "axum")]
        if TypeId::of::<S>() == TypeId::of::<axum::routing::Route>() {
            settings.misuse.came_by_router(request.extensions());
        }
        let mut request = settings.key.pass(request);
        on_path::mark(&mut request, &settings.memo.shared.store, &address);
        let settings = Arc::clone(settings);
        match collapses {
            true => ResponseFuture::core(settings.answer(self.inner.clone(), request, address, narrow, can_lead)),
            false => ResponseFuture::core(settings.read(self.inner.clone(), request, address, narrow)),
        }
        .telling(told)
    }
}

impl<S, K> MemoLockService<S, K> {
    /// There is no stored response that the request could have.
    fn unread<ReqBody, ResBody>(
        &self,
        request: Request<ReqBody>,
        narrow: RequestConstraints,
    ) -> ResponseFuture<S, K::Body, ResBody>
    where
        S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
        K: KeyExtractor<ReqBody>,
    {
        match narrow.only_if_cached {
            true => ResponseFuture::ready(not_stored()),
            false => self.direct(request, Forward::Bypass),
        }
    }

    /// A method that is not collapsed, of a request with a body: where the key covers bodies, that is a mistake.
    fn tell_method<ReqBody>(&self, request: &Request<ReqBody>)
    where
        ReqBody: Body,
        K: KeyExtractor<ReqBody>,
    {
        let methods = &self.settings.requests.methods;
        let has_none = || {
            methods
                .iter()
                .all(|method| matches!(*method, Method::GET | Method::HEAD))
        };
        if self.settings.key.covers_body()
            && *request.method() == Method::POST
            && !request.body().is_end_stream()
            && has_none()
        {
            self.settings.misuse.method_is_not_collapsed(request.method());
        }
    }

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
