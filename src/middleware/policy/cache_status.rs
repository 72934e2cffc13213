//! `Cache-Status`: what the layer did with a request (RFC 9211).

use http::header::{Entry, HeaderMap, HeaderName};
use http::{HeaderValue, StatusCode};

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
    /// Something was, but no variant for its fields.
    VaryMiss,
    /// Something was, but not for requests like this one.
    Request,
    /// Something was, but it is stale.
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
    /// Whether it waited for another request, and had its response (2.6).
    pub(crate) collapsed: Option<bool>,
    /// A word for why it went like this (2.8), which is a token.
    pub(crate) detail: Option<&'static str>,
}

impl Forwarded {
    pub(crate) fn because(why: Forward) -> Self {
        Self {
            why,
            status: None,
            stored: false,
            collapsed: None,
            detail: None,
        }
    }

    pub(crate) fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    pub(crate) fn collapsed(mut self, collapsed: bool) -> Self {
        self.collapsed = Some(collapsed);
        self
    }

    /// Adds it as the last member: caches in front of the inner service come before (2).
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
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
        if let Some(detail) = self.detail {
            text.push_str("; detail=");
            text.push_str(detail);
        }
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(CACHE_STATUS, value);
        }
    }
}

/// The member of a response that was stored and has been stale for so many seconds, which is a negative `ttl` (2.4).
pub(crate) fn stale_hit(overdue: u64) -> HeaderValue {
    let text = match overdue {
        0 => "memolock; hit; ttl=0".to_owned(),
        overdue => format!("memolock; hit; ttl=-{overdue}"),
    };
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

/// Says that a hit was on a copy in this process of what is stored elsewhere (2.8).
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
            assert_eq!(stale_hit(overdue), format!("memolock; hit; ttl={ttl}"));
        }
    }

    #[test]
    fn member_is_the_last_one_of_a_structured_list() {
        let forwarded = Forwarded {
            why: Forward::Stale,
            status: Some(StatusCode::NOT_MODIFIED),
            stored: true,
            collapsed: Some(false),
            detail: Some("no-store"),
        };
        let mut headers = HeaderMap::new();
        headers.append(CACHE_STATUS, HeaderValue::from_static("\"origin cache\"; hit"));
        forwarded.tell(&mut headers);

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
        for (forwarded, expected) in [
            (Forwarded::because(Forward::Bypass), "memolock; fwd=bypass"),
            (Forwarded::because(Forward::Method), "memolock; fwd=method"),
            (Forwarded::because(Forward::Request), "memolock; fwd=request"),
            (
                Forwarded::because(Forward::UriMiss).collapsed(true),
                "memolock; fwd=uri-miss; collapsed",
            ),
            (
                Forwarded::because(Forward::VaryMiss).detail("private"),
                "memolock; fwd=vary-miss; detail=private",
            ),
        ] {
            let mut headers = HeaderMap::new();
            forwarded.tell(&mut headers);
            assert_eq!(headers[CACHE_STATUS], expected);
        }
    }
}
