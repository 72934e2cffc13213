//! Whether a response is whole: only its end tells.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};
use http_body::SizeHint;

use super::cookies::SetCookie;
use super::sharing::{Reason, Sharing};
use super::syntax::{grpc_statuses, members};

/// A response that came to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    /// The method of its request.
    pub(crate) method: &'a Method,
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its header fields.
    pub(crate) headers: &'a HeaderMap,
    /// Its trailer fields, if it has a trailer section.
    pub(crate) trailers: Option<&'a HeaderMap>,
    /// How many bytes its body had.
    pub(crate) body_len: u64,
    /// What becomes of it if it sets a cookie.
    pub(crate) set_cookie: SetCookie,
}

/// A response that ended before it was whole. It is neither stored nor shared (RFC 9111, 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incomplete;

/// Decides again when all of a response is there; `sharing` is what
/// [`at_head`](super::response::at_head) said.
pub(crate) fn at_end(sharing: Sharing, response: &Ended<'_>) -> Result<Sharing, Incomplete> {
    if let Some(length) = content_length(response.headers)
        && has_content(response.method, response.status)
        && length? != response.body_len
    {
        return Err(Incomplete);
    }
    if response
        .trailers
        .is_some_and(|trailers| response.set_cookie.refuses(trailers))
    {
        return Ok(Sharing::Pass(Reason::SetCookie));
    }
    match Grpc::of(response) {
        Grpc::No | Grpc::Ok => Ok(sharing),
        Grpc::Unknown | Grpc::Error => Ok(sharing.at_most_share()),
        Grpc::Unfinished => Err(Incomplete),
    }
}

/// Whether it ends a call of gRPC that failed.
pub(super) fn is_failed_call(response: &Ended<'_>) -> bool {
    matches!(Grpc::of(response), Grpc::Error)
}

/// What a response means in gRPC, where the status of HTTP says nothing (gRPC over HTTP/2, "Responses").
enum Grpc {
    /// Not gRPC.
    No,
    /// The call succeeded.
    Ok,
    /// The call failed.
    Error,
    /// gRPC-Web, which has its status in the body.
    Unknown,
    /// There is no status: the call has not come to its end.
    Unfinished,
}

impl Grpc {
    fn of(response: &Ended<'_>) -> Self {
        if !is_grpc(response.headers) {
            return Self::No;
        }
        let mut statuses = grpc_statuses(response.headers, response.trailers).peekable();
        if statuses.peek().is_some() {
            let ok = statuses.all(|status| status == "0");
            return if ok { Self::Ok } else { Self::Error };
        }
        if has_media_type(response.headers, b"application/grpc-web") {
            return Self::Unknown;
        }
        Self::Unfinished
    }
}

/// Whether a message with these fields is one of gRPC or gRPC-Web.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    has_media_type(headers, b"application/grpc")
}

fn has_media_type(headers: &HeaderMap, prefix: &[u8]) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|content_type| content_type.as_bytes().get(..prefix.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a response has content at all (RFC 9110, 6.4.1).
pub(super) fn has_content(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && status != StatusCode::NO_CONTENT
}

/// Whether the head of a response says how long its body is.
pub(crate) fn is_sized(headers: &HeaderMap, hint: &SizeHint) -> bool {
    hint.exact().is_some() || matches!(content_length(headers), Some(Ok(_)))
}

/// `Content-Length`; an error where it is no number, or more than one (RFC 9110, 8.6). `None` as well where it does not
/// count, because of a `Transfer-Encoding` (RFC 9112, 6.3).
pub(super) fn content_length(headers: &HeaderMap) -> Option<Result<u64, Incomplete>> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let mut members = members(headers, &CONTENT_LENGTH);
    let first = members.next()?;
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(first).ok().and_then(|text| text.parse().ok());
    match number {
        Some(length) if is_number && members.all(|other| other == first) => Some(Ok(length)),
        _ => Some(Err(Incomplete)),
    }
}

#[cfg(test)]
mod tests;
