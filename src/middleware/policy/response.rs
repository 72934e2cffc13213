//! Which responses may be shared or stored, and for how long, by their head.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, DATE, EXPIRES, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};

use super::cache_control::CacheControl;
use super::ending::{content_length, has_content};
use super::vary::{self, Vary};
use super::{age, fields};

/// What a layer stores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseRules {
    /// For how long responses are stored that say nothing about it. `None`, the default: not at all.
    pub(crate) ttl: Option<Duration>,
    /// The most bytes of a body to share or store. Defaults to 8 MiB.
    pub(crate) max_body: u64,
    /// The most bytes of header and trailer fields to share or store. Defaults to 64 KiB.
    pub(crate) max_headers: u64,
    /// The most bytes that all recordings may hold together. Defaults to 256 MiB.
    pub(crate) max_recording: u64,
}

impl ResponseRules {
    pub(crate) const DEFAULT_MAX_BODY: u64 = 8 * 1024 * 1024;
    pub(crate) const DEFAULT_MAX_HEADERS: u64 = 64 * 1024;
    pub(crate) const DEFAULT_MAX_RECORDING: u64 = 256 * 1024 * 1024;
}

impl Default for ResponseRules {
    fn default() -> Self {
        Self {
            ttl: None,
            max_body: Self::DEFAULT_MAX_BODY,
            max_headers: Self::DEFAULT_MAX_HEADERS,
            max_recording: Self::DEFAULT_MAX_RECORDING,
        }
    }
}

/// Who may have a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Those who wait for it, and those who ask within this time.
    Store {
        /// How long it stays fresh from now on.
        fresh_for: Duration,
    },
    /// Those who wait for it already (RFC 9111, 4: a storable response satisfies requests that were collapsed).
    Share,
    /// The one request it was made for.
    Pass(Reason),
}

impl Sharing {
    /// The same, but nothing stored.
    pub(super) fn at_most_share(self) -> Self {
        match self {
            Self::Store { .. } => Self::Share,
            Self::Share | Self::Pass(_) => self,
        }
    }
}

/// Why a response is for one request only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The status makes sense to its own request only.
    Status,
    /// `Cache-Control: no-store`.
    NoStore,
    /// `Cache-Control: no-cache`.
    NoCache,
    /// `Cache-Control: private`.
    Private,
    /// `Cache-Control` cannot be parsed.
    Malformed,
    /// The response sets a cookie.
    SetCookie,
    /// `Vary: *`.
    Vary,
    /// The body is a stream that goes on for as long as its client listens.
    Endless,
    /// The body is larger than [`ResponseRules::max_body`].
    TooLarge,
    /// The fields are larger than [`ResponseRules::max_headers`].
    HeadersTooLarge,
    /// Recordings hold [`ResponseRules::max_recording`] already.
    NoRoom,
}

impl Reason {
    /// A word for it, for logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::NoCache => "no-cache",
            Self::Private => "private",
            Self::Malformed => "malformed",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::Endless => "endless",
            Self::TooLarge => "too-large",
            Self::HeadersTooLarge => "headers-too-large",
            Self::NoRoom => "no-room",
        }
    }
}

/// Decides by the head of a response to a request with this method.
pub(crate) fn at_head(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
    rules: &ResponseRules,
    now: SystemTime,
) -> Sharing {
    let directives = match check(status, headers) {
        Ok(directives) => directives,
        Err(reason) => return Sharing::Pass(reason),
    };
    if has_content(method, status)
        && let Some(Ok(length)) = content_length(headers)
        && length > rules.max_body
    {
        return Sharing::Pass(Reason::TooLarge);
    }
    if fields::size(headers) > rules.max_headers {
        return Sharing::Pass(Reason::HeadersTooLarge);
    }
    if status.is_server_error() {
        return Sharing::Share;
    }
    let fresh_for = match lifetime(&directives, headers, now) {
        Some(lifetime) => lifetime.saturating_sub(age::on_arrival(headers, now)),
        None if may_have_ttl(status) => rules.ttl.unwrap_or_default(),
        None => Duration::ZERO,
    };
    if fresh_for.is_zero() {
        return Sharing::Share;
    }
    Sharing::Store { fresh_for }
}

/// Finds what forbids to share a response (RFC 9111, 3, and what this crate adds to it).
fn check(status: StatusCode, headers: &HeaderMap) -> Result<CacheControl, Reason> {
    // RFC 9111, 3: not final, or only with a cache that knows ranges or validates.
    // Nor can binary HTTP represent a status over 599 (RFC 9292, 3.5.1).
    if !matches!(status.as_u16(), 200..=599) || matches!(status.as_u16(), 206 | 226 | 304) {
        return Err(Reason::Status);
    }
    // Not forbidden by the RFC, which relies on Cache-Control here (7.3).
    if headers.contains_key(SET_COOKIE) || headers.contains_key("set-cookie2") {
        return Err(Reason::SetCookie);
    }
    let directives = CacheControl::parse(headers).map_err(|_| Reason::Malformed)?;
    if directives.must_understand {
        // RFC 9111, 5.2.2.3.
        if !is_understood(status) {
            return Err(Reason::Status);
        }
    } else if directives.no_store {
        return Err(Reason::NoStore);
    }
    if directives.private {
        return Err(Reason::Private);
    }
    if directives.no_cache {
        return Err(Reason::NoCache);
    }
    if vary::names(headers) == Vary::Any {
        return Err(Reason::Vary);
    }
    if is_endless(headers) {
        return Err(Reason::Endless);
    }
    Ok(directives)
}

/// Whether the content is made to be read while it grows (server-sent events, motion JPEG): nobody could wait for its
/// end.
fn is_endless(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let media_type = content_type.as_bytes().split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    [&b"text/event-stream"[..], b"multipart/x-mixed-replace"]
        .iter()
        .any(|endless| media_type.eq_ignore_ascii_case(endless))
}

/// How long the response says that it is fresh (RFC 9111, 4.2.1).
fn lifetime(directives: &CacheControl, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let by_directive = directives.s_maxage.or(directives.max_age);
    if by_directive.is_some() || !headers.contains_key(EXPIRES) {
        return by_directive;
    }
    // Invalid or ambiguous is in the past (5.3).
    let several = headers.get_all(EXPIRES).iter().nth(1).is_some();
    let expires = age::date(headers, &EXPIRES).filter(|_| !several);
    let date = age::date(headers, &DATE).unwrap_or(now);
    let lifetime = expires.and_then(|expires| expires.duration_since(date).ok());
    Some(lifetime.unwrap_or_default())
}

/// Whether the layer's ttl counts for a status: success and permanent redirects. Those that RFC 9110, 15.1 calls
/// heuristically cacheable, without the errors: nobody asked for an error to stay.
fn may_have_ttl(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308)
}

/// The final statuses of RFC 9110, 15 and RFC 6585 whose caching needs nothing that this crate has not.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 500..=505 | 511
    )
}

#[cfg(test)]
mod tests;
