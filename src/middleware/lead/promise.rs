//! [`Promise`]: all that another program needs to know to give a response.

use std::time::Duration;

use crate::key::Address;

/// The promise of a response. It comes with a request as an extension, for a handler that leaves the response to
/// another program.
///
/// It comes under a layer that [may defer](crate::MemoLockLayer::may_defer), with a request that leads: others wait for
/// the response, and no other request reaches the handler meanwhile. A request that bypasses the layer has no promise,
/// and neither has a request while the store is out of reach: only the handler could give the response then.
///
/// ```
/// use axum::Extension;
/// use axum::extract::Path;
/// use axum::http::StatusCode;
/// use axum::response::{IntoResponse, Response};
/// use tower_memolock::middleware::{MemoControl, Promise};
///
/// # async fn enqueue(report: u32, key: &str, channel: &str) {}
/// async fn report(Path(id): Path<u32>, promise: Option<Extension<Promise>>) -> Response {
///     let Some(Extension(promise)) = promise else {
///         return StatusCode::SERVICE_UNAVAILABLE.into_response();
///     };
///     enqueue(id, promise.key(), &promise.channel()).await;
///     // What its own client gets if no worker has given the response in time.
///     (Extension(MemoControl::new().deferred()), StatusCode::ACCEPTED).into_response()
/// }
/// # let _ = report;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    address: Address,
    lease: Duration,
}

impl Promise {
    pub(crate) fn new(address: Address, lease: Duration) -> Self {
        Self { address, lease }
    }

    /// The key of the value in Redis, `TAG:ID`; also what a [message alone](crate::middleware::stored_response#a-message-alone) names as
    /// its address.
    #[must_use]
    pub fn key(&self) -> &str {
        self.address.as_str()
    }

    /// The channel on which all wait for the value, `TAG/notif:ID`.
    ///
    /// In a Redis Cluster this is a channel of sharded Pub/Sub (`SPUBLISH`) if the id is derived from several parts, as
    /// the ids of [`UriKey`](crate::middleware::UriKey) and [`BodyKey`](crate::middleware::BodyKey) are; such an id
    /// begins with a brace.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("{}/notif:{}", self.tag(), self.id())
    }

    /// The layer's tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.address.tag()
    }

    /// The id that equal requests have in common, under the tag.
    #[must_use]
    pub fn id(&self) -> &str {
        self.address.id()
    }

    /// How long the work has before the handler is called again, for another request that waits.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    #[test]
    fn names_are_those_of_the_family() {
        let address = Address::new(&Tag::new("report").unwrap(), &Key::new("a:b").unwrap());
        let promise = Promise::new(address, Duration::from_secs(5));
        assert_eq!(promise.key(), "report:a:b");
        assert_eq!(promise.channel(), "report/notif:a:b");
        assert_eq!((promise.tag(), promise.id()), ("report", "a:b"));
        assert_eq!(promise.lease(), Duration::from_secs(5));
    }
}
