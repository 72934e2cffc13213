//! What an unsafe request makes out of date (RFC 9111, 4.4).

use http::header::{CONTENT_LOCATION, HOST, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri};

/// Whether a request with this method may change its target: every method that is not known to be safe.
pub(crate) fn may_change(method: &Method) -> bool {
    // QUERY (RFC 10008), which older versions of `http` do not know to be safe.
    !method.is_safe() && *method != Method::CONNECT && method.as_str() != "QUERY"
}

/// Whether an answer says that something was changed.
pub(crate) fn has_changed(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// The other targets of the same origin that the answer names, in `Location` and `Content-Location`.
///
/// `uri` and `request` are of the request. Another origin's are none of its business, says the RFC: a handler that can answer
/// for one site must not empty the cache of another.
pub(crate) fn locations(uri: &Uri, request: &HeaderMap, response: &HeaderMap) -> Vec<PathAndQuery> {
    let lines = [LOCATION, CONTENT_LOCATION].map(|name| response.get(name));
    let mut found = Vec::new();
    for line in lines.into_iter().flatten() {
        let Some(target) = line.to_str().ok().and_then(|line| resolve(uri, request, line)) else {
            continue;
        };
        if Some(&target) != uri.path_and_query() && !found.contains(&target) {
            found.push(target);
        }
    }
    found
}

/// The path and query that a reference leads to (RFC 3986, 5.2), unless that is another origin's.
fn resolve(base: &Uri, request: &HeaderMap, reference: &str) -> Option<PathAndQuery> {
    let reference = reference.split('#').next()?;
    let (authority, rest) = match reference.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || is_scheme(scheme) => {
            let known = base.scheme_str().filter(|_| !scheme.is_empty());
            if known.is_some_and(|known| !scheme.trim_end_matches(':').eq_ignore_ascii_case(known)) {
                return None;
            }
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ => (None, reference),
    };
    if let Some(authority) = authority
        && !authority.eq_ignore_ascii_case(own_authority(base, request)?)
    {
        return None;
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path = match path.as_bytes() {
        [] if authority.is_some() => "/".to_owned(),
        [] => base.path().to_owned(),
        [b'/', ..] => without_dots(path),
        _ => {
            let directory = base.path().rsplit_once('/').map_or("", |(directory, _)| directory);
            without_dots(&format!("{directory}/{path}"))
        }
    };
    match query {
        Some(query) => format!("{path}?{query}").parse().ok(),
        None => path.parse().ok(),
    }
}

fn own_authority<'a>(uri: &'a Uri, request: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.get(HOST)?.to_str().ok(),
    }
}

/// `scheme:`, as in front of `//`.
fn is_scheme(text: &str) -> bool {
    text.strip_suffix(':').is_some_and(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// RFC 3986, 5.2.4, for a path that begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    #[test]
    fn unsafe_and_unknown_methods_may_change_something() {
        for (method, expected) in [
            ("GET", false),
            ("HEAD", false),
            ("OPTIONS", false),
            ("TRACE", false),
            ("QUERY", false),
            ("CONNECT", false),
            ("POST", true),
            ("PUT", true),
            ("DELETE", true),
            ("PATCH", true),
            ("M-SEARCH", true),
            ("get", true),
        ] {
            assert_eq!(may_change(&method.parse().unwrap()), expected, "{method}");
        }
        for (status, expected) in [
            (200, true),
            (204, true),
            (303, true),
            (400, false),
            (404, false),
            (500, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(has_changed(status), expected, "{status}");
        }
    }

    #[test]
    fn references_lead_to_targets_of_the_same_origin() {
        let origin_form = "/a/b?c".parse().unwrap();
        let absolute = "http://example.com/a/b?c".parse().unwrap();
        let host = headers(&[("host", "example.com")]);
        for (reference, expected) in [
            ("/x", Some("/x")),
            ("/x?y", Some("/x?y")),
            ("/x#y", Some("/x")),
            ("x", Some("/a/x")),
            ("./x", Some("/a/x")),
            ("../x", Some("/x")),
            ("../../../x", Some("/x")),
            ("/x/./y/../z", Some("/x/z")),
            ("/x/..", Some("/")),
            ("/x/y/..", Some("/x/")),
            ("/x/.", Some("/x/")),
            ("x//y", Some("/a/x//y")),
            ("1p://example.com/x", Some("/a/1p://example.com/x")),
            ("h*p://example.com/x", Some("/a/h*p://example.com/x")),
            ("http//example.com/x", Some("/a/http//example.com/x")),
            ("?d", Some("/a/b?d")),
            ("http://example.com/x", Some("/x")),
            ("HTTP://EXAMPLE.com/x", Some("/x")),
            ("//example.com/x", Some("/x")),
            ("http://example.com", Some("/")),
            ("http://example.com?x", Some("/?x")),
            ("http://other.example/x", None),
            ("http://example.com:81/x", None),
            ("http://example.com@other.example/x", None),
            ("//other.example/x", None),
            ("/a/b?c", None),
        ] {
            for (uri, request) in [(&origin_form, &host), (&absolute, &headers(&[]))] {
                let response = headers(&[("location", reference)]);
                let found = locations(uri, request, &response);
                let found: Vec<_> = found.iter().map(PathAndQuery::as_str).collect();
                assert_eq!(found, Vec::from_iter(expected), "{reference} at {uri}");
            }
        }
        for other in ["https://example.com/x", "a+b-c.1://example.com/x"] {
            let other = headers(&[("content-location", other)]);
            assert!(locations(&absolute, &headers(&[]), &other).is_empty());
        }
        for (second, count) in [("/y", 2), ("/x", 1)] {
            let both = headers(&[("location", "/x"), ("content-location", second)]);
            assert_eq!(locations(&absolute, &headers(&[]), &both).len(), count);
        }
    }
}
