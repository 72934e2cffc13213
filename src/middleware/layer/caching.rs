//! What can be set about what is stored, for whom and for how long.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::MemoLockLayer;
use crate::middleware::demand::Demand;
use crate::middleware::policy::cookies::SetCookie;

impl<K> MemoLockLayer<K> {
    /// How long to keep a response that says nothing of its own freshness. Defaults to not at all: such a response
    /// goes to those who wait for it at that moment, and to nobody later.
    ///
    /// A response that does say (`Cache-Control: max-age`, `s-maxage`, `Expires`) is kept as long as it says. This is for
    /// none in which any field about caching says `private` or `no-store`, be it `Cache-Control` or a
    /// [targeted](Self::targeted) one, of this cache or of another.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.responses.ttl = (!ttl.is_zero()).then_some(ttl);
        self
    }

    /// How long to keep a response whatever it says of its own freshness, `no-cache` included. Defaults to as long as it
    /// says. A status that [`ttl`](Self::ttl) is not for is not for this either.
    ///
    /// `private`, `no-store`, `Vary: *` and, unless [`set_cookie`](Self::set_cookie) says otherwise, `Set-Cookie` still
    /// keep a response from being shared. One that a [targeted](Self::targeted) field makes fresh beside a `private` of
    /// `Cache-Control` is kept as long as that field says, and no longer.
    #[must_use]
    pub fn override_ttl(mut self, ttl: Duration) -> Self {
        self.settings.responses.override_ttl = Some(ttl);
        self
    }

    /// How long to keep a response with this status that says nothing of its own freshness, in place of
    /// [`ttl`](Self::ttl): zero for not at all. Defaults to `ttl` for 200, 203, 204, 300, 301 and 308, and to not at all
    /// for the others, errors most of all.
    #[must_use]
    pub fn status_ttl(mut self, status: StatusCode, ttl: Duration) -> Self {
        let others = self
            .settings
            .responses
            .status_ttl
            .iter()
            .filter(|(known, _)| *known != status);
        self.settings.responses.status_ttl = others.copied().chain([(status, ttl)]).collect();
        self
    }

    /// What becomes of responses that set a cookie. Defaults to [`SetCookie::Refuse`]: each is for its own request only.
    ///
    /// RFC 9111, section 7.3 leaves it to `Cache-Control`, which few who set a cookie think of.
    #[must_use]
    pub fn set_cookie(mut self, set_cookie: SetCookie) -> Self {
        self.settings.responses.set_cookie = set_cookie;
        self
    }

    /// How many times a key must have been asked for, lately and in this process, before a response to it is stored.
    /// Until then a response goes to those who wait for it at that moment, on every node, and to nobody later. Defaults
    /// to 1; 0 counts as 1.
    ///
    /// With 2 or more, keys that are asked for once cost the store no memory, however many they are and however long
    /// their responses are fresh; the first requests of every other key cost a call each. What counts is every request
    /// with the key, a hit included. Each process counts for itself the last 65,536 keys at least, for ten minutes at
    /// least unless there are more, and for twenty at most. A response that is stored and stale is stored anew whatever
    /// the count.
    #[must_use]
    pub fn store_after(mut self, requests: u32) -> Self {
        self.settings.demand = (requests > 1).then(|| Arc::new(Demand::new(requests)));
        self
    }

    /// Stores nothing: responses go to those who wait for them at that moment. Defaults to storing what may be stored.
    #[must_use]
    pub fn no_store(mut self) -> Self {
        self.settings.responses.no_store = true;
        self
    }

    /// How long to keep a stale response that has an `ETag` or a `Last-Modified`, so that the inner service can say that
    /// it is still right (304) rather than make it anew. Defaults to 60 seconds; zero keeps none.
    ///
    /// Each such response takes memory for that much longer. Whether it is stale is a matter of the nodes' clocks, which
    /// have to agree; those of all other responses need not, because they end when the store says so.
    #[must_use]
    pub fn revalidate_for(mut self, time: Duration) -> Self {
        self.settings.responses.revalidate_for = time;
        self
    }

    /// The targeted cache control fields (RFC 9213) that this layer heeds: the first one that a response has replaces
    /// its `Cache-Control` and `Expires` here. Defaults to `CDN-Cache-Control`, which is meant for every shared cache on
    /// the server's side; a field of the layer's own in front of it tells the two apart.
    ///
    /// A field that is no dictionary, or has no directive that means something here, counts as absent. One that does not
    /// make the response fresh, such as `stale-if-error=600` alone, does not lift the `private` or `no-store` of another
    /// field.
    #[must_use]
    pub fn targeted(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings.responses.targets = fields.into_iter().collect();
        self
    }

    /// Treats requests with [credentials](Self::credentials) (`Authorization`, `Cookie` and their like) as all others. Defaults to doing so only
    /// where a response that was stored allows it (`public`, `s-maxage`; for `Authorization`, `must-revalidate`).
    ///
    /// Where none was, such a request waits for nobody. Its response is stored if it allows that itself, and is for its own
    /// client only if it does not; see [`pass_marker`](Self::pass_marker).
    ///
    /// Right only where credentials change nothing about the response. Where they do,
    /// [`key_headers`](Self::key_headers) makes them part of the key. A layer with this setting needs a tag of its own.
    #[must_use]
    pub fn ignore_credentials(mut self) -> Self {
        self.settings.requests.credentials = true;
        self
    }

    /// Whether a request may say `Cache-Control: only-if-cached` (RFC 9111, section 5.2.1.7): it then gets what is stored, as
    /// one that waits for nobody does, or 504. Defaults to `false`: what clients say of caching is advice (5.2.1), which a
    /// cache that protects its handlers does not take from everybody.
    #[must_use]
    pub fn only_if_cached(mut self, honoured: bool) -> Self {
        self.settings.requests.only_if_cached = honoured;
        self
    }

    /// Whether a request with an unsafe method removes what is stored for its target, and for the `Location` and
    /// `Content-Location` of its answer, unless it failed (RFC 9111, section 4.4). Defaults to `true`.
    ///
    /// Only requests that come through this layer, or another one over the same store with the same tag and a key that
    /// covers the same, can do that: put it around all methods of a route. Each such request waits for the store once. It removes the response to a `GET` with the key that
    /// [`KeyExtractor::get_key`](crate::middleware::KeyExtractor::get_key) finds; where header fields are part of keys,
    /// the one with those of the unsafe request. gRPC calls remove nothing.
    #[must_use]
    pub fn invalidate_on_change(mut self, invalidates: bool) -> Self {
        self.settings.requests.invalidates = invalidates;
        self
    }

    /// Whether responses say in `Cache-Status` (RFC 9211) what the layer did: `memolock; hit; ttl=30`, or
    /// `memolock; fwd=uri-miss; stored`. Defaults to `false`: it helps whoever runs the layer, and whoever probes it
    /// (section 6), and is the one allocation of a hit in memory. It does not tell the key.
    #[must_use]
    pub fn cache_status(mut self, tell: bool) -> Self {
        self.settings.cache_status = tell;
        self
    }

    /// Whether `Cache-Status` says the key as well, up to 256 characters of it, where a request has one:
    /// `memolock; hit; ttl=30; key="{GET http://example.com/}"`. Defaults to `false`: it tells whoever wants to poison a
    /// cache what is not in its keys, and whoever can read responses what is (RFC 9211, section 6). Says
    /// nothing unless [`cache_status`](Self::cache_status) is on.
    #[must_use]
    pub fn cache_status_key(mut self, tell: bool) -> Self {
        self.settings.cache_status_key = tell;
        self
    }
}
