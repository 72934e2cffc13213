//! Requests left out by a predicate.

use std::fmt;
use std::future::Future;

use http::{Extensions, HeaderMap, HeaderName, Request, Uri};

use super::{HeadKey, KeyExtractor};
use crate::key::Key;

/// The keys of `K`, for requests that a predicate accepts. Made by [`KeyExtractor::when`].
#[derive(Clone)]
pub struct When<K, F> {
    inner: K,
    predicate: F,
}

impl<K, F> When<K, F> {
    pub(super) fn new(inner: K, predicate: F) -> Self {
        Self { inner, predicate }
    }
}

impl<K: fmt::Debug, F> fmt::Debug for When<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<B, K, F> KeyExtractor<B> for When<K, F>
where
    K: KeyExtractor<B>,
    F: Fn(&Request<B>) -> bool + Clone + Send + Sync + 'static,
{
    type Body = K::Body;

    fn covers_body(&self) -> bool {
        self.inner.covers_body()
    }

    fn covers_header(&self, name: &HeaderName) -> bool {
        self.inner.covers_header(name)
    }

    fn head_key(&self, request: &Request<B>) -> HeadKey {
        if (self.predicate)(request) {
            self.inner.head_key(request)
        } else {
            HeadKey::Bypass
        }
    }

    fn body_key(&self, request: Request<B>) -> impl Future<Output = (Option<Key>, Request<K::Body>)> + Send {
        self.inner.body_key(request)
    }

    fn get_key(&self, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        self.inner.get_key(uri, headers)
    }

    fn get_key_with(&self, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Option<Key> {
        self.inner.get_key_with(uri, headers, extensions)
    }

    fn pass(&self, request: Request<B>) -> Request<K::Body> {
        self.inner.pass(request)
    }
}

#[cfg(test)]
mod tests {
    use super::super::UriKey;
    use super::*;

    #[test]
    fn rejected_request_bypasses() {
        let keys = UriKey::new().when(|request: &Request<()>| request.uri().path() != "/admin");

        let request = |uri: &str| Request::get(uri).body(()).unwrap();
        assert!(matches!(keys.head_key(&request("/a")), HeadKey::Key(_)));
        assert_eq!(keys.head_key(&request("/admin")), HeadKey::Bypass);
    }

    #[test]
    fn closure_with_none_bypasses() {
        let keys = |request: &Request<()>| Key::new(request.uri().path().trim_matches('/')).ok();

        let request = |uri: &str| Request::get(uri).body(()).unwrap();
        assert_eq!(
            keys.head_key(&request("/kristoff")),
            HeadKey::Key(Key::new("kristoff").unwrap())
        );
        assert_eq!(keys.head_key(&request("/")), HeadKey::Bypass);
    }
}
