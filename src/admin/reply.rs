//! The fields of every response of the admin service.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::page;

const PLAIN: &str = "text/plain; charset=utf-8";

/// A whole response. A page loads nothing but itself, may stand in no frame, and no cache may store it.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert("cross-origin-resource-policy", same_origin);
    headers.insert(CONTENT_SECURITY_POLICY, page::security_policy());
    headers.insert(CONTENT_LENGTH, body.len().into());
    response.map(|()| Full::from(body))
}

/// A sentence.
pub(super) fn sentence(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    reply(status, PLAIN, format!("{text}\n"))
}

/// There is something here, but not for this method.
pub(super) fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = sentence(StatusCode::METHOD_NOT_ALLOWED, &format!("This takes {methods}."));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}
