//! [`Privacy`]: which responses are shared, and with which clients.

use std::error::Error;
use std::time::Duration;

use http::header::HeaderName;

use super::{field_name, set};
use crate::middleware::policy::cookies::SetCookie;
use crate::middleware::policy::request::RequestRules;
use crate::middleware::policy::response_rules::ResponseRules;

/// Which responses are shared, and with which clients, for [`MemoLockLayer::privacy`](crate::MemoLockLayer::privacy).
///
/// Layers under one tag take each other's responses where their keys cover the same. So a layer that shares responses
/// that the others do not share needs a tag of its own.
///
/// ```
/// use tower_memolock::middleware::{Privacy, SetCookie};
/// use tower_memolock::{MemoLockLayer, MemoryStore};
///
/// let privacy = Privacy::new().not_credentials(["x-request-token"]).set_cookie(SetCookie::Strip);
/// let layer = MemoLockLayer::new(MemoryStore::new(), "report").privacy(privacy);
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Privacy {
    credentials: Vec<HeaderName>,
    not_credentials: Vec<HeaderName>,
    ignore_credentials: bool,
    is_own: bool,
    set_cookie: Option<SetCookie>,
    pass_marker: Option<Duration>,
}

impl Privacy {
    /// Sets nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has requests with one of these fields count as requests with credentials, which share nothing unless a response
    /// says that it is for all of them; see [`ignore_credentials`](Self::ignore_credentials). Defaults to the fields
    /// whose names say so:
    ///
    /// * A name is split into words at `-`, `_` and `.`: `X-Vault-Token` is `x`, `vault` and `token`. One word that
    ///   tells is enough.
    /// * Words that begin with `auth` (but for `author` and `authority`), `token`, `secret`, `passw`, `passphrase`,
    ///   `passcode`, `credential`, `cookie`, `sess`, `csrf`, `xsrf`, `bearer`, `oauth`, `oidc`, `openid`, `saml`,
    ///   `assertion`, `claim`, `hmac`, `macaroon`, `user`, `login`, `email`, `identit`, `principal`, `consumer`,
    ///   `customer`, `account`, `member`, `subscriber`, `employee`, `impersonat`, `permission`, `entitlement`, `webauth`,
    ///   `basicauth`, `accesskey`, `clientid`, `clientcert` or `certificate`.
    /// * Words that are `jws`, `jwe`, `sid`, `sig`, `sso`, `otp`, `totp`, `pin`, `ticket`, `dpop`, `mtls`, `cert`, `certs`,
    ///   `dn`, `uid`, `sub`, `upn`, `msisdn`, `role`, `roles`, `group`, `groups`, `sudo` or `behalf`.
    /// * Words that end in `token`, `auth`, `authorization`, `secret`, `session`, `sessionid`, `sessid`, `signature`,
    ///   `jwt`, `cert`, `cookie`, `credentials`, `email`, `login`, `user` or `username`.
    /// * `key`, and words that end in it, unless something is found by it: behind `idempotency`, `websocket`, `cache`,
    ///   `surrogate`, `routing`, `partition` and a few more of that kind.
    /// * `client` in front of `id`, `cn`, `subject`, `serial`, `issuer`, `verify` or `verified`, or behind `ssl` or `tls`.
    ///
    /// Neither `User-Agent` and its like nor fields that begin with `Accept-`, `Content-` or `Sec-Fetch-` count, nor
    /// fields for tracing or with the address of the client. Nor does a tenant: that belongs into the key, with
    /// [`key_headers`](crate::MemoLockLayer::key_headers). Credentials in the query are part of the key anyway.
    ///
    /// # Panics
    ///
    /// If one is not the name of a field.
    #[track_caller]
    pub fn credentials<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        self.credentials.extend(names.into_iter().map(field_name));
        self
    }

    /// Has these fields not count as credentials, even if their names say that they are. Defaults to none. A field that
    /// [`credentials`](Self::credentials) names as well counts.
    ///
    /// Right only where these fields change nothing about the response: all clients get the response that was made for
    /// one of them.
    ///
    /// # Panics
    ///
    /// If one is not the name of a field.
    #[track_caller]
    pub fn not_credentials<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        self.not_credentials.extend(names.into_iter().map(field_name));
        self
    }

    /// Says that these fields hold credentials of the program itself, in a layer around its client: requests that
    /// carry them share, whatever their values. Defaults to none.
    ///
    /// Two things follow. The fields count as no [credentials](Self::credentials) any more, as with
    /// [`not_credentials`](Self::not_credentials). And `Cache-Control: private` means this program, on all nodes of
    /// its cluster: such a response is shared and stored like any other. It goes to no request with other
    /// credentials than these.
    ///
    /// Right only where every request with one of these fields is made on behalf of the program. Requests that carry
    /// the credentials of its users, in the same field, would share as well: leave this out there, and make the field
    /// part of the key with [`key_headers`](crate::MemoLockLayer::key_headers). A layer with this setting needs a tag of its own.
    ///
    /// # Panics
    ///
    /// If one is not the name of a field.
    #[track_caller]
    pub fn own_credentials<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        self.is_own = true;
        self.not_credentials(names)
    }

    /// Treats requests with [credentials](Self::credentials) (`Authorization`, `Cookie` and their like) as all others.
    /// By default the layer does so only where a stored response allows it (`public`, `s-maxage`; for `Authorization`,
    /// `must-revalidate`).
    ///
    /// Where no stored response allows it, such a request waits for no other. Its response is stored if the response
    /// allows that itself; otherwise only this client receives it. See [`pass_marker`](Self::pass_marker).
    ///
    /// Right only where credentials change nothing about the response. Where they do,
    /// [`key_headers`](crate::MemoLockLayer::key_headers) makes them part of the key. A layer with this setting needs a tag of its own.
    pub fn ignore_credentials(mut self) -> Self {
        self.ignore_credentials = true;
        self
    }

    /// What becomes of responses that set a cookie. Defaults to [`SetCookie::Refuse`]: only the client that asked
    /// receives each; around a [client](crate::MemoLockLayer::client) to [`SetCookie::Strip`].
    ///
    /// RFC 9111, section 7.3 leaves the decision to `Cache-Control`, but few programs that set a cookie also set that.
    pub fn set_cookie(mut self, set_cookie: SetCookie) -> Self {
        self.set_cookie = Some(set_cookie);
        self
    }

    /// How long the layer remembers that a response was for its own request only (`private`, `Set-Cookie`, too large
    /// and so on, but never an error), less up to a tenth at random. Defaults to 120 seconds; zero switches it off.
    ///
    /// For that time requests for the response neither look it up, nor wait, nor are waited for. The first response
    /// that can be shared after all ends this. The nodes of a cluster learn from the store that the response is not
    /// shared, and may remember it for as long again.
    ///
    /// For the same time each node remembers whether a response was for more requests with credentials than its own. If
    /// it was not, requests like that one do not try to have theirs stored; if it was, they collapse once it is stale.
    pub fn pass_marker(mut self, time: Duration) -> Self {
        self.pass_marker = Some(time);
        self
    }

    /// Puts what is set into the rules of a layer.
    pub(crate) fn apply(self, requests: &mut RequestRules, responses: &mut ResponseRules) {
        let Self {
            credentials,
            not_credentials,
            ignore_credentials,
            is_own,
            set_cookie,
            pass_marker,
        } = self;
        requests.more_credentials = [&requests.more_credentials, credentials.as_slice()].concat().into();
        requests.not_credentials = [&requests.not_credentials, not_credentials.as_slice()].concat().into();
        requests.credentials |= ignore_credentials;
        responses.private_is_own |= is_own;
        set(&mut responses.set_cookie, set_cookie);
        set(&mut responses.pass_marker, pass_marker);
    }
}
