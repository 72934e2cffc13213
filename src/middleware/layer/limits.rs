//! How long requests wait, and how much goes on at once.

use std::time::Duration;

use super::MemoLockLayer;
use crate::memo::AtLimit;
use crate::middleware::policy::response::ResponseRules;

/// # Limits
///
/// How long requests wait, and how much goes on at once.
impl<K> MemoLockLayer<K> {
    /// How long a lock lasts unless the leader renews it, which it does every third of that. A leader that dies is
    /// succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts as 100 milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.memo = self.settings.memo.lease(lease);
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
        self.settings.memo = self.settings.memo.wait_timeout(timeout);
        self
    }

    /// Whether requests that wait in the process of their leader get the response as it comes, instead of once it is
    /// whole: its head as soon as that may be shared, and its body from the beginning, however late they come. Defaults
    /// to `false`.
    ///
    /// The price is that followers cannot take back what they have read. The response of the leader may break off, turn
    /// out longer than [`max_body`](Self::max_body) or than there is room for, or have trailers that keep it from being
    /// shared (`Set-Cookie`, too large). Then the body of each follower ends in an error, never as if it were whole; by
    /// default one follower would have asked again, or all for themselves, and those that have not got the head yet
    /// still do. `stale_if_error` and `wait_timeout` end with the head, too: a leader that stalls stalls its followers.
    ///
    /// Later requests get nothing that is invalidated, as ever: before a follower gets the head, the layer asks the
    /// store whether the leader still has its lease, once for all that come within 5 milliseconds. Without a store that
    /// answers, all of this process share.
    ///
    /// Recordings count against [`max_recording`](Self::max_recording) until the slowest of their readers is done.
    /// Followers of a gRPC call wait for its end, where the status is, and so do followers on other nodes.
    #[must_use]
    pub fn stream_followers(mut self, stream: bool) -> Self {
        self.settings.responses.stream_followers = stream;
        self
    }

    /// How long a call of the inner service, from its beginning to the end of its body, goes on for its followers.
    /// After that one follower takes over. The call goes on for the client that leads, if that is still there;
    /// otherwise it is cancelled. Defaults to 10 minutes.
    #[must_use]
    pub fn max_computation(mut self, time: Duration) -> Self {
        self.settings.memo = self.settings.memo.max_computation(time);
        self
    }

    /// How long, in bytes, a response body may be to be shared. Its own client gets a longer one as it comes, and
    /// followers go to the inner service. Defaults to [`MemoLockLayer::DEFAULT_MAX_BODY`].
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.settings.responses.max_body = bytes;
        self
    }

    /// How large, in bytes of names and values, header and trailer fields may be together to be shared. Its own client
    /// gets a response with more of them as it is, and followers go to the inner service. Defaults to
    /// [`MemoLockLayer::DEFAULT_MAX_HEADERS`].
    #[must_use]
    pub fn max_headers(mut self, bytes: u64) -> Self {
        self.settings.responses.max_headers = bytes;
        self
    }

    /// How many bytes of bodies all recordings may hold together: of responses under way, until they have reached the
    /// store and the client they are streamed to. Each counts once; a body that came in pieces is there twice while
    /// they are joined. A response for which there is no room is not shared, and a request that would lead while there
    /// is none at all is at a limit. Defaults to [`MemoLockLayer::DEFAULT_MAX_RECORDING`].
    ///
    /// A quarter of that again is for bodies of 64 KiB and more that a store elsewhere has sent, until their clients have read
    /// them; those that ask for the same body at one time share it. Beyond, the layer reads a body as its client does, 256 KiB
    /// at a time, and checks each part. A response that is replaced, called in or expires before its client has read all
    /// of it then ends in an error, never as if it were whole. One that cannot be read in parts (under
    /// [`raw_body`](Self::raw_body), written by another program, or where the Redis user lacks `+getrange`) is at a
    /// limit.
    #[must_use]
    pub fn max_recording(mut self, bytes: u64) -> Self {
        self.settings.responses.max_recording = bytes;
        self
    }

    /// How long, in bytes, a key may be. A request with a longer one goes to the inner service. Defaults to 2048.
    ///
    /// This bounds what a key costs in memory and in the store, not how long a target may be: the keys of this crate's
    /// extractors end in a SHA-256 beyond 240 bytes, and have no more than 450 with all that is added to them. Only ids
    /// that a closure gives to the letter can be longer.
    #[must_use]
    pub fn max_key(mut self, bytes: usize) -> Self {
        self.settings.memo = self.settings.memo.max_key(bytes);
        self
    }

    /// How many requests may wait for one key in this process. One request more is at a limit. Defaults to 65,536.
    #[must_use]
    pub fn max_waiters(mut self, requests: usize) -> Self {
        self.settings.memo = self.settings.memo.max_waiters(requests);
        self
    }

    /// How many keys may be in flight in this process, each with any number of requests. A request for one more key is
    /// at a limit. Defaults to 16,384.
    #[must_use]
    pub fn max_in_flight(mut self, keys: usize) -> Self {
        self.settings.memo = self.settings.memo.max_in_flight(keys);
        self
    }

    /// How many calls of the inner service may go on in this process without any client that waits for them. A client
    /// that leaves stops nothing, because the next one may want the response. Where that makes more such calls than
    /// this, the oldest is cancelled: its future, or the body that is recorded, is dropped. Defaults to 64.
    #[must_use]
    pub fn max_orphaned(mut self, calls: usize) -> Self {
        self.settings.memo = self.settings.memo.max_orphaned(calls);
        self
    }

    /// What becomes of requests at a limit. Defaults to [`AtLimit::Bypass`]: they go to the inner service. See
    /// [`AtLimit`] for which to choose.
    ///
    /// Clones that are made after this share the turns of [`AtLimit::Queue`], for all keys and routes.
    #[must_use]
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.settings.memo = self.settings.memo.at_limit(at_limit);
        self
    }
}

impl MemoLockLayer {
    /// How long a body may be, unless told otherwise, to be shared: 8 MiB.
    pub const DEFAULT_MAX_BODY: u64 = ResponseRules::DEFAULT_MAX_BODY;

    /// How large header and trailer fields may be, unless told otherwise, to be shared: 64 KiB.
    pub const DEFAULT_MAX_HEADERS: u64 = ResponseRules::DEFAULT_MAX_HEADERS;

    /// How much memory recordings may hold, unless told otherwise: 256 MiB.
    pub const DEFAULT_MAX_RECORDING: u64 = ResponseRules::DEFAULT_MAX_RECORDING;
}
