//! Which requests with credentials a response is for (RFC 9111, 3.5).

use super::cache_control::CacheControl;
use super::control::MemoControl;
use super::meta::Meta;
use super::request::RequestConstraints;
use super::response::Head;
use super::response_rules::ResponseRules;
use super::targeted;

/// What a response says of requests with credentials, its own among them. Nothing, unless it says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Permission {
    /// It is for requests with `Authorization`.
    pub(crate) authorized: bool,
    /// It is for requests with other credentials: a cookie, most of all. Ours; the RFC has no rule.
    pub(crate) cookies: bool,
}

impl Permission {
    pub(super) fn by(directives: &CacheControl, control: &MemoControl) -> Self {
        // Where `private` does not keep a response from this program's own requests, it keeps it from all others.
        let shared = !directives.private;
        let cookies = shared && (directives.public || directives.s_maxage.is_some() || control.public);
        Self {
            authorized: cookies || shared && directives.must_revalidate,
            cookies,
        }
    }

    /// Of a response of the inner service.
    pub(crate) fn of(head: &Head<'_>, rules: &ResponseRules) -> Self {
        targeted::directives(head.headers, &rules.targets)
            .map(|(directives, _)| Self::by(&directives, head.control))
            .unwrap_or_default()
    }

    /// Of a response that is stored.
    pub(crate) fn stored(meta: &Meta) -> Self {
        Self {
            authorized: meta.for_authorized,
            cookies: meta.for_cookies,
        }
    }

    /// Whether the response is for a request like this one, as far as its credentials are concerned.
    pub(crate) fn covers(self, request: &RequestConstraints) -> bool {
        (!request.authorized || self.authorized) && (!request.cookies || self.cookies)
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::super::headers;
    use super::*;

    #[test]
    fn only_what_is_said_is_permitted() {
        let (none, both) = ((false, false), (true, true));
        for (lines, control, expected) in [
            (&[][..], MemoControl::new(), none),
            (&[("cache-control", "max-age=60")], MemoControl::new(), none),
            (&[("cache-control", "proxy-revalidate")], MemoControl::new(), none),
            (&[("cache-control", "x=\"public\"")], MemoControl::new(), none),
            (&[("cache-control", "public, x=\"")], MemoControl::new(), none),
            (
                &[("cache-control", "must-revalidate")],
                MemoControl::new(),
                (true, false),
            ),
            (&[("cache-control", "Public")], MemoControl::new(), both),
            (&[("cache-control", "s-maxage=0")], MemoControl::new(), both),
            (&[], MemoControl::new().public(), both),
            // A field that counts before Cache-Control also counts before its permission.
            (
                &[("cdn-cache-control", "max-age=60"), ("cache-control", "public")],
                MemoControl::new(),
                none,
            ),
        ] {
            let head = Head {
                method: &Method::GET,
                status: StatusCode::OK,
                headers: &headers(lines),
                control: &control,
            };
            let found = Permission::of(&head, &ResponseRules::default());
            assert_eq!((found.authorized, found.cookies), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_request_with_both_needs_both() {
        for authorized in [false, true] {
            for cookies in [false, true] {
                let permission = Permission { authorized, cookies };
                for (request, expected) in [
                    ((false, false), true),
                    ((true, false), authorized),
                    ((false, true), cookies),
                    ((true, true), authorized && cookies),
                ] {
                    let constraints = RequestConstraints {
                        authorized: request.0,
                        cookies: request.1,
                        ..RequestConstraints::default()
                    };
                    assert_eq!(permission.covers(&constraints), expected, "{permission:?} {request:?}");
                }
            }
        }
    }
}
