//! Requests that go past the layer to the inner service, or for which there can be no stored response.

#[cfg(feature = "admin")]
use std::sync::Arc;

use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::MemoLockService;
use crate::key::Address;
use crate::middleware::cache::Cache;
use crate::middleware::key_extractor::KeyExtractor;
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::reason::{Reason, RequestOutcome};
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::respond::future::ResponseFuture;
use crate::middleware::respond::refusal::not_stored;
#[cfg(feature = "admin")]
use crate::middleware::serve::watched::asked;
#[cfg(feature = "admin")]
use crate::middleware::shadow::Shadow;

/// Tells of a request that is not collapsed.
pub(super) fn bypassed<S, K, ReqBody>(
    service: &MemoLockService<S, K>,
    cache: &Cache,
    reason: Reason,
    request: &Request<ReqBody>,
) -> Forward
where
    ReqBody: Body,
    K: KeyExtractor<ReqBody>,
{
    match reason {
        Reason::Method => {
            tell_method(service, request);
            Forward::Method
        }
        Reason::BodyNotInKey if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            cache.misuse.body_is_not_in_key(request.method());
            Forward::Bypass
        }
        _ => Forward::Bypass,
    }
}

/// The request has no key.
pub(super) fn without_key<S, K, ReqBody, ResBody>(
    service: &MemoLockService<S, K>,
    request: Request<ReqBody>,
    constraints: RequestConstraints,
) -> ResponseFuture<S, K::Body>
where
    S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
    K: KeyExtractor<ReqBody>,
    ReqBody: Body,
{
    // Where keys cover bodies, a request without a key more likely has too large a body.
    let reason = match request.body().is_end_stream() {
        true => Reason::NoKey,
        false => Reason::BodyNotInKey,
    };
    unread(service, request, constraints, reason, None)
}

/// There is no stored response that the request could have.
pub(super) fn unread<S, K, ReqBody, ResBody>(
    service: &MemoLockService<S, K>,
    request: Request<ReqBody>,
    constraints: RequestConstraints,
    reason: Reason,
    address: Option<&Address>,
) -> ResponseFuture<S, K::Body>
where
    S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
    K: KeyExtractor<ReqBody>,
{
    if !constraints.only_if_cached {
        return direct(service, request, Forward::Bypass, reason, address);
    }
    let (cache, reason) = (&service.layer.cache, Reason::OnlyIfCached);
    cache.tally.decide(RequestOutcome::Refused, reason, address);
    let mut response = not_stored();
    if cache.cache_status {
        Decision::refused(reason).tell(response.headers_mut());
    }
    ResponseFuture::ready(response)
}

/// A request with a body and a method that is not collapsed. Where the key covers bodies, this is a mistake of the
/// settings.
pub(super) fn tell_method<S, K, ReqBody>(service: &MemoLockService<S, K>, request: &Request<ReqBody>)
where
    ReqBody: Body,
    K: KeyExtractor<ReqBody>,
{
    let cache = &service.layer.cache;
    let methods = &cache.requests.methods;
    let has_none = || {
        methods
            .iter()
            .all(|method| matches!(*method, Method::GET | Method::HEAD))
    };
    if service.layer.key.covers_body()
        && *request.method() == Method::POST
        && !request.body().is_end_stream()
        && has_none()
    {
        cache.misuse.method_is_not_collapsed(request.method());
    }
}

/// The request goes to the inner service, and nothing else happens.
pub(super) fn direct<S, K, ReqBody, ResBody>(
    service: &MemoLockService<S, K>,
    request: Request<ReqBody>,
    why: Forward,
    reason: Reason,
    address: Option<&Address>,
) -> ResponseFuture<S, K::Body>
where
    S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
    K: KeyExtractor<ReqBody>,
{
    let cache = &service.layer.cache;
    cache.tally.decide(RequestOutcome::Bypassed, reason, address);
    let decision = || Forwarded::because(why).bypassed(reason);
    let says = cache.cache_status.then(decision);
    ResponseFuture::direct(service.inner.clone(), service.layer.key.pass(request), says)
}

#[cfg(feature = "admin")]
/// In shadow mode: the request goes to the inner service as if the layer were not there.
pub(super) fn watched<S, K, ReqBody, ResBody>(
    service: &MemoLockService<S, K>,
    cache: &Cache,
    shadow: &Arc<Shadow>,
    request: Request<ReqBody>,
) -> ResponseFuture<S, K::Body>
where
    S: Service<Request<K::Body>, Response = Response<ResBody>> + Clone,
    K: KeyExtractor<ReqBody>,
    ReqBody: Body,
{
    let extractor = &service.layer.key;
    let asked = asked(extractor, cache, &request);
    let observer = shadow.begin(asked, cache.responses.clone());
    cache.tally.decide(RequestOutcome::Bypassed, Reason::Shadow, None);
    ResponseFuture::observed(service.inner.clone(), extractor.pass(request), observer)
}
