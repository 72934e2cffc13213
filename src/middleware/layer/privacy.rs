//! Which responses are shared, and with whom.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::HeaderName;

use super::MemoLockLayer;
use super::keys::name;
use crate::middleware::policy::cookies::SetCookie;
use crate::middleware::policy::error_mapper::ErrorMapper;
use crate::middleware::policy::response::Unconfirmed;

/// # Privacy
///
/// Which responses are shared, and with whom.
impl<K> MemoLockLayer<K> {
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

    /// Has these fields not count as credentials, even if their names say that they are. Defaults to none.
    ///
    /// Right only where they change nothing about the response: all clients get what was made for one of them.
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

    /// Treats requests with [credentials](Self::credentials) (`Authorization`, `Cookie` and their like) as all others.
    /// Defaults to doing so only where a stored response allows it (`public`, `s-maxage`; for `Authorization`,
    /// `must-revalidate`).
    ///
    /// Where no stored response does, such a request waits for no other. Its response is stored if it allows that
    /// itself; otherwise only this client receives it. See [`pass_marker`](Self::pass_marker).
    ///
    /// Right only where credentials change nothing about the response. Where they do,
    /// [`key_headers`](Self::key_headers) makes them part of the key. A layer with this setting needs a tag of its own.
    #[must_use]
    pub fn ignore_credentials(mut self) -> Self {
        self.settings.requests.credentials = true;
        self
    }

    /// What becomes of responses that set a cookie. Defaults to [`SetCookie::Refuse`]: only the client that asked
    /// receives each.
    ///
    /// RFC 9111, section 7.3 leaves it to `Cache-Control`, which few programs that set a cookie think of.
    #[must_use]
    pub fn set_cookie(mut self, set_cookie: SetCookie) -> Self {
        self.settings.responses.set_cookie = set_cookie;
        self
    }

    /// How long the layer remembers that a response was for its own request only (`private`, `Set-Cookie`, too large
    /// and so on, but never an error), less up to a tenth at random. Defaults to 120 seconds; zero switches it off.
    ///
    /// For that time requests for it neither look it up, nor wait, nor are waited for. The first response that can be
    /// shared after all ends it. Nodes of a cluster learn of it from the store, and may remember it for as long again.
    ///
    /// For the same time each node remembers whether a response was for more requests with credentials than its own. If
    /// it was not, requests like that one do not try to have theirs stored; if it was, they collapse once it is stale.
    #[must_use]
    pub fn pass_marker(mut self, time: Duration) -> Self {
        self.settings.responses.pass_marker = time;
        self
    }

    /// How long after its head a body of unknown length may go on before the layer takes it for *endless*, as feeds,
    /// tails of logs and audio streams are. Defaults to 1.5 seconds.
    ///
    /// An endless body belongs to the client that leads. Its followers, on every node, go to the inner service, and so
    /// do later requests at once, for as long as a [`pass_marker`](Self::pass_marker) says or until a body for the same
    /// key has ended in time. Once no client reads it, the body is dropped. Requests that read along
    /// ([`stream_followers`](Self::stream_followers)) read on.
    ///
    /// A body is given four times as long where something says that it ends: freshness of the response's own, or a ttl
    /// of its handler; a body for the same key that this process has seen to end within that time; or a speed at which
    /// it would be longer than [`max_body`](Self::max_body) by then. A body with a `Content-Length`, or of a known
    /// length, is waited for however slow it is. So a slow page that says nothing of itself costs a call for each
    /// request once, and one call for all from then on. Where that is too many, let the handler declare a length or
    /// freshness, or set this longer.
    #[must_use]
    pub fn endless_after(mut self, time: Duration) -> Self {
        self.settings.responses.endless_after = time;
        self
    }

    /// What becomes of followers of a response of which nothing says that it is for others: a redirect, most errors.
    /// Defaults to [`Unconfirmed::Confirm`]: one follower asks next, and a failure is shared once it is the second.
    #[must_use]
    pub fn on_unconfirmed(mut self, on_unconfirmed: Unconfirmed) -> Self {
        self.settings.responses.on_unconfirmed = on_unconfirmed;
        self
    }

    /// How long the inner service is left alone after a failure, for each key and in each process. Defaults to zero: the
    /// next request asks it again.
    ///
    /// A failure is an error or a panic of the inner service, a status from 500 on but 501, a failed call of gRPC, or a
    /// body that breaks off. Until the pause is over, a request for the same key that finds nothing fresh is answered at
    /// once: with the stale response that may stand in ([`stale_if_error`](Self::stale_if_error)), or with an empty
    /// response that has the status of the failure, 503 for an error, and `Retry-After`; a gRPC call with UNAVAILABLE. An
    /// error for which [`share_errors`](Self::share_errors) makes a response is answered with that.
    ///
    /// Those who waited when the computation failed do as without a pause: one of them asks, and a success ends the pause.
    /// The others get the failure where they would have gone to the inner service. A `HEAD` or a
    /// request for a range heeds the pause, and begins none. Requests whose response may be their own (`POST`, credentials
    /// that nothing was ever shared with) know of no pause.
    ///
    /// The price is that one request that can make the inner service fail for itself alone makes others fail for as long,
    /// where no other one waits with it. So keep this short, and have 4xx say what is a client's own fault.
    #[must_use]
    pub fn fail_pause(mut self, time: Duration) -> Self {
        self.settings.responses.fail_pause = time;
        self
    }

    /// Shares an error of the inner service with followers, as the response that `to_response` makes of it; `None`
    /// leaves it to the request that met it. Defaults to not at all.
    ///
    /// An error is shared once it is the second failure in a row: one follower has tried after the first. The two
    /// requests themselves get their errors as they are, and nothing is stored. Without this, all followers that are
    /// left then go to the inner service, in parallel. An error of another type than `E` is not shared.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let bad_gateway = |_: &std::io::Error| Response::builder().status(502).body(Bytes::new()).ok();
    /// let layer = MemoLockLayer::new(MemoryStore::new(), "page").share_errors(bad_gateway);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn share_errors<E, F>(mut self, to_response: F) -> Self
    where
        E: 'static,
        F: Fn(&E) -> Option<Response<Bytes>> + Send + Sync + 'static,
    {
        self.settings.responses.share_errors = Some(ErrorMapper::new(to_response));
        self
    }
}
