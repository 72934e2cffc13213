//! [`Freshness`]: how long responses are stored.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use super::set;
use crate::middleware::policy::request::RequestRules;
use crate::middleware::policy::response_rules::ResponseRules;

/// How long responses are stored, and what becomes of them once they are stale, for
/// [`MemoLockLayer::freshness`](crate::MemoLockLayer::freshness). A response that does not say how long it is fresh has
/// the layer's own [`ttl`](crate::MemoLockLayer::ttl).
///
/// ```
/// use std::time::Duration;
///
/// use tower_memolock::middleware::Freshness;
/// use tower_memolock::{MemoLockLayer, MemoryStore};
///
/// let stale = Freshness::new()
///     .stale_while_revalidate(Duration::from_secs(10))
///     .stale_if_error(Duration::from_secs(600));
/// let layer = MemoLockLayer::new(MemoryStore::new(), "report")
///     .ttl(Duration::from_secs(30))
///     .freshness(stale);
/// # let _ = layer;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Freshness {
    status_ttl: Vec<(StatusCode, Duration)>,
    override_ttl: Option<Duration>,
    no_store: Option<bool>,
    store_after: Option<u32>,
    revalidate_for: Option<Duration>,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
    early_refresh: Option<f64>,
    ttl_jitter: Option<f64>,
    targeted: Option<Arc<[HeaderName]>>,
    only_if_cached: Option<bool>,
    invalidate_on_change: Option<bool>,
    receipts: Option<bool>,
    stamped: Option<bool>,
    soft_timeout: Option<Duration>,
}

impl Freshness {
    /// Sets nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to keep a response with this status that says nothing of its own freshness, in place of
    /// [`ttl`](crate::MemoLockLayer::ttl): zero for not at all. Defaults to `ttl` for 200, 203, 204, 300, 301 and 308,
    /// and to not at all for the others, errors most of all.
    pub fn status_ttl(mut self, status: StatusCode, ttl: Duration) -> Self {
        self.status_ttl.push((status, ttl));
        self
    }

    /// How long to keep a response, even if it says something else about its freshness, `no-cache` included. Defaults
    /// to as long as it says. This does not apply to statuses to which [`ttl`](crate::MemoLockLayer::ttl) does not
    /// apply.
    ///
    /// `private`, `no-store`, `Vary: *` and, unless [`set_cookie`](super::Privacy::set_cookie) says otherwise,
    /// `Set-Cookie` still keep a response from being shared. A response that a [targeted](Self::targeted) field makes
    /// fresh beside a `private` of `Cache-Control` is kept as long as that field says, and no longer.
    pub fn override_ttl(mut self, ttl: Duration) -> Self {
        self.override_ttl = Some(ttl);
        self
    }

    /// Stores nothing: only the followers of that moment get a response. Defaults to storing all responses that may be
    /// stored.
    pub fn no_store(mut self) -> Self {
        self.no_store = Some(true);
        self
    }

    /// How many times a key must have been asked for, lately and in this process, before a response to it is stored.
    /// Until then a response goes to its followers, on every node, and to no later request. Defaults
    /// to 1; 0 counts as 1.
    ///
    /// With 2 or more, keys that are asked for once cost the store no memory, however many they are and however long
    /// their responses are fresh; the first requests of every other key cost a call each. Every request with the key
    /// counts, a hit included. Each process counts for itself. It counts at least the last 65,536 keys, for at least
    /// ten minutes unless there are more, and for at most twenty. A stale stored response is stored anew whatever the
    /// count.
    pub fn store_after(mut self, requests: u32) -> Self {
        self.store_after = Some(requests);
        self
    }

    /// How long to keep a stale response that has an `ETag` or a `Last-Modified`, so that the inner service can say
    /// that it is still right (304) instead of making it anew. Defaults to 60 seconds; zero keeps none.
    ///
    /// Each such response takes memory for that much longer. The clocks of the nodes tell whether it is stale, so they
    /// have to agree; all other responses end when the store says so.
    pub fn revalidate_for(mut self, time: Duration) -> Self {
        self.revalidate_for = Some(time);
        self
    }

    /// How long a stale response answers while a new one is computed, where the response does not say
    /// (`stale-while-revalidate`, RFC 5861). Defaults to zero.
    ///
    /// No request waits within that time: all get the stale response, with its true `Age`, and one request in the
    /// cluster goes to the inner service as well, in the background. That request goes as it came, and outlives its
    /// client. A request with a body that the key did not read leads as usual instead.
    ///
    /// `must-revalidate`, `proxy-revalidate`, `s-maxage` and `no-cache` forbid it. The clocks of both nodes tell
    /// whether a response that another node stored is stale.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = Some(time);
        self
    }

    /// How long a stale response stands in where computing a new one fails, where the response does not say
    /// (`stale-if-error`, RFC 5861). Defaults to zero.
    ///
    /// A failure is a 500, 502, 503 or 504, an error or a panic of the inner service, for followers a body that breaks
    /// off, and a leader whose process died. The directives that forbid it are those of
    /// [`stale_while_revalidate`](Self::stale_while_revalidate).
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// Has a response computed anew in the background a little before it is stale: the sooner, the more often it is
    /// asked for and the longer it took (XFetch). Defaults to 0, which switches this off; theory recommends 1, and more
    /// is earlier.
    ///
    /// With `beta`, a hit with `left` to go has the response computed anew where `-beta * cost * ln(random) >= left`.
    /// The lock of the cluster decides which request does so. So this costs one call, and no request waits at the end
    /// of a popular response. It is off by default because it leaves two things to chance: the moment of a call, and
    /// the number of calls for a response that is not asked for again.
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.early_refresh = Some(beta);
        self
    }

    /// The largest part by which the lifetime of a stored response is shortened, at random, so that responses that were
    /// stored together do not end together. Defaults to 0.05. No lifetime becomes longer.
    pub fn ttl_jitter(mut self, part: f64) -> Self {
        self.ttl_jitter = Some(part);
        self
    }

    /// The targeted cache control fields (RFC 9213) that this layer heeds: the first of them that a response has
    /// replaces its `Cache-Control` and `Expires` here. Defaults to `CDN-Cache-Control`, which is meant for every
    /// shared cache on the server's side. To tell this layer something else than the others, put a field of its own in
    /// front of that.
    ///
    /// A field that is no dictionary, or has no directive that means something here, counts as absent. A field that
    /// does not make the response fresh, such as `stale-if-error=600` alone, does not lift the `private` or `no-store`
    /// of another field.
    pub fn targeted(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.targeted = Some(fields.into_iter().collect());
        self
    }

    /// Whether a request may say `Cache-Control: only-if-cached` (RFC 9111, section 5.2.1.7): it then gets what is
    /// stored, without waiting for a leader, or 504. Defaults to `false`: what clients say of caching is advice
    /// (5.2.1), and a cache that protects its handlers does not take it from every client.
    pub fn only_if_cached(mut self, honoured: bool) -> Self {
        self.only_if_cached = Some(honoured);
        self
    }

    /// Whether a request with an unsafe method removes what is stored for its target, and for the `Location` and
    /// `Content-Location` of its answer, unless it failed (RFC 9111, section 4.4). Defaults to `true`, and to `false`
    /// under [`MemoLockLayer::grpc`](crate::MemoLockLayer::grpc).
    ///
    /// Only requests that come through this layer, or through another one over the same store with the same tag and a
    /// key that covers the same, can do that: so put the layer around all methods of a route. Each such request waits
    /// for the store once. It removes the response to a `GET` with the key that
    /// [`KeyExtractor::get_key`](crate::middleware::KeyExtractor::get_key) finds. Where header fields are part of keys,
    /// that is the response for the same values of these fields. gRPC calls remove nothing.
    pub fn invalidate_on_change(mut self, invalidates: bool) -> Self {
        self.invalidate_on_change = Some(invalidates);
        self
    }

    /// How long requests wait where a stale response is stored: a request that has waited for so long gets the stale
    /// one, while the computation goes on for later requests. Defaults to none, so that requests wait for the new one.
    ///
    /// This is for responses that may stand in for a failure, by `stale-if-error` of their own or of [this
    /// layer](Self::stale_if_error): a computation that takes longer counts as one that has failed so far. Where
    /// `stale-while-revalidate` lets the stale response answer, no request waits anyway. A request still waits where
    /// the response must be revalidated, and where it wants a new one, with a [`Receipt`](crate::Receipt) or
    /// [`Refresh`](crate::middleware::Refresh). `Cache-Status` says `detail=stale-while-revalidate`.
    pub fn soft_timeout(mut self, timeout: Duration) -> Self {
        self.soft_timeout = Some(timeout);
        self
    }

    /// Whether the response to an unsafe request that changed something has a field `Memolock-Receipt`. A request that
    /// brings the receipt back gets no response that was begun before the change, from any node. Defaults to `false`.
    ///
    /// A client then reads what it has written, whichever proxies its requests pass. The field is a list: of several receipts
    /// the latest counts. Each unsafe request costs the store one command more, and a request with a receipt at most one more
    /// than without. A made-up receipt costs its own client a hit and the inner service a call, once after each change;
    /// one that the store cannot have given is ignored. In the program itself, a [`Receipt`](crate::Receipt) among the
    /// extensions of a request counts whatever this is.
    pub fn receipts(mut self, given: bool) -> Self {
        self.receipts = Some(given);
        self
    }

    /// Whether responses without tags are stamped as well, so that
    /// [`invalidate_all`](crate::middleware::Handle::invalidate_all) reaches them. Defaults to `false`. See
    /// [`MemoLock::stamped`](crate::MemoLock::stamped), and set it on every node.
    pub fn stamped(mut self, stamped: bool) -> Self {
        self.stamped = Some(stamped);
        self
    }

    /// Whether responses without tags are stamped as well, if that is set.
    pub(crate) fn stamps_all(&self) -> Option<bool> {
        self.stamped
    }

    /// After how many requests a response is stored, if that is set.
    pub(crate) fn requests_before_storing(&self) -> Option<u32> {
        self.store_after
    }

    /// Puts what is set into the rules of a layer.
    pub(crate) fn apply(self, requests: &mut RequestRules, responses: &mut ResponseRules) {
        let Self {
            status_ttl,
            override_ttl,
            no_store,
            store_after: _,
            revalidate_for,
            stale_while_revalidate,
            stale_if_error,
            early_refresh,
            ttl_jitter,
            targeted,
            only_if_cached,
            invalidate_on_change,
            receipts,
            stamped: _,
            soft_timeout,
        } = self;
        for (status, ttl) in status_ttl {
            let others = responses.status_ttl.iter().filter(|(known, _)| *known != status);
            responses.status_ttl = others.copied().chain([(status, ttl)]).collect();
        }
        responses.override_ttl = override_ttl.or(responses.override_ttl);
        set(&mut responses.no_store, no_store);
        set(&mut responses.revalidate_for, revalidate_for);
        set(&mut responses.stale_while_revalidate, stale_while_revalidate);
        set(&mut responses.stale_if_error, stale_if_error);
        set(&mut responses.early_refresh, early_refresh);
        set(&mut responses.ttl_jitter, ttl_jitter);
        set(&mut responses.targets, targeted);
        set(&mut requests.only_if_cached, only_if_cached);
        set(&mut requests.invalidates, invalidate_on_change);
        set(&mut requests.receipts, receipts);
        responses.soft_timeout = soft_timeout.or(responses.soft_timeout);
    }
}
