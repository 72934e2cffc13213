//! The trait, and closures as extractors.

use std::future::{Future, ready};

use http::{Extensions, HeaderMap, HeaderName, Request, Uri};

use super::When;
use crate::key::Key;

/// Finds the key of a request.
///
/// Requests with the same key get the same response, so a key has to cover **everything of the request that the
/// service looks at**. [`UriKey`](super::UriKey), the default, covers the method and the target URI; add to it with
/// [`headers`](super::UriKey::headers), cover the body with [`BodyKey`](super::BodyKey), or leave requests out with
/// [`when`](KeyExtractor::when).
///
/// ```
/// use http::{Request, header};
/// use tower_memolock::middleware::{KeyExtractor, UriKey};
///
/// let keys = UriKey::new()
///     .header(header::ACCEPT_LANGUAGE)
///     .when(|request: &Request<()>| !request.uri().path().starts_with("/admin"));
/// # let _ = keys;
/// ```
///
/// A closure is an extractor too. **It has to cover everything that the response depends on**: the method and the
/// target, unless all requests that reach the layer have the same; fields, among them those that override the target
/// (`X-Forwarded-Host`); what other layers have put into the extensions; the client's address (`ConnectInfo`) and its
/// identity by TLS. [`Key::builder`](crate::Key::builder) makes keys of parts that no client can make look like others.
/// An id to the letter, [`Key::new`](crate::Key::new), stands in the store as it is, for other programs to find. Where
/// a closure makes the keys, no HEAD finds a stored response and no unsafe request removes one; with a
/// [`KeyFn`](super::KeyFn) they do.
///
/// ```
/// use http::Request;
/// use tower_memolock::Key;
/// use tower_memolock::middleware::KeyExtractor;
///
/// fn assert_extractor<B>(_: impl KeyExtractor<B>) {}
///
/// assert_extractor(|request: &Request<()>| {
///     let tenant = request.headers().get("x-tenant")?;
///     Some(Key::builder().part(tenant).part(request.uri().path()).build())
/// });
/// ```
///
/// # Different requests never share a key
///
/// The ready-made extractors are injective in what they cover:
///
/// * A key is a sequence of parts. [`KeyBuilder`](crate::KeyBuilder) escapes whatever could end a part, so the text
///   determines the sequence; a long text is replaced by its SHA-256, marked with a `#` that is otherwise escaped.
/// * The first part is the method, the second the target, `SCHEME://AUTHORITY` (or `//AUTHORITY` where the scheme is
///   not known) and the path with the query. An authority ends at the first `/` or `?`, which it cannot hold
///   (a `Host` that does is no key at all), and a path starts with one, so the target determines its pieces. Bytes are
///   taken as they are: nothing is decoded, lower-cased or sorted.
/// * Every further part is `name=value` for one line of one header field. A name holds no `=`, so the part determines
///   both. Absent fields have no part, empty ones have one, and several lines have several.
/// * [`BodyKey`](super::BodyKey) appends text of fixed length to a key, so the result determines the key and the digest.
/// * Whatever an extractor covers beyond its default is named in a part of its own, behind the target, that begins with
///   a `:`. So the text determines what is covered, too, and extractors that cover different things never have a key in
///   common.
/// * Keys of closures that look like derived ones (`{`, several parts, `}`) get a `:` in front of the first part, which no
///   method begins with. Two closures under one tag have to differ in a part, such as a name.
///
/// # Extractors of your own
///
/// An extractor that looks at the head only implements [`head_key`](KeyExtractor::head_key) and
/// [`pass`](KeyExtractor::pass), with `Body = B`; and [`get_key`](KeyExtractor::get_key) too, so that `HEAD` and unsafe
/// requests find what is stored. An extractor may hand another request to an extractor of this crate, and use the key
/// that this makes.
pub trait KeyExtractor<B>: Clone + Send + Sync + 'static {
    /// The body that the inner service gets.
    type Body: Send;

    /// Whether the key covers the body of the request.
    ///
    /// Requests with a body that the key does not cover are never collapsed. Defaults to `false`.
    fn covers_body(&self) -> bool {
        false
    }

    /// Whether all lines of this header field are part of the key, so that it counts as no
    /// [credential](crate::middleware::Privacy::credentials): requests that differ in it share nothing anyway. Defaults to
    /// `false`.
    fn covers_header(&self, name: &HeaderName) -> bool {
        let _ = name;
        false
    }

    /// The key, as far as the head of the request tells.
    ///
    /// This is on the path of every hit: it should be quick, and cannot wait.
    fn head_key(&self, request: &Request<B>) -> HeadKey;

    /// Reads the body for the key, and returns the request with all of the body still to be read.
    ///
    /// Called where [`head_key`](KeyExtractor::head_key) said [`HeadKey::NeedsBody`]; `None` is a bypass. Defaults to
    /// one, with the body left alone.
    fn body_key(&self, request: Request<B>) -> impl Future<Output = (Option<Key>, Request<Self::Body>)> + Send {
        ready((None, self.pass(request)))
    }

    /// The key that a `GET` for `uri` has, in requests with these header fields and no body.
    ///
    /// With this key a `HEAD` finds the stored response to a `GET`, and an unsafe request makes the stored response for
    /// its target out of date (RFC 9111, section 4.4). `uri` is the URI as the server received it, in front of any
    /// router. Defaults to `None`: a `HEAD` finds nothing, and an unsafe request removes nothing.
    fn get_key(&self, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        let _ = (uri, headers);
        None
    }

    /// The same for requests that have these extensions as well. Defaults to [`get_key`](KeyExtractor::get_key): an
    /// extractor that looks at extensions implements this.
    fn get_key_with(&self, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Option<Key> {
        let _ = extensions;
        self.get_key(uri, headers)
    }

    /// Hands on a request whose body is not needed for the key, unread.
    fn pass(&self, request: Request<B>) -> Request<Self::Body>;

    /// Leaves out the requests for which `predicate` is false: they bypass the layer.
    fn when<F>(self, predicate: F) -> When<Self, F>
    where
        F: Fn(&Request<B>) -> bool + Clone + Send + Sync + 'static,
    {
        When::new(self, predicate)
    }
}

/// What the head of a request tells about its key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadKey {
    /// The key.
    Key(Key),
    /// The request is not to be collapsed, and goes to the inner service.
    Bypass,
    /// The body has to be read: [`KeyExtractor::body_key`] tells.
    NeedsBody,
}

impl From<Option<Key>> for HeadKey {
    fn from(key: Option<Key>) -> Self {
        key.map_or(Self::Bypass, Self::Key)
    }
}

impl<B, F> KeyExtractor<B> for F
where
    B: Send,
    F: Fn(&Request<B>) -> Option<Key> + Clone + Send + Sync + 'static,
{
    type Body = B;

    fn head_key(&self, request: &Request<B>) -> HeadKey {
        self(request).into()
    }

    fn pass(&self, request: Request<B>) -> Request<B> {
        request
    }
}
