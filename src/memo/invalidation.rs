//! How a [`MemoLock`] is told that something is out of date.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::memolock::MemoLock;
use super::receipt::Receipt;
use super::shared::Shared;
use crate::codec::Codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Key, KeyError, Label, LabelError, Readable};
use crate::store::Purge;
use crate::task::BoxFuture;

/// Something that is about to be invalidated: a future, which does it, and gives a [`Receipt`].
///
/// What is out of date counts as absent, unless it is invalidated [softly](Self::soft).
///
/// ```
/// use tower_memolock::{MemoLock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let reports = MemoLock::new(MemoryStore::new(), "report");
/// reports.invalidate("42").await.unwrap();
/// reports.invalidate("43").soft().await.unwrap();
/// # }
/// ```
#[must_use = "nothing is invalidated before it is awaited"]
pub struct Invalidation(InvalidationState);

enum InvalidationState {
    Planned(PlannedInvalidation, Purge),
    Running(BoxFuture<'static, Result<Receipt, InvalidateError>>),
    /// While it begins.
    None,
}

type PlannedInvalidation = Box<dyn FnOnce(Purge) -> BoxFuture<'static, Result<Receipt, InvalidateError>> + Send>;

impl Invalidation {
    /// Makes what is out of date stale, and lets it answer while it is computed anew: each later caller gets it at once, on
    /// every node, and one caller in the cluster computes. What is computed at this moment counts as stale, too.
    ///
    /// Once it has returned, no node serves what was there before as fresh. A value of a [`MemoLock`] goes on answering
    /// until its ttl ends; to [`MemoLock::get`] it is absent. A response of a layer goes on for as long as
    /// `stale-while-revalidate` of its own or of the layer says, counted from here, and stands in for a failure for as
    /// long as `stale-if-error` says. A value that may not be served stale counts as absent: because of `no-cache`,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`, and where nothing allows it.
    ///
    /// A value that is invalidated both ways, in whatever order, counts as absent. It also counts as absent where the
    /// store cannot be told at once, which is [`Pending`](InvalidateError::Pending). Other members of the memolock
    /// family cannot read a value that was softly invalidated.
    pub fn soft(self) -> Self {
        match self.0 {
            InvalidationState::Planned(plan, _) => Self(InvalidationState::Planned(plan, Purge::Soft)),
            state => Self(state),
        }
    }

    /// In this way.
    #[cfg(feature = "admin")]
    pub(crate) fn by(self, purge: Purge) -> Self {
        match purge {
            Purge::Hard => self,
            Purge::Soft => self.soft(),
        }
    }

    pub(crate) fn new<F>(plan: impl FnOnce(Purge) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Receipt, InvalidateError>> + Send + 'static,
    {
        Self(InvalidationState::Planned(
            Box::new(|purge| Box::pin(plan(purge))),
            Purge::Hard,
        ))
    }

    /// An invalidation that cannot be done.
    pub(crate) fn failed(error: InvalidateError) -> Self {
        Self::new(|_| std::future::ready(Err(error)))
    }
}

impl<C: Codec> Shared<C> {
    /// The receipt of what this invalidates.
    async fn receipted(
        &self,
        invalidate: impl Future<Output = Result<(), InvalidateError>>,
    ) -> Result<Receipt, InvalidateError> {
        // On one connection, both are on their way together.
        let (receipt, invalidated) = tokio::join!(self.receipt(), invalidate);
        invalidated.map(|()| receipt)
    }

    /// Invalidates the values at these addresses, one after the other.
    pub(crate) async fn invalidate_each(
        self: Arc<Self>,
        addresses: Vec<Address>,
        purge: Purge,
    ) -> Result<Receipt, InvalidateError> {
        let invalidate = async {
            for address in &addresses {
                let invalidated = self.invalidate(address, purge).await;
                invalidated.map_err(|error| InvalidateError::of(address.as_str(), error))?;
            }
            Ok(())
        };
        self.receipted(invalidate).await
    }
}

impl Future for Invalidation {
    type Output = Result<Receipt, InvalidateError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut running = match std::mem::replace(&mut self.0, InvalidationState::None) {
            InvalidationState::Planned(plan, purge) => plan(purge),
            InvalidationState::Running(running) => running,
            // It is over.
            InvalidationState::None => return Poll::Pending,
        };
        let poll = running.as_mut().poll(cx);
        if poll.is_pending() {
            self.0 = InvalidationState::Running(running);
        }
        poll
    }
}

impl fmt::Debug for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidation").finish_non_exhaustive()
    }
}

impl<C: Codec> MemoLock<C> {
    /// Whether values without tags are stamped as well, so that [`invalidate_all`](Self::invalidate_all) reaches them.
    /// It holds for this handle and its clones. Defaults to `false`.
    ///
    /// A hit then asks the store two things in one round trip, and a value without a stamp counts as absent. Other
    /// members of the memolock family cannot read stamped values, nor resolve a promise here;
    /// [`resolve`](Self::resolve) can.
    #[must_use]
    pub fn stamped(self, stamped: bool) -> Self {
        self.shared.set_stamps_all(stamped);
        self
    }

    /// Removes the value under `id`, and keeps every computation that has started before from storing its own.
    ///
    /// Once this has returned, a later caller on any node gets no value from a computation that started before: not
    /// from the store, not from a computation under way, and not from an answer of the store or a message that was on
    /// its way at that moment. `tests/model` explores this promise.
    ///
    /// A node that the store does not answer cannot know of an invalidation. Until the store is back, its callers share
    /// computations that start in their own process. A caller may have joined a computation after the store last
    /// confirmed its lease; if the store was lost then, that caller does not get the value and computes once more.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] where the id cannot be a key or the store could not be told.
    pub fn invalidate<K>(&self, id: K) -> Invalidation
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        match self.address(id) {
            Ok(address) => {
                let shared = Arc::clone(&self.shared);
                Invalidation::new(|purge| shared.invalidate_each(vec![address], purge))
            }
            Err(source) => Invalidation::failed(InvalidateError::Key {
                what: self.tag(),
                source,
            }),
        }
    }

    /// Makes every value with one of these tags out of date, on every node, and what is computed at this moment as well.
    ///
    /// Once this has returned, a later caller on any node gets no value with such a tag from a computation that started
    /// before: not from the store, not from a computation under way, and not from a message on its way. A node that the
    /// store does not answer behaves as [`invalidate`](Self::invalidate) says.
    ///
    /// This takes one step, however many values and tags there are: they stay where they are until their ttl ends, and count as
    /// absent. The store remembers the 65,536 tags that were invalidated last. When it forgets one, because of another
    /// or because it is short of memory, everything with tags that is older than that invalidation is out of date too.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] where a text cannot be a tag, there are more tags than [`MAX_LABELS`](crate::MAX_LABELS), or
    /// the store could not be told. A store that [keeps no generations](crate::Store::invalidate_labels) says
    /// [`StoreErrorKind::Unsupported`](crate::StoreErrorKind).
    pub fn invalidate_tags<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Invalidation {
        let tags: Vec<_> = tags.into_iter().collect();
        // As much as an error shows.
        let shown: Vec<_> = tags.iter().take(16).map(AsRef::as_ref).collect();
        let what = format!("{}: {shown:?}", self.tag());
        let labels = match Label::all(&tags) {
            Ok(labels) => labels,
            Err(source) => return Invalidation::failed(InvalidateError::Tags { what, source }),
        };
        let shared = Arc::clone(&self.shared);
        Invalidation::new(async move |purge| {
            let invalidate = async {
                let invalidated = shared.invalidate_labels(&labels, purge).await;
                invalidated.map_err(|error| InvalidateError::of(&what, error))
            };
            shared.receipted(invalidate).await
        })
    }

    /// Makes every value of this handle out of date, stored or being computed, on every node, as
    /// [`invalidate_tags`](Self::invalidate_tags) does for tags.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NotStamped`] unless every value is [`stamped`](Self::stamped), which is to be set on every
    /// node; otherwise as [`invalidate_tags`](Self::invalidate_tags).
    pub fn invalidate_all(&self) -> Invalidation {
        let what = self.tag();
        if !self.shared.stamps_all() {
            return Invalidation::failed(InvalidateError::NotStamped { what });
        }
        let shared = Arc::clone(&self.shared);
        Invalidation::new(async move |purge| {
            let invalidate = async {
                let invalidated = shared.invalidate_all(purge).await;
                invalidated.map_err(|error| InvalidateError::of(&what, error))
            };
            shared.receipted(invalidate).await
        })
    }
}

/// Why [`MemoLock::invalidate`], [`invalidate_tags`](MemoLock::invalidate_tags) or
/// [`invalidate_all`](MemoLock::invalidate_all) did not do it.
///
/// Says what was to be invalidated: `TAG:ID` of a value, `TAG` and the tags of values, or `TAG` alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidateError {
    /// The id cannot be a key.
    #[error("{}: the id cannot be a key", Readable(.what))]
    Key {
        /// What was to be invalidated.
        what: String,
        /// Why not.
        source: KeyError,
    },
    /// Some of these cannot be tags.
    #[error("{}: this cannot be the tags of a value", Readable(.what))]
    Tags {
        /// What was to be invalidated.
        what: String,
        /// Why not.
        source: LabelError,
    },
    /// Values without tags have no stamp, so they are out of reach: see [`MemoLock::stamped`].
    #[error("{}: not every value is stamped", Readable(.what))]
    NotStamped {
        /// What was to be invalidated.
        what: String,
    },
    /// The request has no key that can be told from its head.
    #[error("{}: the request has no key", Readable(.what))]
    NoKey {
        /// What was to be invalidated.
        what: String,
    },
    /// The store has not taken the invalidation yet. This process keeps it, serves nothing from before it any more, and
    /// tells the store as soon as it can. Until then other nodes may serve what is out of date.
    #[error("{}: the store could not be told to invalidate yet, and will be", Readable(.what))]
    Pending {
        /// What was to be invalidated.
        what: String,
        /// Why not.
        source: StoreError,
    },
    /// Whether the value was removed is unknown.
    #[error("{}: the store could not be told to invalidate", Readable(.what))]
    Store {
        /// What was to be invalidated.
        what: String,
        /// Why not.
        source: StoreError,
    },
}

impl InvalidateError {
    pub(crate) fn of(what: &str, source: StoreError) -> Self {
        let what = what.to_owned();
        match source.kind() {
            StoreErrorKind::Pending => Self::Pending { what, source },
            _ => Self::Store { what, source },
        }
    }
}
