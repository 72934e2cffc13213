//! [`MemoControl`]: what a handler says about its own response.

use std::time::Duration;

use super::cookies::SetCookie;

/// How a response is to be shared: the handler that makes the response says so with this extension of it.
///
/// The extension has precedence over the layer and the fields of the response, and is not sent to the client.
/// `private`, `no-store` and `Vary: *` still keep a response from being shared, and so does `Set-Cookie` unless
/// [`set_cookie`](Self::set_cookie) says otherwise.
///
/// ```
/// use std::time::Duration;
///
/// use axum::Extension;
/// use axum::response::IntoResponse;
/// use tower_memolock::middleware::MemoControl;
///
/// async fn report() -> impl IntoResponse {
///     let control = MemoControl::new().ttl(Duration::from_secs(30)).tag("reports");
///     (Extension(control), "rendered")
/// }
/// # let _ = report;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoControl {
    pub(crate) ttl: Option<Duration>,
    pub(crate) no_store: bool,
    pub(crate) public: bool,
    pub(crate) set_cookie: Option<SetCookie>,
    pub(crate) tags: Vec<String>,
    pub(crate) deferred: bool,
}

impl MemoControl {
    /// Says nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to keep the response, whatever its status and its fields say of freshness, `no-cache` included. With
    /// zero, only the followers of this moment get it. Where a field says `private` or `no-store`, this can only
    /// shorten the time that a [targeted](crate::middleware::Freshness::targeted) field allows.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The response is for its own request only: neither stored nor given to the followers.
    #[must_use]
    pub fn no_store(mut self) -> Self {
        self.no_store = true;
        self
    }

    /// The response is for requests with credentials as well, like `Cache-Control: public`.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// What becomes of the response if it sets a cookie. Defaults to what
    /// [the layer](crate::middleware::Privacy::set_cookie) says.
    #[must_use]
    pub fn set_cookie(mut self, set_cookie: SetCookie) -> Self {
        self.set_cookie = Some(set_cookie);
        self
    }

    /// Gives the response a tag, by which it can be [invalidated](crate::middleware::Handle::invalidate_tags), like a member of
    /// `Cache-Groups` (RFC 9875). At most 64 of them, and none empty or longer than 128 bytes: otherwise the response is
    /// for its own request only.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// This is not the response: another program will give the response, by the [`Promise`](crate::middleware::Promise)
    /// that came with the request.
    ///
    /// Under a layer that [may defer](crate::MemoLockLayer::may_defer), the client goes on waiting with all others, and
    /// gets this response only if no other comes in time. Where the request came with no promise, this is the response,
    /// at most for the followers of this moment, and all other settings of this `MemoControl` are ignored.
    #[must_use]
    pub fn deferred(mut self) -> Self {
        self.deferred = true;
        self
    }

    pub(crate) fn add_tags(&mut self, tags: &[String]) {
        for tag in tags {
            if !self.tags.contains(tag) {
                self.tags.push(tag.clone());
            }
        }
    }
}
