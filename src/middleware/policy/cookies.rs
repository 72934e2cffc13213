//! Responses that set a cookie, which RFC 9111, 7.3 leaves to the operator of a cache.

use http::header::{HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

const NAMES: [HeaderName; 2] = [SET_COOKIE, HeaderName::from_static("set-cookie2")];

/// What becomes of a response with `Set-Cookie`.
///
/// Set with [`Privacy::set_cookie`](crate::middleware::Privacy::set_cookie), or for one response with
/// [`MemoControl::set_cookie`](super::control::MemoControl::set_cookie).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SetCookie {
    /// It is for its own request only.
    #[default]
    Refuse,
    /// It is shared and stored like any other, without the field, in header and trailers: only the client whose request
    /// reached the inner service gets the cookie.
    Strip,
    /// It is shared and stored like any other, with its cookie: if the cookie names a session, all clients share that
    /// session.
    Share,
}

impl SetCookie {
    /// Whether it keeps a response with these fields from being shared.
    pub(crate) fn refuses(self, fields: &HeaderMap) -> bool {
        self == Self::Refuse && NAMES.iter().any(|name| fields.contains_key(name))
    }

    /// Takes out the fields that only one client is to have.
    pub(crate) fn take(self, fields: &mut HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let mut taken = Vec::new();
        if self != Self::Strip {
            return taken;
        }
        for name in NAMES {
            let lines = fields.get_all(&name).iter();
            taken.extend(lines.map(|value| (name.clone(), value.clone())));
            fields.remove(&name);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    #[test]
    fn cookies_are_refused_taken_out_or_left() {
        let plain = headers(&[("x", "1")]);
        for line in [("set-cookie", "a=b"), ("set-cookie2", "a=b")] {
            let fields = headers(&[("x", "1"), line, line]);
            for (set_cookie, refused, left) in [
                (SetCookie::Refuse, true, &fields),
                (SetCookie::Strip, false, &plain),
                (SetCookie::Share, false, &fields),
            ] {
                assert_eq!(set_cookie.refuses(&fields), refused, "{set_cookie:?} {line:?}");
                assert!(!set_cookie.refuses(&plain));
                let mut found = fields.clone();
                let taken = set_cookie.take(&mut found);
                assert_eq!(&found, left, "{set_cookie:?} {line:?}");
                assert_eq!(taken.len(), fields.len() - left.len());
            }
        }
    }
}
