//! How long responses are stored.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::MemoLockLayer;
use crate::middleware::known::demand::Demand;

/// # Freshness
///
/// How long a response is stored, and what becomes of it once it is stale.
impl<K> MemoLockLayer<K> {
    /// How long to keep a response that says nothing of its own freshness. Defaults to not at all: only those who wait
    /// for such a response at that moment get it.
    ///
    /// A response that does say (`Cache-Control: max-age`, `s-maxage`, `Expires`) is kept as long as it says. The ttl
    /// is not for a response in which any field about caching says `private` or `no-store`, be it `Cache-Control` or a
    /// [targeted](Self::targeted) field, of this cache or of another.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.responses.ttl = (!ttl.is_zero()).then_some(ttl);
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

    /// How long to keep a response, even if it says something else about its freshness, `no-cache` included. Defaults
    /// to as long as it says. A status that [`ttl`](Self::ttl) is not for is not for this either.
    ///
    /// `private`, `no-store`, `Vary: *` and, unless [`set_cookie`](Self::set_cookie) says otherwise, `Set-Cookie` still
    /// keep a response from being shared. A response that a [targeted](Self::targeted) field makes fresh beside a
    /// `private` of `Cache-Control` is kept as long as that field says, and no longer.
    #[must_use]
    pub fn override_ttl(mut self, ttl: Duration) -> Self {
        self.settings.responses.override_ttl = Some(ttl);
        self
    }

    /// Stores nothing: only those who wait for a response at that moment get it. Defaults to storing what may be
    /// stored.
    #[must_use]
    pub fn no_store(mut self) -> Self {
        self.settings.responses.no_store = true;
        self
    }

    /// How many times a key must have been asked for, lately and in this process, before a response to it is stored.
    /// Until then a response goes to those who wait for it at that moment, on every node, and to none later. Defaults
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

    /// How long to keep a stale response that has an `ETag` or a `Last-Modified`, so that the inner service can say
    /// that it is still right (304) instead of making it anew. Defaults to 60 seconds; zero keeps none.
    ///
    /// Each such response takes memory for that much longer. The clocks of the nodes tell whether it is stale, so they
    /// have to agree; all other responses end when the store says so.
    #[must_use]
    pub fn revalidate_for(mut self, time: Duration) -> Self {
        self.settings.responses.revalidate_for = time;
        self
    }

    /// The targeted cache control fields (RFC 9213) that this layer heeds: the first one that a response has replaces
    /// its `Cache-Control` and `Expires` here. Defaults to `CDN-Cache-Control`, which is meant for every shared cache on
    /// the server's side; a field of the layer's own in front of it tells the two apart.
    ///
    /// A field that is no dictionary, or has no directive that means something here, counts as absent. A field that
    /// does not make the response fresh, such as `stale-if-error=600` alone, does not lift the `private` or `no-store`
    /// of another field.
    #[must_use]
    pub fn targeted(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.settings.responses.targets = fields.into_iter().collect();
        self
    }

    /// Whether a request may say `Cache-Control: only-if-cached` (RFC 9111, section 5.2.1.7): it then gets what is
    /// stored, without waiting for a leader, or 504. Defaults to `false`: what clients say of caching is advice
    /// (5.2.1), and a cache that protects its handlers does not take it from every client.
    #[must_use]
    pub fn only_if_cached(mut self, honoured: bool) -> Self {
        self.settings.requests.only_if_cached = honoured;
        self
    }

    /// How long a stale response goes on answering while a new one is computed, where the response does not say
    /// (`stale-while-revalidate`, RFC 5861). Defaults to zero.
    ///
    /// No request waits within that time: all get the stale response, with its true `Age`, and one request in the
    /// cluster goes to the inner service as well, in the background. It goes as it came, and outlives its client. A
    /// request with a body that the key did not read leads as usual instead.
    ///
    /// `must-revalidate`, `proxy-revalidate`, `s-maxage` and `no-cache` forbid it. The clocks of both nodes tell
    /// whether a response that another node stored is stale.
    #[must_use]
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.settings.responses.stale_while_revalidate = time;
        self
    }

    /// How long a stale response stands in where computing a new one fails, where the response does not say
    /// (`stale-if-error`, RFC 5861). Defaults to zero.
    ///
    /// A failure is a 500, 502, 503 or 504, an error or a panic of the inner service, for followers a body that breaks
    /// off, and a leader whose process died. The directives that forbid it are those of
    /// [`stale_while_revalidate`](Self::stale_while_revalidate).
    #[must_use]
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.settings.responses.stale_if_error = time;
        self
    }

    /// Has a response computed anew in the background a little before it is stale: the sooner, the more often it is
    /// asked for and the longer it took (XFetch). Defaults to 0, which switches it off; 1 is what theory recommends,
    /// and more is earlier.
    ///
    /// With `beta` a hit with `left` to go does so where `-beta * cost * ln(random) >= left`. The lock of the cluster
    /// decides which request does it, so it costs one call, and no request waits at the end of a popular response. Off
    /// by default, because it makes the moment of a call a matter of chance, and also the number of calls for a
    /// response that is not asked for again.
    #[must_use]
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.settings.responses.early_refresh = beta;
        self
    }

    /// By what part of it the lifetime of a stored response is shortened at most, at random, so that responses that
    /// were stored together do not end together. Defaults to 0.05. No lifetime becomes longer.
    #[must_use]
    pub fn ttl_jitter(mut self, part: f64) -> Self {
        self.settings.responses.ttl_jitter = part;
        self
    }

    #[cfg(test)]
    pub(crate) fn random(mut self, random: crate::random::Random) -> Self {
        self.settings.responses.random = random;
        self
    }
}
