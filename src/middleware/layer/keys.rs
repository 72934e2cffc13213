//! What can be set about which requests are the same, and who asks.

use std::error::Error;

use http::header::HeaderName;

use super::MemoLockLayer;
use crate::middleware::key_extractor::{IntoHeadKey, KeyFn, RequestHead, UriKey};

impl<K> MemoLockLayer<K> {
    /// What makes two requests identical. Defaults to [`UriKey`]: method, scheme, authority, path and query.
    ///
    /// **A key has to cover everything that the response depends on**: fields of the request, what other layers put into
    /// its extensions, the address of the client (`ConnectInfo`), and who it is by TLS. Fields can be added with
    /// [`key_headers`](Self::key_headers); what is in no field with [`key_fn`](Self::key_fn); or leave such requests out with [`KeyExtractor::when`](crate::middleware::KeyExtractor::when).
    #[must_use]
    pub fn key<L>(self, key: L) -> MemoLockLayer<L> {
        MemoLockLayer {
            settings: self.settings.with_key(key),
        }
    }

    /// Makes keys with a function of the head of a request, which returns a `String` or a [`Key`](crate::Key), or an
    /// `Option` of one: see [`KeyFn`].
    ///
    /// ```
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let layer = MemoLockLayer::new(MemoryStore::new(), "report")
    ///     .key_fn(|head| head.uri().path().to_owned());
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn key_fn<F, L>(self, make: F) -> MemoLockLayer<KeyFn>
    where
        F: Fn(&RequestHead<'_>) -> L + Send + Sync + 'static,
        L: IntoHeadKey,
    {
        self.key(KeyFn::new(make))
    }

    /// Adds header fields to the key, whatever else makes it: a tenant, for instance, or credentials. Requests that differ
    /// in one of them never share, and no unsafe request removes what belongs to another one. Defaults to none.
    ///
    /// These fields count as [no credentials](Self::not_credentials) any more: with
    /// `.key_headers(["authorization"])`, requests with the same token share with each other only. The
    /// token has to tell who is asking and nothing else, and what is stored outlives it by up to its lifetime.
    ///
    /// The key ends in the SHA-256 of all lines of these fields, and never holds what is in them. To have a value
    /// legible there, see [`UriKey::header`].
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
        let mut all = self.settings.key_headers.to_vec();
        for name in names.into_iter().map(name) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        self.settings.requests.count(all.clone(), false);
        self.settings.key_headers = all.into();
        self
    }

    /// Has requests with one of these fields count as requests with credentials, which share nothing unless a response
    /// says that it is for all of them; see [`ignore_credentials`](Self::ignore_credentials). Defaults to those whose
    /// names say so:
    ///
    /// * A name is split into words at `-`, `_` and `.`: `X-Vault-Token` is `x`, `vault` and `token`. It is enough that
    ///   one of them tells.
    /// * Words that begin with `auth` (but for `author` and `authority`), `token`, `secret`, `passw`, `passphrase`,
    ///   `passcode`, `credential`, `cookie`, `sess`, `csrf`, `xsrf`, `bearer`, `oauth`, `oidc`, `openid`, `saml`,
    ///   `assertion`, `claim`, `hmac`, `macaroon`, `user`, `login`, `email`, `identit`, `principal`, `consumer`,
    ///   `customer`, `account`, `member`, `subscriber`, `employee`, `impersonat`, `permission`, `entitlement`, `webauth`,
    ///   `basicauth`, `accesskey`, `clientid`, `clientcert` or `certificate`.
    /// * Words that are `jws`, `jwe`, `sid`, `sig`, `sso`, `otp`, `totp`, `pin`, `ticket`, `dpop`, `mtls`, `cert`, `certs`,
    ///   `dn`, `uid`, `sub`, `upn`, `msisdn`, `role`, `roles`, `group`, `groups`, `sudo` or `behalf`.
    /// * Words that end in `token`, `auth`, `authorization`, `secret`, `session`, `sessionid`, `sessid`, `signature`,
    ///   `jwt`, `cert`, `cookie`, `credentials`, `email`, `login`, `user` or `username`.
    /// * `key`, and words that end in it, unless it is one by which something is found: behind `idempotency`,
    ///   `websocket`, `cache`, `surrogate`, `routing`, `partition` and a few more of that kind.
    /// * `client` in front of `id`, `cn`, `subject`, `serial`, `issuer`, `verify` or `verified`, or behind `ssl` or `tls`.
    ///
    /// Neither `User-Agent` and its like nor what begins with `Accept-`, `Content-` or `Sec-Fetch-` is one, nor are fields
    /// for tracing or with the address of the client. Nor is a tenant: that belongs into the key, with
    /// [`key_headers`](Self::key_headers). Credentials in the query are part of the key anyway.
    ///
    /// # Panics
    ///
    /// If one is not the name of a field.
    #[must_use]
    #[track_caller]
    pub fn credentials<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        let names = names.into_iter().map(name).collect();
        self.settings.requests.count(names, true);
        self
    }

    /// Has these fields not count as credentials, whatever they are called. Defaults to none.
    ///
    /// Right only where they change nothing about the response: what was made for one of them is given to all others.
    ///
    /// # Panics
    ///
    /// If one is not the name of a field.
    #[must_use]
    #[track_caller]
    pub fn not_credentials<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        let names = names.into_iter().map(name).collect();
        self.settings.requests.count(names, false);
        self
    }
}

impl MemoLockLayer<UriKey> {
    /// Leaves scheme and authority out of the key, as [`UriKey::without_authority`] says. Defaults to both being in it.
    #[must_use]
    pub fn without_authority(mut self) -> Self {
        self.settings.key = self.settings.key.without_authority();
        self
    }

    /// Leaves all parameters of the query out of the key but these, as [`UriKey::query_parameters`] says. Defaults to the
    /// whole query being in it.
    #[must_use]
    pub fn query_parameters<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.key = self.settings.key.query_parameters(names);
        self
    }
}

/// The name of a field that the program itself wrote down.
///
/// # Panics
///
/// If it is not one.
#[track_caller]
pub(super) fn name<N>(name: N) -> HeaderName
where
    N: TryInto<HeaderName>,
    N::Error: Error,
{
    match name.try_into() {
        Ok(name) => name,
        Err(error) => panic!("not the name of a header field: {error}"),
    }
}
