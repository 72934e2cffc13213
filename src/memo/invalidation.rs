//! How a [`MemoLock`] is told that something is out of date.

use super::memolock::MemoLock;
use crate::codec::Codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Key, KeyError, Label, LabelError, Readable};

impl<C: Codec> MemoLock<C> {
    /// Whether values without tags are stamped as well, so that [`invalidate_all`](Self::invalidate_all) reaches them.
    /// Holds for this handle and its clones. Defaults to `false`.
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
    /// its way at that moment. `tests/model` explores it.
    ///
    /// A node that the store does not answer cannot know of an invalidation: its callers share what starts to be
    /// computed in their process without the store, until the store is back. A caller that joined a computation after
    /// the store last confirmed its lease does not get its value if the store was lost then; it computes once more.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] where the id cannot be a key or the store could not be told.
    pub async fn invalidate<K>(&self, id: K) -> Result<(), InvalidateError>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        let address = self.address(id).map_err(|source| InvalidateError::Key {
            what: self.tag(),
            source,
        })?;
        let invalidated = self.shared.invalidate(&address).await;
        invalidated.map_err(|error| InvalidateError::of(address.as_str(), error))
    }

    /// Makes every value with this tag out of date, on every node, and what is computed at this moment as well.
    ///
    /// Once this has returned, a later caller on any node gets no value with this tag from a computation that started
    /// before: not from the store, not from a computation under way, and not from a message on its way. A node that the
    /// store does not answer behaves as [`invalidate`](Self::invalidate) says.
    ///
    /// This takes one step, however many values there are: they stay where they are until their ttl ends, and count as
    /// absent. The store remembers the 65,536 tags that were invalidated last. When it forgets one, because of another
    /// or because it is short of memory, everything with tags that is older than that invalidation is out of date too.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] where this cannot be a tag or the store could not be told. A store that
    /// [keeps no generations](crate::Store::invalidate_labels) says [`StoreErrorKind::Unsupported`](crate::StoreErrorKind).
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<(), InvalidateError> {
        self.invalidate_tags([tag]).await
    }

    /// Like [`invalidate_tag`](Self::invalidate_tag), for several tags in one step.
    ///
    /// # Errors
    ///
    /// As [`invalidate_tag`](Self::invalidate_tag); also where there are more than [`MAX_LABELS`](crate::MAX_LABELS).
    pub async fn invalidate_tags<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), InvalidateError> {
        let tags: Vec<_> = tags.into_iter().collect();
        let what = || {
            // As much as an error shows.
            let tags: Vec<_> = tags.iter().take(16).map(AsRef::as_ref).collect();
            format!("{}: {tags:?}", self.tag())
        };
        let labels = Label::all(&tags).map_err(|source| InvalidateError::Tags { what: what(), source })?;
        let invalidated = self.shared.invalidate_labels(&labels).await;
        invalidated.map_err(|error| InvalidateError::of(&what(), error))
    }

    /// Makes everything out of date that is stored or computed here, on every node, as
    /// [`invalidate_tag`](Self::invalidate_tag) does for one tag.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NotStamped`] unless every value is [`stamped`](Self::stamped), which is to be set on every
    /// node; otherwise as [`invalidate_tag`](Self::invalidate_tag).
    pub async fn invalidate_all(&self) -> Result<(), InvalidateError> {
        if !self.shared.stamps_all() {
            return Err(InvalidateError::NotStamped { what: self.tag() });
        }
        let invalidated = self.shared.invalidate_all().await;
        invalidated.map_err(|error| InvalidateError::of(&self.tag(), error))
    }
}

/// Why [`MemoLock::invalidate`], [`invalidate_tag`](MemoLock::invalidate_tag) or
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
    /// There are tags that cannot be.
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
    /// The store did not take it yet. This process keeps it, gets nothing from before it any more, and tells the store
    /// as soon as it can. Until then other nodes may serve what is out of date.
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
