//! Calls that the layer answers itself.

use std::fmt::Write;

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response};

use super::body::ReplyBody;
use crate::middleware::policy::fields;

/// The deadline of the call is over.
pub(crate) const DEADLINE_EXCEEDED: u16 = 4;
/// The client may ask again.
pub(crate) const UNAVAILABLE: u16 = 14;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A response that is over with its head (gRPC over HTTP/2, "Trailers-Only"). The status of HTTP is 200 whatever has
/// happened: clients take another one for that of a broken proxy.
pub(crate) fn trailers_only(content_type: HeaderValue, status: u16, message: &str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::empty());
    let headers = response.headers_mut();
    fields::set(headers, CONTENT_TYPE, content_type);
    fields::set(headers, GRPC_STATUS, status.into());
    if let Ok(message) = HeaderValue::try_from(percent_encoded(message)) {
        fields::set(headers, GRPC_MESSAGE, message);
    }
    response
}

/// The answer to a call whose deadline is over.
pub(crate) fn deadline_exceeded() -> Response<ReplyBody> {
    tracing::debug!("the deadline of a call is over");
    let message = "the deadline of the call is over, and there is no reply yet";
    trailers_only(GRPC, DEADLINE_EXCEEDED, message)
}

/// The answer to a call for which nothing can be done any more.
pub(crate) fn unavailable() -> Response<ReplyBody> {
    trailers_only(GRPC, UNAVAILABLE, "the server is shutting down")
}

/// The text as `grpc-message` has it: all bytes that are not printable ASCII, and `%`, stand as a percent sign and two
/// digits.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..0x20 | 0x7f.. => {
                // A string takes whatever is written to it.
                let _ = write!(encoded, "%{byte:02X}");
            }
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn status_and_message_stand_in_the_head_of_a_200() {
        let content_type = HeaderValue::from_static("application/grpc");
        let response = trailers_only(content_type, 14, "100 %, ü\n");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["grpc-message"], "100 %25, %C3%BC%0A");
        assert!(response.body().is_end_stream());
    }
}
