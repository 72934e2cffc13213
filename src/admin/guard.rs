//! Whether another site sent the browser here.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;

/// Whether the request may come from a page of another site (or of another port of this one): such a request must
/// change nothing.
///
/// All browsers send `Sec-Fetch-Site`, or at least `Origin` with a POST. A program that is no browser sends neither.
pub(super) fn is_cross_site(head: &Parts) -> bool {
    let mut sites = head.headers.get_all("sec-fetch-site").into_iter();
    if let Some(site) = sites.next() {
        let own = matches!(site.as_bytes(), b"same-origin" | b"none");
        return !own || sites.next().is_some();
    }
    let mut origins = head.headers.get_all(ORIGIN).into_iter();
    let Some(origin) = origins.next() else {
        return false;
    };
    let host = host(head);
    let of = |scheme| origin.to_str().ok()?.strip_prefix(scheme);
    let is_own = of("http://").or_else(|| of("https://")).zip(host);
    !is_own.is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host)) || origins.next().is_some()
}

/// The host that the request is for.
pub(super) fn host(head: &Parts) -> Option<&str> {
    let named = head.uri.authority().map(Authority::as_str);
    named.or_else(|| head.headers.get(HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn crosses(fields: &[(&str, &str)]) -> bool {
        let request = Request::post("/invalidate?all=1").header("host", "127.0.0.1:9901");
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        is_cross_site(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_program_and_the_page_itself_may_post() {
        assert!(!crosses(&[]));
        for own in ["same-origin", "none"] {
            assert!(!crosses(&[("sec-fetch-site", own)]), "{own}");
        }
        for own in ["http://127.0.0.1:9901", "https://127.0.0.1:9901"] {
            assert!(!crosses(&[("origin", own)]), "{own}");
        }
    }

    #[test]
    fn no_other_site_may() {
        for other in ["cross-site", "same-site", "", "Same-Origin"] {
            assert!(crosses(&[("sec-fetch-site", other)]), "{other}");
        }
        assert!(crosses(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "cross-site")
        ]));
        assert!(crosses(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://127.0.0.1:9901")
        ]));
        for other in [
            "null",
            "http://127.0.0.1:9902",
            "http://127.0.0.1",
            "http://evil.example",
            "http://127.0.0.1:9901.evil.example",
            "ftp://127.0.0.1:9901",
            "",
        ] {
            assert!(crosses(&[("origin", other)]), "{other}");
        }
        assert!(crosses(&[("origin", "http://127.0.0.1:9901"), ("origin", "null")]));
    }
}
