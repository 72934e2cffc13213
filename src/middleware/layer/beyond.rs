//! What can be set about those who come after the first to ask.

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::MemoLockLayer;
use crate::middleware::policy::error_mapper::ErrorMapper;
use crate::middleware::policy::response::Unconfirmed;

impl<K> MemoLockLayer<K> {
    /// How long a stale response goes on answering while a new one is computed, where the response does not say
    /// (`stale-while-revalidate`, RFC 5861). Defaults to zero.
    ///
    /// Nobody waits within that time: all get the stale response, with its true `Age`, and one request in the cluster
    /// goes to the inner service as well, in the background. It goes as it came, and outlives its client. A request
    /// with a body that the key did not read leads as usual instead.
    ///
    /// `must-revalidate`, `proxy-revalidate`, `s-maxage` and `no-cache` forbid it. Whether a response that another node
    /// stored is stale is a matter of both nodes' clocks.
    #[must_use]
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.settings.responses.stale_while_revalidate = time;
        self
    }

    /// How long a stale response stands in where computing a new one fails, where the response does not say
    /// (`stale-if-error`, RFC 5861). Defaults to zero.
    ///
    /// A failure is a 500, 502, 503 or 504, an error or a panic of the inner service, a body that breaks off, for those
    /// who wait, and a leader whose process died. What forbids it is as for
    /// [`stale_while_revalidate`](Self::stale_while_revalidate).
    #[must_use]
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.settings.responses.stale_if_error = time;
        self
    }

    /// Has a response computed anew a little before it is stale, in the background: the sooner the more often it is
    /// asked for, and the longer it took (XFetch). Defaults to 0, which switches it off; 1 is what theory recommends,
    /// and more is earlier.
    ///
    /// With `beta` a hit with `left` to go does so where `-beta * cost * ln(random) >= left`. The lock of the cluster
    /// decides who does it, so it costs one call, and nobody waits at the end of a popular response. Off by default,
    /// because it makes the moment of a call, and for a response that nobody asks for again the number of calls, a
    /// matter of chance.
    #[must_use]
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.settings.responses.early_refresh = beta;
        self
    }

    /// By what part of it the lifetime of a stored response is shortened at most, at random, so that responses that
    /// were stored together do not end together. Defaults to 0.05; never lengthens any.
    #[must_use]
    pub fn ttl_jitter(mut self, part: f64) -> Self {
        self.settings.responses.ttl_jitter = part;
        self
    }

    /// How long it is remembered that a response was one for its own request only (`private`, `Set-Cookie`, too large
    /// and so on, but never an error), less up to a tenth at random. Defaults to 120 seconds; zero switches it off.
    ///
    /// For that time requests for it neither look it up, nor wait, nor are waited for. The first response that can be
    /// shared after all ends it. Nodes of a cluster learn it from the store, and may remember it for as long again.
    ///
    /// For the same time each node remembers that a response was not for more requests with credentials than its own, so
    /// that requests like that one do not try to have theirs stored, or, once it is stale, that it was, so that they
    /// collapse.
    #[must_use]
    pub fn pass_marker(mut self, time: Duration) -> Self {
        self.settings.responses.pass_marker = time;
        self
    }

    /// How long after its head a body may go on, for those who wait, whose length its head does not say: one that has not
    /// ended by then is taken for *endless*, as feeds, tails of logs and audio streams are. Defaults to 1.5 seconds.
    ///
    /// An endless body belongs to the client that leads. Those who wait, on every node, go to the inner service, and so do
    /// at once those who come later, for as long as a [`pass_marker`](Self::pass_marker) says or until a body for the same
    /// key has ended in time. Once no client reads it, it is dropped. Requests that read along
    /// ([`stream_followers`](Self::stream_followers)) read on.
    ///
    /// A body is given four times as long where something says that it ends: freshness of the response's own, or a ttl of
    /// its handler; a body for the same key that this process has seen to end within that time; or a speed at which it
    /// would be longer than [`max_body`](Self::max_body) by then. One with a `Content-Length`, or of a known length, is
    /// waited for however slow it is. So a slow page that says nothing of itself costs a call for each request once, and
    /// one call for all from then on; where that is too many, its handler declares a length or freshness, or this is set
    /// longer.
    #[must_use]
    pub fn endless_after(mut self, time: Duration) -> Self {
        self.settings.responses.endless_after = time;
        self
    }

    /// Whether requests that wait in the process of their leader get the response as it comes, rather than once it is
    /// whole: its head as soon as that is one to share, and its body from the beginning, however late they come. Defaults
    /// to `false`.
    ///
    /// The price is that nobody can take back what they have read. Where the leader's response breaks off, turns out to
    /// be longer than [`max_body`](Self::max_body) or than there is room for, or has trailers that keep it from being
    /// shared (`Set-Cookie`, too large), the body of each of them ends in an error, never as if it were whole; by default
    /// one of them would have asked again, or all of them for themselves, and still do those who have not got the head
    /// yet. `stale_if_error` and `wait_timeout` end with the head, too: a leader that stalls stalls them.
    ///
    /// What is invalidated reaches nobody who comes later, as ever: before anybody gets the head, the store is asked
    /// whether the leader still has its lease, once for all who come within 5 milliseconds. Without a store that
    /// answers, all of this process share.
    ///
    /// Recordings count against [`max_recording`](Self::max_recording) until the slowest of their readers is done. Calls
    /// of gRPC are waited for to their end, where their status is, and so are responses on other nodes.
    #[must_use]
    pub fn stream_followers(mut self, stream: bool) -> Self {
        self.settings.responses.stream_followers = stream;
        self
    }

    #[cfg(test)]
    pub(crate) fn random(mut self, random: crate::random::Random) -> Self {
        self.settings.responses.random = random;
        self
    }

    /// Shares an error of the inner service with those who wait, as the response that `to_response` makes of it; `None`
    /// leaves it to the request that met it. Defaults to not at all.
    ///
    /// An error is shared once it is the second failure in a row: one of those who wait has tried after the first. The
    /// two requests themselves get their errors as they are, and nothing is stored. Without this, all who still wait then
    /// go to the inner service, in parallel. An error of another type than `E` is not shared.
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

    /// What becomes of those who wait for a response of which nothing says that it is for others: a redirect, most errors.
    /// Defaults to [`Unconfirmed::Confirm`]: one of them asks next, and a failure is shared once it is the second.
    #[must_use]
    pub fn on_unconfirmed(mut self, on_unconfirmed: Unconfirmed) -> Self {
        self.settings.responses.on_unconfirmed = on_unconfirmed;
        self
    }
}
