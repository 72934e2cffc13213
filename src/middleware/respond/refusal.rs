//! Answers of the layer's own: to a request at a limit, and to a request that wants only a stored response.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use super::body::ReplyBody;
use super::trailers_only::{UNAVAILABLE, trailers_only};
use crate::middleware::policy::ending::is_grpc;
use crate::middleware::policy::fields;

/// The field that gRPC clients with a retry policy go by (gRFC A6).
const GRPC_RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// 503 with `Retry-After`; for gRPC, whose clients take the status of HTTP for that of a broken proxy, a response that
/// is over with its head and says UNAVAILABLE.
pub(crate) fn refusal(request: &HeaderMap, retry_after: Duration) -> Response<ReplyBody> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    instead(request, status, "too many requests are waiting", retry_after)
}

/// The same for a request that meets a pause after a failure, with the status of the failure.
pub(crate) fn failure(request: &HeaderMap, status: StatusCode, retry_after: Duration) -> Response<ReplyBody> {
    instead(request, status, "the last call has failed", retry_after)
}

fn instead(request: &HeaderMap, status: StatusCode, message: &str, retry_after: Duration) -> Response<ReplyBody> {
    if is_grpc(request)
        && let Some(content_type) = request.get(CONTENT_TYPE)
    {
        let mut response = trailers_only(content_type.clone(), UNAVAILABLE, message);
        let millis = i32::try_from(retry_after.as_millis()).unwrap_or(i32::MAX);
        fields::set(response.headers_mut(), GRPC_RETRY_PUSHBACK, millis.into());
        return response;
    }
    let mut response = Response::new(ReplyBody::empty());
    fields::set(response.headers_mut(), RETRY_AFTER, seconds(retry_after).into());
    *response.status_mut() = status;
    response
}

/// The value of `Retry-After`.
pub(crate) fn seconds(retry_after: Duration) -> u64 {
    let seconds = retry_after
        .as_secs()
        .saturating_add(u64::from(retry_after.subsec_nanos() > 0));
    // More than clients need to be able to count to (RFC 9111, 1.2.2).
    seconds.min(1 << 31)
}

/// 504, and nothing else (RFC 9111, 5.2.1.7).
pub(crate) fn not_stored() -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn field<'a>(response: &'a Response<ReplyBody>, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2")] {
            let response = refusal(&HeaderMap::new(), Duration::from_millis(millis));
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(field(&response, "retry-after"), Some(seconds));
        }
    }

    #[test]
    fn no_time_is_too_long_to_be_told() {
        for time in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::new(1 << 31, 1)] {
            let response = refusal(&HeaderMap::new(), time);
            assert_eq!(field(&response, "retry-after"), Some("2147483648"));
            let request = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
            let response = refusal(&request, time);
            assert_eq!(field(&response, "grpc-retry-pushback-ms"), Some("2147483647"));
        }
    }

    #[test]
    fn grpc_has_its_status_in_the_head_of_a_200() {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web-text",
        ] {
            let request = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            let response = refusal(&request, Duration::from_millis(1500));
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(field(&response, "content-type"), Some(content_type));
            assert_eq!(field(&response, "grpc-status"), Some("14"));
            assert_eq!(field(&response, "grpc-retry-pushback-ms"), Some("1500"));
            assert_eq!(field(&response, "retry-after"), None);
        }
    }
}
