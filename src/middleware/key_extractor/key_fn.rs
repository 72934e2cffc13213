//! Keys that a function makes of the head of a request.

use std::fmt;
use std::sync::Arc;

use http::{Extensions, HeaderMap, Method, Request, Uri};

use super::{HeadKey, KeyExtractor};
use crate::key::Key;
use crate::middleware::policy::origin::uri_as_received;

/// The first part of the keys that are made of a text. No method begins like this, and no key of a closure.
const MARK: &str = "=";

/// The head of a request, as a [`KeyFn`] sees it.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The method; GET, where the response to a GET is looked for.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The URI as the server received it, in front of any router.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The extensions: `ConnectInfo`, for instance, or the user, as the server and the layers above have put them
    /// there.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

/// Keys that a function makes of the head of a request; set with [`MemoLockLayer::key`](crate::MemoLockLayer::key).
///
/// Unlike a bare closure it does not depend on the type of the body, and its type has a name. A HEAD finds a stored
/// response, and a POST, PUT or DELETE to the same target removes it: the layer then asks the function for the key of a
/// GET with the fields and extensions of that request.
///
/// A `String` that it returns may have any length and content: `{= anna^20/report}` is the key of a GET, `{= POST
/// anna}` that of another method, and neither is a key of another extractor. A [`Key`] stands in the store to the
/// letter, as that of a closure does. `None` has the request bypass the layer.
///
/// **It has to cover everything that the response depends on**, as [`KeyExtractor`] says.
#[derive(Clone)]
pub struct KeyFn(Arc<dyn Fn(&RequestHead<'_>) -> HeadKey + Send + Sync>);

impl KeyFn {
    /// Keys that `make` makes.
    #[must_use]
    pub fn new<F, K>(make: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> K + Send + Sync + 'static,
        K: IntoHeadKey,
    {
        Self(Arc::new(move |head| make(head).into_head_key(head)))
    }
}

impl fmt::Debug for KeyFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFn").finish_non_exhaustive()
    }
}

/// What the function of a [`KeyFn`] may return: a [`Key`] or a `String`, or an `Option` of one.
pub trait IntoHeadKey {
    /// The key of a request with this head.
    fn into_head_key(self, head: &RequestHead<'_>) -> HeadKey;
}

impl IntoHeadKey for Key {
    fn into_head_key(self, _: &RequestHead<'_>) -> HeadKey {
        HeadKey::Key(self)
    }
}

impl IntoHeadKey for String {
    fn into_head_key(self, head: &RequestHead<'_>) -> HeadKey {
        let key = match *head.method {
            Method::GET => Key::builder().part(MARK),
            ref method => Key::builder().part(MARK).part(method.as_str()),
        };
        HeadKey::Key(key.part(self).build_with_shape())
    }
}

impl<K: IntoHeadKey> IntoHeadKey for Option<K> {
    fn into_head_key(self, head: &RequestHead<'_>) -> HeadKey {
        self.map_or(HeadKey::Bypass, |key| key.into_head_key(head))
    }
}

impl<B: Send> KeyExtractor<B> for KeyFn {
    type Body = B;

    fn head_key(&self, request: &Request<B>) -> HeadKey {
        (self.0)(&RequestHead {
            method: request.method(),
            uri: uri_as_received(request.uri(), request.extensions()),
            headers: request.headers(),
            extensions: request.extensions(),
        })
    }

    fn get_key(&self, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        KeyExtractor::<B>::get_key_with(self, uri, headers, &Extensions::new())
    }

    fn get_key_with(&self, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Option<Key> {
        let head = RequestHead {
            method: &Method::GET,
            uri,
            headers,
            extensions,
        };
        match (self.0)(&head) {
            HeadKey::Key(key) => Some(key),
            HeadKey::Bypass | HeadKey::NeedsBody => None,
        }
    }

    fn pass(&self, request: Request<B>) -> Request<B> {
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(keys: &KeyFn, method: &str, uri: &str) -> Option<String> {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        match keys.head_key(&request) {
            HeadKey::Key(key) => Some(key.apart().to_string()),
            HeadKey::Bypass | HeadKey::NeedsBody => None,
        }
    }

    #[test]
    fn a_text_is_one_part_of_a_key_that_no_other_extractor_has() {
        let keys = KeyFn::new(|head| head.uri().to_string());
        assert_eq!(key(&keys, "GET", "/a").as_deref(), Some("{= /a}"));
        assert_eq!(key(&keys, "POST", "/a").as_deref(), Some("{= POST /a}"));
        let long = format!("/{}", "a".repeat(5000));
        let found = key(&keys, "GET", &long).unwrap();
        assert!(found.starts_with("{= /aaa") && found.len() < 250, "{found}");
        let blank = KeyFn::new(|head| format!("GET {}", head.uri()));
        assert_eq!(key(&blank, "GET", "/a").as_deref(), Some("{= GET^20/a}"));
    }

    #[test]
    fn a_key_stands_to_the_letter_and_none_is_a_bypass() {
        let keys = KeyFn::new(|head| Key::new(head.uri().path().trim_matches('/')).ok());
        assert_eq!(key(&keys, "GET", "/kristoff").as_deref(), Some("kristoff"));
        assert_eq!(key(&keys, "GET", "/"), None);
        assert_eq!(key(&KeyFn::new(|_| None::<String>), "GET", "/"), None);
    }
}
