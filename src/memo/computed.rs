//! [`Computed`]: a value, and what its computation says of it.

use std::time::Duration;

/// A value, and what its computation says of it: how long it may be kept, and by which tags it can be invalidated.
///
/// ```
/// use tower_memolock::{Computed, MemoLock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let pages = MemoLock::new(MemoryStore::new(), "page");
/// let render = || async { Ok::<_, std::io::Error>(Computed::new("rendered".into()).tags(["product-7", "shop"])) };
/// pages.get_or_compute_with("7", render).await.unwrap();
///
/// pages.invalidate_tag("shop").await.unwrap();
/// assert_eq!(pages.get("7").await.unwrap(), None);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Computed<V> {
    pub(crate) value: V,
    pub(crate) ttl: Option<Duration>,
    pub(crate) tags: Vec<String>,
}

impl<V> Computed<V> {
    /// The value alone.
    pub fn new(value: V) -> Self {
        Self {
            value,
            ttl: None,
            tags: Vec::new(),
        }
    }

    /// How long the value may be kept. With zero it is not stored, and only the waiters of that moment get it.
    /// Defaults to what [`MemoLock::ttl`](crate::MemoLock::ttl) says.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Adds a tag, by which the value can be [invalidated](crate::MemoLock::invalidate_tag). Any string but the empty
    /// one, and at most [`MAX_LABELS`](crate::MAX_LABELS) of them.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds tags.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }
}
