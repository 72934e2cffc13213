//! How long a response is fresh, and how long it may be of use after that (RFC 9111, 4.2; RFC 5861).

use std::time::{Duration, SystemTime};

use http::header::{DATE, ETAG, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::cache_control::CacheControl;
use super::permission::Permission;
use super::response::Head;
use super::response_rules::ResponseRules;
use super::sharing::Reason;
use super::{age, targeted};

/// The longest time for which an error that declares itself fresh is kept. Where an origin puts one lifetime on all
/// that it sends, an error that one client provoked would otherwise stay for all (cache-poisoned denial of service).
const MAX_ERROR_TTL: Duration = Duration::from_secs(10);

/// On which terms a response is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long it stays fresh from now on.
    pub(crate) fresh_for: Duration,
    /// How long after that it is kept, to be validated.
    pub(crate) kept_for: Duration,
    /// How long after that it may be replayed while a new one is computed (RFC 5861, 3).
    pub(crate) stale_while_revalidate: Duration,
    /// How long after that it may be replayed where computing a new one fails (RFC 5861, 4).
    pub(crate) stale_if_error: Duration,
    /// Whether it is never replayed stale (RFC 9111, 4.2.4).
    pub(crate) must_revalidate: bool,
    /// Whether it is never replayed without validation (RFC 9111, 5.2.2.4).
    pub(crate) no_cache: bool,
    /// Whether it is for requests with `Authorization` too (RFC 9111, 3.5).
    pub(crate) for_authorized: bool,
    /// Whether it is for requests with other credentials too: a cookie, most of all. Ours; the RFC has no rule.
    pub(crate) for_cookies: bool,
}

/// What a response says of its own freshness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// The directives that count here.
    pub(super) directives: CacheControl,
    /// For how long these directives make it fresh, if they say so.
    lifetime: Option<Duration>,
    /// Why it is for one client only, if any of its fields about caching says so. Then only freshness of its own lets
    /// it be shared, which a targeted field may give it nevertheless (RFC 9213).
    pub(super) forbidden: Option<Reason>,
    /// The same where `private` means nothing.
    unless_private: Option<Reason>,
}

impl Said {
    pub(super) fn by(headers: &HeaderMap, targets: &[HeaderName], now: SystemTime) -> Result<Self, Reason> {
        let (directives, targeted) = targeted::directives(headers, targets)?;
        let anywhere = targeted::anywhere(headers, targets);
        let lifetime = lifetime(&directives, headers, targeted, now);
        let mut said = Self {
            directives,
            lifetime,
            forbidden: anywhere.forbidden,
            unless_private: anywhere.unless_private,
        };
        said.directives.no_cache |= anywhere.no_cache && !said.is_fresh();
        Ok(said)
    }

    /// The one client that `private` means is the program that this layer is part of.
    pub(super) fn lift_private(&mut self) {
        self.forbidden = self.unless_private;
    }

    /// Whether it says that it is fresh.
    pub(super) fn is_fresh(&self) -> bool {
        !self.directives.no_cache && self.lifetime.is_some_and(|lifetime| !lifetime.is_zero())
    }

    /// For how long it is fresh, and whether it is not to be replayed without validation.
    fn fresh_for(&self, head: &Head<'_>, rules: &ResponseRules, now: SystemTime) -> (Duration, bool) {
        let of_layer = rules.override_ttl.filter(|_| may_have_ttl(head.status));
        let by_route = head.control.ttl.or(of_layer);
        let own = self
            .lifetime
            .map(|lifetime| left_of(at_status(lifetime, head.status), head.headers, now));
        match (by_route, own) {
            // Nothing that another field says makes it last longer.
            (by_route, own) if self.forbidden.is_some() => {
                let own = own.unwrap_or_default();
                (by_route.map_or(own, |ttl| ttl.min(own)), false)
            }
            (Some(ttl), _) => (ttl, false),
            (None, _) if self.directives.no_cache => (Duration::ZERO, true),
            (None, Some(own)) => (own, false),
            (None, None) => (rules.ttl_of(head.status), false),
        }
    }
}

impl Terms {
    /// The same permissions, and no lifetime: for the followers of this moment.
    pub(crate) fn for_followers_only(self) -> Self {
        Self {
            for_authorized: self.for_authorized,
            for_cookies: self.for_cookies,
            ..Self::default()
        }
    }

    /// The terms of a response that says this of itself. A response without any freshness is for the followers only.
    pub(super) fn of(head: &Head<'_>, said: &Said, rules: &ResponseRules, now: SystemTime) -> Self {
        let directives = &said.directives;
        let (fresh_for, no_cache) = said.fresh_for(head, rules, now);
        let must_revalidate = no_cache
            || directives.must_revalidate
            || directives.proxy_revalidate
            // RFC 9111, 5.2.2.10.
            || directives.s_maxage.is_some();
        let window = |span: Option<Duration>| span.filter(|_| !must_revalidate).unwrap_or_default();
        let by_layer = |span| (may_have_ttl(head.status) && said.forbidden.is_none()).then_some(span);
        let Permission { authorized, cookies } = Permission::by(directives, head.control);
        Self {
            fresh_for,
            kept_for: if can_be_validated(head.method, head.status, head.headers) {
                rules.revalidate_for
            } else {
                Duration::ZERO
            },
            stale_while_revalidate: window(
                directives
                    .stale_while_revalidate
                    .or_else(|| by_layer(rules.stale_while_revalidate)),
            ),
            stale_if_error: window(directives.stale_if_error.or_else(|| by_layer(rules.stale_if_error))),
            must_revalidate,
            no_cache,
            for_authorized: authorized,
            for_cookies: cookies,
        }
    }

    /// The same terms, but a stale response is not kept.
    pub(crate) fn while_fresh(self) -> Self {
        Self {
            kept_for: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            ..self
        }
    }

    /// How long to store the response, which has been there for `elapsed`; `None` where it is of no use to any request
    /// later.
    pub(crate) fn left_after(&self, elapsed: Duration) -> Option<Duration> {
        let fresh = self.fresh_for.saturating_sub(elapsed);
        let all = self.fresh_for.saturating_add(self.kept());
        (self.no_cache || !fresh.is_zero()).then(|| all.saturating_sub(elapsed))
    }

    /// How long the response is kept once it is stale, for whatever purpose.
    fn kept(&self) -> Duration {
        self.kept_for.max(self.stale_while_revalidate).max(self.stale_if_error)
    }

    /// Whether there is anything to store.
    pub(super) fn is_for_later(&self) -> bool {
        !self.fresh_for.is_zero() || (self.no_cache && !self.kept_for.is_zero())
    }
}

/// How long the response says that it is fresh (RFC 9111, 4.2.1).
fn lifetime(directives: &CacheControl, headers: &HeaderMap, targeted: bool, now: SystemTime) -> Option<Duration> {
    let by_directive = directives.s_maxage.or(directives.max_age);
    if by_directive.is_some() || targeted || !headers.contains_key(EXPIRES) {
        return by_directive;
    }
    // Invalid or ambiguous is in the past (5.3).
    let several = headers.get_all(EXPIRES).iter().nth(1).is_some();
    let expires = age::date(headers, &EXPIRES).filter(|_| !several);
    let date = age::date(headers, &DATE).unwrap_or(now);
    let lifetime = expires.and_then(|expires| expires.duration_since(date).ok());
    Some(lifetime.unwrap_or_default())
}

/// The same lifetime, but a short one for an error. An error that says something about the target itself is as good as
/// a success.
fn at_status(lifetime: Duration, status: StatusCode) -> Duration {
    let is_error = status.is_client_error() || status.is_server_error();
    if is_error && !matches!(status.as_u16(), 404 | 405 | 410 | 414 | 451) {
        return lifetime.min(MAX_ERROR_TTL);
    }
    lifetime
}

fn left_of(lifetime: Duration, headers: &HeaderMap, now: SystemTime) -> Duration {
    age::on_arrival(headers, now).map_or(Duration::ZERO, |age| lifetime.saturating_sub(age))
}

/// Whether a later conditional request could find out that the response is still right (RFC 9110, 13.1).
fn can_be_validated(method: &Method, status: StatusCode, headers: &HeaderMap) -> bool {
    *method == Method::GET
        && status == StatusCode::OK
        && (headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED))
}

/// Whether the layer's ttl counts for a status: success and permanent redirects. These are the statuses that RFC 9110,
/// 15.1 calls heuristically cacheable, without the errors: no origin asked for an error to stay.
pub(super) fn may_have_ttl(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308)
}
