//! `Cache-Status`: what the layer did with a request (RFC 9211).

pub(crate) mod decision;

use http::header::{Entry, HeaderMap, HeaderName};
use http::{HeaderValue, StatusCode};

use super::reason::Reason;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Why a request went to the inner service (RFC 9211, 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    /// The layer was not to handle it.
    Bypass,
    /// Its method is not one to collapse.
    Method,
    /// Nothing was stored for its target.
    UriMiss,
    /// Something was stored, but no variant for its fields.
    VaryMiss,
    /// Something was stored, but not for requests like this one.
    Request,
    /// Something was stored, but it is stale.
    Stale,
}

impl Forward {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// What became of a request that was not a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forwarded {
    pub(crate) why: Forward,
    /// The status that the inner service answered, where another one is sent on (2.3).
    pub(crate) status: Option<StatusCode>,
    /// Whether the response is to be stored (2.5).
    pub(crate) stored: bool,
    /// Whether it waited for another request, and got the response of that one (2.6).
    pub(crate) collapsed: Option<bool>,
}

impl Forwarded {
    pub(crate) fn because(why: Forward) -> Self {
        Self {
            why,
            status: None,
            stored: false,
            collapsed: None,
        }
    }

    pub(crate) fn collapsed(mut self, collapsed: bool) -> Self {
        self.collapsed = Some(collapsed);
        self
    }

    /// Adds it as the last member, with why it went like this (2.8): caches in front of the inner service come before (2).
    pub(crate) fn tell(self, reason: Reason, headers: &mut HeaderMap) {
        let mut text = format!("memolock; fwd={}", self.why.as_str());
        if let Some(status) = self.status {
            text.push_str("; fwd-status=");
            text.push_str(status.as_str());
        }
        if self.stored {
            text.push_str("; stored");
        }
        match self.collapsed {
            Some(true) => text.push_str("; collapsed"),
            Some(false) => text.push_str("; collapsed=?0"),
            None => {}
        }
        append(text, reason, headers);
    }

    /// Adds the member of a response that the layer has made, which has neither `hit` nor `fwd` (2).
    pub(crate) fn tell_own(reason: Reason, headers: &mut HeaderMap) {
        append("memolock".to_owned(), reason, headers);
    }
}

fn append(mut text: String, reason: Reason, headers: &mut HeaderMap) {
    text.push_str("; detail=");
    text.push_str(reason.as_str());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(CACHE_STATUS, value);
    }
}

/// The member of a stored response that has been stale for so many seconds, as a negative `ttl` (2.4), with the reason
/// why it is served (2.8).
pub(crate) fn stale_hit(overdue: u64, reason: Reason) -> HeaderValue {
    let (sign, reason) = (if overdue == 0 { "" } else { "-" }, reason.as_str());
    let text = format!("memolock; hit; ttl={sign}{overdue}; detail={reason}");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("memolock; hit"))
}

/// The member of a response that was stored, with the seconds it stays fresh (2.1, 2.4).
pub(crate) fn hit(ttl: u64) -> HeaderValue {
    const START: &[u8] = b"memolock; hit; ttl=";
    // Written from its end.
    let mut text = [0; START.len() + 20];
    let mut at = text.len();
    let mut rest = ttl;
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    at -= START.len();
    text[at..at + START.len()].copy_from_slice(START);
    HeaderValue::from_bytes(&text[at..]).unwrap_or_else(|_| HeaderValue::from_static("memolock; hit"))
}

/// Says that a hit was on this process's copy of a response that is stored elsewhere (2.8).
pub(crate) fn tell_near(headers: &mut HeaderMap) {
    let Entry::Occupied(mut members) = headers.entry(CACHE_STATUS) else {
        return;
    };
    // The layer's own member is the last.
    if let Some(own) = members.iter_mut().last()
        && let Ok(told) = HeaderValue::from_bytes(&[own.as_bytes(), b"; detail=near"].concat())
    {
        *own = told;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::policy::cache_status::decision::Decision;
    use crate::middleware::policy::reason::RequestOutcome;
    use crate::middleware::policy::structured::{self, Bare, Member};

    fn members(headers: &HeaderMap) -> Vec<(Bare, Vec<String>)> {
        let members = structured::list(headers, &CACHE_STATUS).unwrap();
        let item = |member| match member {
            Member::Item(bare, parameters) => (bare, parameters.into_iter().map(|(name, _)| name).collect()),
            Member::Inner(_) => panic!("an inner list"),
        };
        members.into_iter().map(item).collect()
    }

    #[test]
    fn hit_has_its_ttl() {
        for ttl in [0, 1, 9, 10, 99, 100, 1 << 31, u64::MAX] {
            assert_eq!(hit(ttl), format!("memolock; hit; ttl={ttl}"));
        }
    }

    #[test]
    fn near_hit_says_so_in_its_own_member() {
        let mut headers = HeaderMap::new();
        tell_near(&mut headers);
        assert!(headers.is_empty());
        headers.append(CACHE_STATUS, HeaderValue::from_static("origin; fwd=miss"));
        headers.append(CACHE_STATUS, hit(7));
        tell_near(&mut headers);
        let told: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(told, ["origin; fwd=miss", "memolock; hit; ttl=7; detail=near"]);
        assert_eq!(members(&headers)[1].1, ["hit", "ttl", "detail"]);
    }

    #[test]
    fn stale_hit_has_a_ttl_that_is_over() {
        for (overdue, ttl) in [(0, "0"), (1, "-1"), (77, "-77")] {
            let told = stale_hit(overdue, Reason::StaleWhileRevalidate);
            assert_eq!(told, format!("memolock; hit; ttl={ttl}; detail=stale-while-revalidate"));
        }
    }

    #[test]
    fn member_is_the_last_one_of_a_structured_list() {
        let forwarded = Forwarded {
            why: Forward::Stale,
            status: Some(StatusCode::NOT_MODIFIED),
            stored: true,
            collapsed: Some(false),
        };
        let mut headers = HeaderMap::new();
        headers.append(CACHE_STATUS, HeaderValue::from_static("\"origin cache\"; hit"));
        forwarded.tell(Reason::NoStore, &mut headers);

        let lines: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        let expected = "memolock; fwd=stale; fwd-status=304; stored; collapsed=?0; detail=no-store";
        assert_eq!(lines[1], expected);
        let found = members(&headers);
        assert_eq!(found[0].0, Bare::String("origin cache".to_owned()));
        assert_eq!(found[1].0, Bare::Token("memolock".to_owned()));
        assert_eq!(found[1].1, ["fwd", "fwd-status", "stored", "collapsed", "detail"]);
    }

    #[test]
    fn what_does_not_apply_is_left_out() {
        let because = Forwarded::because;
        for (decision, expected) in [
            (
                because(Forward::Bypass).bypassed(Reason::NoKey),
                "; fwd=bypass; detail=no-key",
            ),
            (
                because(Forward::Method).bypassed(Reason::Method),
                "; fwd=method; detail=method",
            ),
            (
                because(Forward::Request).bypassed(Reason::Credentials),
                "; fwd=request; detail=credentials",
            ),
            (
                because(Forward::UriMiss).collapsed(true).followed(Reason::Absent),
                "; fwd=uri-miss; collapsed; detail=absent",
            ),
            (
                because(Forward::VaryMiss).passed(Reason::Private),
                "; fwd=vary-miss; detail=private",
            ),
            (
                Forwarded::stands_in(Some(StatusCode::BAD_GATEWAY)),
                "; fwd=stale; fwd-status=502; detail=stale-if-error",
            ),
            (Decision::refused(Reason::TooManyWaiters), "; detail=too-many-waiters"),
        ] {
            let mut headers = HeaderMap::new();
            decision.tell(&mut headers);
            assert_eq!(headers[CACHE_STATUS], format!("memolock{expected}"));
        }
        let mut headers = HeaderMap::new();
        Decision::untouched(Reason::Reentry).tell(&mut headers);
        Decision::left(Reason::ClientGone).tell(&mut headers);
        Decision::found(RequestOutcome::Hit, Reason::Fresh).tell(&mut headers);
        assert!(headers.is_empty());
    }
}
