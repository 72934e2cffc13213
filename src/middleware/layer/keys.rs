//! What makes two requests the same.

use std::error::Error;

use http::Method;
use http::header::HeaderName;

use super::MemoLockLayer;
use crate::middleware::key_extractor::UriKey;
use crate::middleware::settings::field_name;

/// # Keys
///
/// What makes two requests the same: requests with one key get one response.
impl<K> MemoLockLayer<K> {
    /// What makes two requests identical. Defaults to [`UriKey`]: method, scheme, authority, path and query.
    ///
    /// **A key has to cover everything that the response depends on**: fields of the request, what other layers put
    /// into its extensions, the address of the client (`ConnectInfo`), and its identity by TLS.
    /// [`key_headers`](Self::key_headers) adds fields; [`KeyFn`](crate::middleware::KeyFn) covers what is in no field; and
    /// [`KeyExtractor::when`](crate::middleware::KeyExtractor::when) keeps such requests out.
    ///
    /// ```
    /// use tower_memolock::middleware::{KeyFn, UriKey};
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let reports = MemoLockLayer::new(MemoryStore::new(), "report")
    ///     .key(KeyFn::new(|head| head.uri().path().to_owned()));
    /// let pages = MemoLockLayer::new(MemoryStore::new(), "page").key(UriKey::new().query_parameters(["page"]));
    /// # let _ = (reports, pages);
    /// ```
    #[must_use]
    pub fn key<L>(self, key: L) -> MemoLockLayer<L> {
        MemoLockLayer { key, cache: self.cache }
    }

    /// Adds header fields to the key, under every extractor: a tenant, for instance, or credentials. Requests that
    /// differ in one of them never share, and no unsafe request removes what is stored for another value. Defaults to
    /// none.
    ///
    /// These fields no longer count as [credentials](crate::middleware::Privacy::credentials): with
    /// `.key_headers(["authorization"])`, requests with the same token share with each other only. The token has to
    /// identify the client and nothing else. A stored response may outlive the token, for as long as the response is
    /// stored.
    ///
    /// The key ends in the SHA-256 of all lines of these fields, and never holds their values. To have a value legible
    /// in the key, see [`UriKey::header`].
    ///
    /// # Panics
    ///
    /// If one is not the name of a field.
    #[must_use]
    #[track_caller]
    pub fn key_headers<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        let mut all = self.cache.requests.key_headers.to_vec();
        for name in names.into_iter().map(field_name) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        self.cache.requests.key_headers = all.into();
        self
    }

    /// The HTTP methods whose requests are collapsed. Defaults to GET and HEAD. A HEAD is answered from the stored
    /// response to a GET, and goes to the inner service by itself where there is none.
    ///
    /// Adding a method says that repeating such a request changes nothing. A request with a body is collapsed only if
    /// the key covers the body, see [`BodyKey`](crate::middleware::BodyKey).
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.cache.requests.methods = methods.into_iter().collect();
        self
    }
}

/// Keys of [`UriKey`], the default.
impl MemoLockLayer<UriKey> {
    /// Leaves scheme and authority out of the key, as [`UriKey::without_authority`] says. By default both are in the
    /// key.
    #[must_use]
    pub fn without_authority(mut self) -> Self {
        self.key = self.key.without_authority();
        self
    }
}
