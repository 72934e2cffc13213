//! [`Failures`]: what becomes of followers where the inner service fails.

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::set;
use crate::middleware::policy::error_mapper::ErrorMapper;
use crate::middleware::policy::response_rules::{ResponseRules, Unconfirmed};

/// What becomes of followers, and of later requests, where the inner service fails, for
/// [`MemoLockLayer::failures`](crate::MemoLockLayer::failures). Stale responses stand in before any of this does:
/// [`Freshness::stale_if_error`](super::Freshness::stale_if_error).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Failures {
    on_unconfirmed: Option<Unconfirmed>,
    pause: Option<Duration>,
    share_errors: Option<ErrorMapper>,
}

impl Failures {
    /// Sets nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What followers do about a response of which nothing says that it is for others: a redirect, most errors.
    /// Defaults to [`Unconfirmed::Confirm`]: one follower asks next, and a failure is shared once it is the second.
    pub fn on_unconfirmed(mut self, on_unconfirmed: Unconfirmed) -> Self {
        self.on_unconfirmed = Some(on_unconfirmed);
        self
    }

    /// How long the inner service is left alone after a failure, for each key and in each process. Defaults to zero: the
    /// next request asks it again.
    ///
    /// A failure is an error or a panic of the inner service, a status from 500 on but 501, a failed call of gRPC, or a
    /// body that breaks off. Until the pause is over, a request for the same key that finds nothing fresh is answered at
    /// once: with the stale response that may stand in ([`stale_if_error`](super::Freshness::stale_if_error)), or with an empty
    /// response that has the status of the failure, 503 for an error, and `Retry-After`; a gRPC call with UNAVAILABLE. An
    /// error for which [`share_errors`](Self::share_errors) makes a response is answered with that.
    ///
    /// The followers of the computation that failed do as without a pause: one of them asks, and a success ends the
    /// pause. The others get the failure where they would have gone to the inner service. A `HEAD` or a request for a
    /// range heeds the pause, and begins none. There is no pause for requests whose response may be their own: a
    /// `POST`, or credentials for which no response was ever shared.
    ///
    /// The price: one request that can make the inner service fail for itself alone, while no other request waits with
    /// it, makes others fail for the time of the pause. So keep this short, and answer with 4xx where the client is at
    /// fault.
    pub fn pause(mut self, time: Duration) -> Self {
        self.pause = Some(time);
        self
    }

    /// Shares an error of the inner service with followers, as the response that `to_response` makes of it; `None`
    /// leaves it to the request that met it. Defaults to not at all.
    ///
    /// An error is shared once it is the second failure in a row: one follower has tried after the first. The two
    /// requests themselves get their errors as they are, and nothing is stored. Without this setting, all followers
    /// that are left after the second failure go to the inner service, in parallel. An error of another type than `E`
    /// is not shared.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use tower_memolock::middleware::Failures;
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let bad_gateway = |_: &std::io::Error| Response::builder().status(502).body(Bytes::new()).ok();
    /// let layer = MemoLockLayer::new(MemoryStore::new(), "page").failures(Failures::new().share_errors(bad_gateway));
    /// # let _ = layer;
    /// ```
    pub fn share_errors<E, F>(mut self, to_response: F) -> Self
    where
        E: 'static,
        F: Fn(&E) -> Option<Response<Bytes>> + Send + Sync + 'static,
    {
        self.share_errors = Some(ErrorMapper::new(to_response));
        self
    }

    /// Puts what is set into the rules of a layer.
    pub(crate) fn apply(self, responses: &mut ResponseRules) {
        let Self {
            on_unconfirmed,
            pause,
            share_errors,
        } = self;
        set(&mut responses.on_unconfirmed, on_unconfirmed);
        set(&mut responses.fail_pause, pause);
        responses.share_errors = share_errors.or_else(|| responses.share_errors.take());
    }
}
