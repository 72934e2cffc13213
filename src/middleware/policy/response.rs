//! Which responses may be shared or stored, and for how long, by their head.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method, StatusCode};

use super::control::MemoControl;
use super::cookies::SetCookie;
use super::ending::{content_length, has_content};
use super::error_mapper::ErrorMapper;
use super::freshness::{Said, Terms, may_have_ttl};
use super::grpc::GrpcRules;
use super::vary::{self, Vary};
use super::{fields, groups};
use crate::random::Random;

/// What a layer stores.
#[derive(Debug, Clone)]
pub(crate) struct ResponseRules {
    /// For how long responses are stored that say nothing about it. `None`, the default: not at all.
    pub(crate) ttl: Option<Duration>,
    /// For how long responses are stored, whatever they say about it. `None`, the default: as long as they say.
    pub(crate) override_ttl: Option<Duration>,
    /// The same as `ttl` for single statuses, before it. Defaults to none.
    pub(crate) status_ttl: Arc<[(StatusCode, Duration)]>,
    /// How long a stale response is kept that can be validated. Defaults to 60 seconds.
    pub(crate) revalidate_for: Duration,
    /// How long a stale response that does not say may be replayed while a new one is computed. Defaults to zero.
    pub(crate) stale_while_revalidate: Duration,
    /// The same where computing a new one fails. Defaults to zero.
    pub(crate) stale_if_error: Duration,
    /// By what part of it a lifetime is shortened at most, at random. Defaults to 0.05.
    pub(crate) ttl_jitter: f64,
    /// How eagerly a response is computed anew before it is stale. Defaults to 0: not at all.
    pub(crate) early_refresh: f64,
    /// How long it is remembered that a response is not one to share. Defaults to 120 seconds.
    pub(crate) pass_marker: Duration,
    /// How long after its head a body may go on whose length is not declared. Defaults to 1.5 seconds.
    pub(crate) endless_after: Duration,
    /// How long the inner service is left alone after a failure. Defaults to zero: not at all.
    pub(crate) fail_pause: Duration,
    /// What becomes of those who wait for a response of which nothing says that it is for all.
    pub(crate) on_unconfirmed: Unconfirmed,
    /// What an error of the inner service is to those who wait. Defaults to none.
    pub(crate) share_errors: Option<ErrorMapper>,
    pub(crate) random: Random,
    /// What becomes of a response that sets a cookie.
    pub(crate) set_cookie: SetCookie,
    /// Whether the one client that `private` means is the program itself. Defaults to `false`.
    pub(crate) private_is_own: bool,
    /// The targeted fields that come before `Cache-Control`, the first that is there. Defaults to `CDN-Cache-Control`.
    pub(crate) targets: Arc<[HeaderName]>,
    /// Whether nothing is stored, only shared.
    pub(crate) no_store: bool,
    /// The most bytes of a body to share or store. Defaults to 8 MiB.
    pub(crate) max_body: u64,
    /// The most bytes of header and trailer fields to share or store. Defaults to 64 KiB.
    pub(crate) max_headers: u64,
    /// The most bytes that all recordings may hold together. Defaults to 256 MiB.
    pub(crate) max_recording: u64,
    /// Of a layer for gRPC, what it stores of one method.
    pub(crate) grpc: Option<GrpcRules>,
    /// Whether those who wait here may read a response before it is whole.
    pub(crate) stream_followers: bool,
}

impl ResponseRules {
    pub(crate) const DEFAULT_MAX_BODY: u64 = 8 * 1024 * 1024;
    pub(crate) const DEFAULT_MAX_HEADERS: u64 = 64 * 1024;
    pub(crate) const DEFAULT_MAX_RECORDING: u64 = 256 * 1024 * 1024;
    pub(crate) const DEFAULT_TTL_JITTER: f64 = 0.05;
    pub(crate) const DEFAULT_PASS_MARKER: Duration = Duration::from_secs(120);
    pub(crate) const DEFAULT_ENDLESS_AFTER: Duration = Duration::from_millis(1500);
    pub(crate) const DEFAULT_REVALIDATE_FOR: Duration = Duration::from_secs(60);

    /// What becomes of the cookies of a response with this control.
    pub(crate) fn set_cookie_of(&self, control: &MemoControl) -> SetCookie {
        control.set_cookie.unwrap_or(self.set_cookie)
    }

    /// How long a response that does not say is stored.
    pub(super) fn ttl_of(&self, status: StatusCode) -> Duration {
        let by_status = self.status_ttl.iter().find(|(known, _)| *known == status);
        match by_status {
            Some((_, ttl)) => *ttl,
            None if may_have_ttl(status) => self.ttl.unwrap_or_default(),
            None => Duration::ZERO,
        }
    }
}

impl Default for ResponseRules {
    fn default() -> Self {
        Self {
            ttl: None,
            override_ttl: None,
            status_ttl: Arc::default(),
            revalidate_for: Self::DEFAULT_REVALIDATE_FOR,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            ttl_jitter: Self::DEFAULT_TTL_JITTER,
            early_refresh: 0.0,
            pass_marker: Self::DEFAULT_PASS_MARKER,
            endless_after: Self::DEFAULT_ENDLESS_AFTER,
            fail_pause: Duration::ZERO,
            on_unconfirmed: Unconfirmed::default(),
            share_errors: None,
            random: Random::default(),
            set_cookie: SetCookie::default(),
            private_is_own: false,
            targets: Arc::new([HeaderName::from_static("cdn-cache-control")]),
            no_store: false,
            max_body: Self::DEFAULT_MAX_BODY,
            max_headers: Self::DEFAULT_MAX_HEADERS,
            max_recording: Self::DEFAULT_MAX_RECORDING,
            grpc: None,
            stream_followers: false,
        }
    }
}

/// What becomes of followers of a response that is *unconfirmed*: nothing says that it is for other clients than its
/// own.
///
/// A response is for all if it says so, with freshness of its own; if its handler says so, with
/// [`MemoControl::ttl`](super::control::MemoControl::ttl); if the layer does, with
/// [`status_ttl`](crate::middleware::Freshness::status_ttl); or if its status is cacheable by default (RFC 9110, section 15.1):
/// 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501. All others may be the fault of one request: redirects by
/// `User-Agent`, 400, 401, 403, 413, 429, 431, 500, 503. Of a gRPC call, the status in its trailers counts: OK,
/// `NOT_FOUND` and `UNIMPLEMENTED` are for all, and `UNKNOWN`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS` are failures,
/// as are statuses from 500 on.
///
/// Set with [`MemoLockLayer::on_unconfirmed`](crate::middleware::Failures::on_unconfirmed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unconfirmed {
    /// Its own client gets it, and exactly one follower, in the whole cluster, asks next. If both fail, all get the
    /// second failure: an inner service in trouble is asked twice. If neither gives anything for all, the followers go
    /// their own way, in parallel. Nothing of this is stored or remembered.
    ///
    /// The follower that asks next has waited since before the first attempt ended. The layer cannot know that it is
    /// another client than the first: a client that sends two such requests at once, and has waited longest, can fail
    /// for all who wait at that moment.
    #[default]
    Confirm,
    /// The followers get the same response. It is not stored.
    Share,
    /// As `Confirm`, but a failure is never shared: after the second one all followers go their own way.
    HandOver,
}

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

/// Who may have a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Those who wait for it, and those who ask later, on these terms.
    Store(Terms),
    /// Those who wait for it already (RFC 9111, 4: a storable response satisfies requests that were collapsed).
    Share,
    /// The one request it was made for.
    Pass(Reason),
}

impl Sharing {
    /// The same, but nothing stored.
    pub(crate) fn at_most_share(self) -> Self {
        match self {
            // Those who wait may have it no more than those who come later.
            Self::Store(terms) if terms.no_cache => Self::Pass(Reason::NoCache),
            Self::Store(_) => Self::Share,
            Self::Share | Self::Pass(_) => self,
        }
    }
}

/// Why a response is for one request only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The status makes sense to its own request only.
    Status,
    /// Nothing says that it is for others.
    Unconfirmed,
    /// The same, of a failure.
    Failure,
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
    /// The request has credentials, and the response does not say that it is for others like it.
    Credentials,
    /// `Vary: *`.
    Vary,
    /// The handler gave it more tags than can be kept, or one that cannot be.
    Tags,
    /// The body is a stream that goes on for as long as its client listens, as its type or its duration tells.
    Endless,
    /// A reply of gRPC that is not one message.
    Messages,
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
            Self::Unconfirmed => "unconfirmed",
            Self::Failure => "failure",
            Self::NoStore => "no-store",
            Self::NoCache => "no-cache",
            Self::Private => "private",
            Self::Malformed => "malformed",
            Self::SetCookie => "set-cookie",
            Self::Credentials => "credentials",
            Self::Vary => "vary",
            Self::Tags => "tags",
            Self::Endless => "endless",
            Self::Messages => "messages",
            Self::TooLarge => "too-large",
            Self::HeadersTooLarge => "headers-too-large",
            Self::NoRoom => "no-room",
        }
    }
}

impl Reason {
    /// Whether the next response is not one to share either, as far as this one tells.
    pub(crate) fn is_lasting(self) -> bool {
        match self {
            Self::NoStore
            | Self::NoCache
            | Self::Private
            | Self::Malformed
            | Self::SetCookie
            | Self::Vary
            | Self::Tags
            | Self::Endless
            | Self::TooLarge
            | Self::HeadersTooLarge => true,
            // Of this request, or of this moment.
            Self::Status | Self::Unconfirmed | Self::Failure | Self::Credentials | Self::Messages | Self::NoRoom => {
                false
            }
        }
    }
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

/// Whether something says that the response is for others than the one who asked.
fn is_confirmed(head: &Head<'_>, said: &Said, rules: &ResponseRules) -> bool {
    let control = head.control;
    is_heuristic(head.status)
        || (said.forbidden.is_none() && said.is_fresh())
        || control.ttl.is_some()
        || control.deferred
        || !rules.ttl_of(head.status).is_zero()
}

/// Whether a status says by itself that the response is for all who ask for its target (RFC 9110, 15.1), parts excepted.
pub(crate) fn is_heuristic(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Finds what forbids to share a response (RFC 9111, 3, and what this crate adds to it), else what it says of itself.
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

/// The final statuses of RFC 9110, 15 and RFC 6585 whose caching needs nothing that this crate has not.
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
