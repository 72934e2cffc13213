//! [`Origin`]: the authority that the groups of a response belong to.

use http::request::Parts;
use http::{Extensions, HeaderMap, Uri, header};

use crate::key::Label;

/// The authority of a request. The scheme is left out: a request in origin form does not tell it, and one server that
/// answers for both has one set of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    pub(crate) fn of(request: &Parts) -> Self {
        Self::new(uri_as_received(&request.uri, &request.extensions), &request.headers)
    }

    pub(crate) fn new(uri: &Uri, headers: &HeaderMap) -> Self {
        let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = uri.authority().map(http::uri::Authority::as_str).or_else(host);
        Self(authority.unwrap_or_default().to_ascii_lowercase())
    }

    /// The label of one of its groups.
    pub(crate) fn group(&self, name: &str) -> Label {
        Label::group(&self.0, name)
    }
}

/// The request's URI before a router took a prefix off.
#[cfg_attr(not(feature = "axum"), allow(unused_variables))]
pub(crate) fn uri_as_received<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = extensions.get() {
        return uri;
    }
    uri
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(uri: &str, host: Option<&str>) -> Origin {
        let request = Request::get(uri);
        let request = host
            .into_iter()
            .fold(request, |request, host| request.header("host", host));
        Origin::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn one_authority_is_one_origin() {
        let origin = of("/a", Some("example.com"));
        for (uri, host) in [
            ("/b", Some("EXAMPLE.com")),
            ("http://example.com/", None),
            ("https://Example.com/", None),
        ] {
            assert_eq!(of(uri, host), origin, "{uri}");
        }
        for (uri, host) in [
            ("/a", Some("example.org")),
            ("/a", None),
            ("http://example.com:8080/", Some("example.com")),
        ] {
            assert_ne!(of(uri, host), origin, "{uri}");
        }
    }
}
