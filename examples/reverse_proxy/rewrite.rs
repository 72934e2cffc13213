//! What a gateway changes in the head of a message.

use http::header::{CONNECTION, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version};

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    base_path: String,
}

impl Target {
    /// Takes apart an absolute `http` URL, `None` if it is none.
    pub(crate) fn new(upstream: Uri) -> Option<Self> {
        let parts = upstream.into_parts();
        let authority = parts.authority?;
        let path = parts.path_and_query.as_ref().map_or("", |p| p.path());
        Some(Self {
            scheme: parts.scheme?,
            host: HeaderValue::from_str(authority.as_str()).ok()?,
            base_path: path.trim_end_matches('/').to_owned(),
            authority,
        })
    }

    /// Turns a request to this gateway into one to the upstream: the same one on every gateway in front of it, so
    /// that they all derive the same key.
    pub(crate) fn rewrite<B>(&self, mut request: Request<B>) -> Request<B> {
        *request.uri_mut() = self.uri(request.uri());
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        let trailers = takes_trailers(headers);
        remove_hop_by_hop(headers, |_| false);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        join_cookies(headers);
        headers.insert(HOST, self.host.clone());
        request
    }

    fn uri(&self, uri: &Uri) -> Uri {
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = match path.strip_prefix('/') {
            Some(rest) => format!("{}/{rest}", self.base_path),
            // `OPTIONS *` is about the server, and `/?query` may come as `?query`.
            None if path == "*" => "*".to_owned(),
            None => format!("{}/{path}", self.base_path),
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = path.parse().ok();
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// Removes what is about the upstream's connection from a response.
pub(crate) fn clean<B>(mut response: Response<B>) -> Response<B> {
    remove_hop_by_hop(response.headers_mut(), is_for_all);
    response
}

/// Whether a field of a response is meant for each client that gets it. The layer and the client judge by such fields
/// which clients the response is for, so an upstream that lists one in `Connection` is not obeyed.
fn is_for_all(name: &HeaderName) -> bool {
    const NAMES: [&str; 10] = [
        "age",
        "cache-groups",
        "date",
        "etag",
        "expires",
        "last-modified",
        "pragma",
        "set-cookie",
        "set-cookie2",
        "vary",
    ];
    let name = name.as_str();
    NAMES.contains(&name) || name.ends_with("-control") || name.starts_with("content-") || name.starts_with("grpc-")
}

/// Removes the fields that are about one connection, RFC 9110 section 7.6.1. Of those that `Connection` lists, the ones
/// to `keep` stay.
///
/// `Trailer` stays: the trailers are passed on, and HTTP/1.1 sends none that are not announced.
fn remove_hop_by_hop(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    let listed: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|name| name.parse().ok())
        .filter(|name| !keep(name))
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &TE).any(|t| t.eq_ignore_ascii_case("trailers"))
}

/// The members of a list field without parameters.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|member| member.split(';').next().unwrap_or("").trim())
        .filter(|member| !member.is_empty())
}

/// HTTP/2 may split the one Cookie field, HTTP/1.1 may not: RFC 9113 section 8.2.3.
fn join_cookies(headers: &mut HeaderMap) {
    let lines = headers.get_all(COOKIE).into_iter();
    let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}
