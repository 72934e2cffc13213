//! Which responses may be shared or stored, and for how long, by their head.

use std::time::SystemTime;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};

use super::control::MemoControl;
use super::ending::{content_length, has_content};
use super::freshness::{Said, Terms};
use super::response_rules::{ResponseRules, Unconfirmed};
use super::sharing::{Reason, Sharing};
use super::vary::{self, Vary};
use super::{fields, groups};

/// The head of a response, with what its handler says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// The method of its request.
    pub(crate) method: &'a Method,
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its header fields.
    pub(crate) headers: &'a HeaderMap,
    /// What the handler says.
    pub(crate) control: &'a MemoControl,
}

/// Decides by the head of a response.
pub(crate) fn at_head(head: &Head<'_>, rules: &ResponseRules, now: SystemTime) -> Sharing {
    let said = match check(head, rules, now) {
        Ok(said) => said,
        Err(reason) => return Sharing::Pass(reason),
    };
    if !groups::can_keep(&head.control.tags) {
        return Sharing::Pass(Reason::Tags);
    }
    if has_content(head.method, head.status)
        && let Some(Ok(length)) = content_length(head.headers)
        && length > rules.max_body
    {
        return Sharing::Pass(Reason::TooLarge);
    }
    if fields::size(head.headers) > rules.max_headers {
        return Sharing::Pass(Reason::HeadersTooLarge);
    }
    let terms = Terms::of(head, &said, rules, now);
    if terms.is_for_later() && !rules.no_store {
        Sharing::Store(terms)
    } else if terms.no_cache {
        Sharing::Pass(Reason::NoCache)
    } else if rules.on_unconfirmed == Unconfirmed::Share || is_confirmed(head, &said, rules) {
        Sharing::Share
    } else {
        Sharing::Pass(match head.status.is_server_error() {
            true => Reason::Failure,
            false => Reason::Unconfirmed,
        })
    }
}

/// Whether the response says itself, or its handler, that it is fresh for some time.
pub(crate) fn is_fresh_by_itself(
    headers: &HeaderMap,
    control: &MemoControl,
    rules: &ResponseRules,
    now: SystemTime,
) -> bool {
    control.ttl.is_some() || Said::by(headers, &rules.targets, now).is_ok_and(|said| said.is_fresh())
}

/// Whether a field or the handler says that the response is for other clients than its own.
fn is_confirmed(head: &Head<'_>, said: &Said, rules: &ResponseRules) -> bool {
    let control = head.control;
    is_heuristic(head.status)
        || (said.forbidden.is_none() && said.is_fresh())
        || control.ttl.is_some()
        || control.deferred
        || !rules.ttl_of(head.status).is_zero()
}

/// Whether a status says by itself that the response is for all requests for its target (RFC 9110, 15.1), parts excepted.
pub(crate) fn is_heuristic(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Finds the reason not to share a response (RFC 9111, 3, and the rules that this crate adds), or else what the
/// response says of its freshness.
fn check(head: &Head<'_>, rules: &ResponseRules, now: SystemTime) -> Result<Said, Reason> {
    let Head { status, headers, .. } = *head;
    // RFC 9111, 3: not final, or only with a cache that knows ranges or validates.
    // Nor can binary HTTP represent a status over 599 (RFC 9292, 3.5.1).
    if !matches!(status.as_u16(), 200..=599) || matches!(status.as_u16(), 206 | 226 | 304) {
        return Err(Reason::Status);
    }
    if rules.set_cookie_of(head.control).refuses(headers) {
        return Err(Reason::SetCookie);
    }
    let mut said = Said::by(headers, &rules.targets, now)?;
    if rules.private_is_own {
        said.lift_private();
    }
    let directives = &said.directives;
    if directives.must_understand {
        // RFC 9111, 5.2.2.3.
        if !is_understood(status) {
            return Err(Reason::Status);
        }
    } else if directives.no_store {
        return Err(Reason::NoStore);
    }
    if head.control.no_store {
        return Err(Reason::NoStore);
    }
    if directives.private && !rules.private_is_own {
        return Err(Reason::Private);
    }
    if let Some(reason) = said.forbidden
        && !said.is_fresh()
    {
        return Err(reason);
    }
    if vary::names(headers) == Vary::Any {
        return Err(Reason::Vary);
    }
    if is_endless(headers) {
        return Err(Reason::Endless);
    }
    Ok(said)
}

/// Whether the content is made to be read while it grows (server-sent events, motion JPEG): no client could wait for its
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

/// The final statuses of RFC 9110, 15 and RFC 6585 that this crate knows how to cache.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 500..=505 | 511
    )
}

#[cfg(test)]
mod never;
#[cfg(test)]
mod tests;
