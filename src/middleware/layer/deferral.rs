//! Responses that other programs give, and the form in which they are stored.

use http::HeaderValue;

use super::MemoLockLayer;
use crate::middleware::policy::syntax::is_tchar;
use crate::middleware::stored_response::Form;

/// # Responses that other programs give
///
/// A handler may leave a response to a worker, and may store responses as other programs read them.
impl<K> MemoLockLayer<K> {
    /// Lets handlers leave a response to another program, by
    /// [`MemoControl::deferred`](crate::middleware::MemoControl::deferred): a worker behind a queue, say. Defaults to
    /// not; set it on every node.
    ///
    /// A handler that is called for all waiters finds a [`Promise`](crate::middleware::Promise) in its request, which
    /// tells where they wait. The client of that request waits with the others. All get the response as soon as a
    /// program gives it: with [`Handle::resolve`](crate::middleware::Handle::resolve), or in any language, by saying to Redis
    ///
    /// ```text
    /// SET key value PX 60000
    /// PUBLISH channel value
    /// ```
    ///
    /// where the value is a binary HTTP response ([ten lines of
    /// Python](crate::middleware::stored_response#writers-in-python)), or, under [`raw_body`](Self::raw_body), a body.
    /// The response answers for as long as it is stored. A response that is only published answers the requests that
    /// wait at that moment, and one that is only stored is found when the lease ends.
    ///
    /// The work has as long as the [`lease`](Self::lease). If the response is not there by then, the handler is called
    /// again, for another request that waits anywhere in the cluster, up to [`max_attempts`](crate::Limits::max_attempts) times.
    ///
    /// No request waits longer than the [`wait_timeout`](Self::wait_timeout), which should be longer than that many
    /// leases, and no request goes to the handler because the timeout is over. A client whose request reached the
    /// handler then gets what the handler has said, 202 for instance; all others get 504, and gRPC clients
    /// DEADLINE_EXCEEDED. This holds for every wait under this layer.
    #[must_use]
    pub fn may_defer(mut self) -> Self {
        self.cache.memo.config.requests = true;
        self
    }

    /// Stores only the body of each response, to the letter, as the older members of the memolock family read and write
    /// it. Replays a stored body as a 200 with this content type, for as long as the store keeps it. Call it before
    /// the layer is cloned, or has a handle or a service: these share nothing with the layer after the call.
    ///
    /// A response that is more than a 200 with such a body cannot be stored: a response with another status or content type, a
    /// `Content-Encoding`, `Vary`, trailers or tags. Only requests that wait for it in this process get it, and other
    /// processes make their own. Header fields that only describe the response, `ETag` and `Cache-Control` among them,
    /// are lost. So a stale response cannot go on answering, and no stored response is for requests with credentials. A
    /// store in this process keeps responses whole nevertheless.
    ///
    /// A body has no checksum and no address: a program that can write to the store, or that mixes two keys up, makes a
    /// response of any bytes. A body that was written without an expiry answers until it is
    /// [invalidated](crate::middleware::Handle::invalidate). The layer recognizes only the entries of a layer without this setting, which
    /// count as absent. All nodes have to have this setting. [`stamped`](crate::middleware::Freshness::stamped) puts
    /// something in front of the body.
    ///
    /// # Panics
    ///
    /// If `content_type` is no media type, such as `application/pdf`. Check it first if it comes from outside the
    /// program.
    #[must_use]
    pub fn raw_body<T>(mut self, content_type: T) -> Self
    where
        T: TryInto<HeaderValue>,
    {
        let form = Form::raw(from_literal(content_type));
        self.cache.memo = self.cache.memo.recoded(form);
        self
    }
}

/// A media type that the program itself wrote down.
#[track_caller]
fn from_literal<T: TryInto<HeaderValue>>(content_type: T) -> HeaderValue {
    let is_token = |token: &[u8]| !token.is_empty() && token.iter().all(|byte| is_tchar(*byte));
    let is_media_type = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next();
        let mut parts = essence.unwrap_or_default().trim_ascii().splitn(2, |byte| *byte == b'/');
        parts.next().is_some_and(is_token) && parts.next().is_some_and(is_token)
    };
    match content_type.try_into().ok().filter(is_media_type) {
        Some(content_type) => content_type,
        None => panic!("not a media type"),
    }
}
