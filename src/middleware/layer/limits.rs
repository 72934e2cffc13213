//! How long requests wait, and how much goes on at once.

use std::time::Duration;

use super::MemoLockLayer;
use crate::memo::Limits;
use crate::middleware::policy::stream_followers::StreamFollowers;
use crate::middleware::settings::ResponseLimits;

/// # Limits
///
/// How long requests wait, and how much goes on at once.
impl<K> MemoLockLayer<K> {
    /// How long a lock lasts unless the leader renews it, which the leader does every third of that time. A leader that
    /// dies is succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts as 100
    /// milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.cache.memo = self.cache.memo.lease(lease);
        self
    }

    /// How long a request waits for a response that another one leads, before it goes to the inner service itself.
    /// Defaults to 30 seconds.
    ///
    /// The clock starts once another request of this process leads, or once the store has said that another process
    /// computes. Until then the request may yet lead, and waits until the store answers or fails. So a request that is
    /// alone leads and has its response stored, however short this is. With zero a request never waits for another: it
    /// leads, or it goes to the inner service at once.
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.cache.memo = self.cache.memo.wait_timeout(timeout);
        self
    }

    /// Which of the waiting requests get the response as it comes, instead of once it is whole. Each gets the head as
    /// soon as that may be shared, and the body from its beginning, however late the request comes. Defaults to
    /// [`StreamFollowers::Off`].
    ///
    /// The price is that followers cannot take back what they have read. The response of the leader may break off, or
    /// have trailers that keep it from being shared (`Set-Cookie`, too large). Then the body of each follower ends in
    /// an error, never as if it were whole. Without this setting one follower would have asked again, or all for
    /// themselves; followers that have not got the head yet still do. `stale_if_error` and `wait_timeout` apply only
    /// until a follower has the head: after that, a leader that stalls stalls its followers.
    ///
    /// A response that turns out longer than [`max_body`](ResponseLimits::max_body) or than there is room for, or
    /// [endless](ResponseLimits::endless_after), is not stored, and its followers read along to its end. The layer then
    /// keeps only the last part of the body, as long as the body was at that time, and goes on at the pace of the
    /// quickest client. The body of a follower that is further behind ends in an error. The layer waits for the
    /// leader's client instead; if that takes nothing for 30 seconds, the followers get the error.
    ///
    /// Later requests get nothing that is invalidated, as ever: before a follower gets the head, the layer asks the
    /// store whether the leader still has its lease, once for all followers that come within 5 milliseconds. Where the
    /// store does not answer, all requests of this process share.
    ///
    /// Recordings count against [`max_recording`](ResponseLimits::max_recording) until the slowest of their readers is done.
    /// Followers of a gRPC call wait for its end, where the status is. More is in [the guide](crate::docs::guide::streaming).
    #[must_use]
    pub fn stream_followers(mut self, whom: StreamFollowers) -> Self {
        self.cache.responses.stream_followers = whom;
        self.cache.memo = self.cache.memo.parts(whom == StreamFollowers::Cluster);
        self
    }

    /// How many requests may wait, and for how many keys; how long a call may go on; and what becomes of requests beyond.
    /// What `limits` does not set stays as it is.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.cache.memo = self.cache.memo.limits(limits);
        self
    }

    /// How large a response may be to be shared. What `limits` does not set stays as it is.
    #[must_use]
    pub fn response_limits(mut self, limits: ResponseLimits) -> Self {
        limits.apply(&mut self.cache.responses);
        self
    }
}
