//! How a [`MemoLock`](crate::MemoLock) is told that something is out of date.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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
    /// Once it has returned, no node serves what was there before as fresh. A value of a [`MemoLock`](crate::MemoLock) goes on answering
    /// until its ttl ends; to [`MemoLock::get`](crate::MemoLock::get) it is absent. A response of a layer goes on for as long as
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

/// The receipt of what this invalidates.
async fn receipted<C: Codec>(
    shared: &Shared<C>,
    invalidate: impl Future<Output = Result<(), InvalidateError>>,
) -> Result<Receipt, InvalidateError> {
    // On one connection, both are on their way together.
    let (receipt, invalidated) = tokio::join!(shared.receipt(), invalidate);
    invalidated.map(|()| receipt)
}

/// Invalidates the values at these addresses, one after the other.
pub(crate) async fn each<C: Codec>(
    shared: Arc<Shared<C>>,
    addresses: Vec<Address>,
    purge: Purge,
) -> Result<Receipt, InvalidateError> {
    let invalidate = async {
        for address in &addresses {
            let invalidated = shared.invalidate(address, purge).await;
            invalidated.map_err(|error| InvalidateError::of(address.as_str(), error))?;
        }
        Ok(())
    };
    receipted(&shared, invalidate).await
}

/// The invalidation of the value with this key.
pub(super) fn of_value<C: Codec>(shared: &Arc<Shared<C>>, key: Result<Key, KeyError>) -> Invalidation {
    match key {
        Ok(key) => {
            let shared = Arc::clone(shared);
            let address = Address::new(&shared.tag, &key);
            Invalidation::new(|purge| each(shared, vec![address], purge))
        }
        Err(source) => Invalidation::failed(InvalidateError::Key {
            what: shared.tag.as_str().to_owned(),
            source,
        }),
    }
}

/// The invalidation of all values with one of these tags.
pub(super) fn of_tags<C: Codec, T: AsRef<str>>(shared: &Arc<Shared<C>>, tags: &[T]) -> Invalidation {
    // As much as an error shows.
    let shown: Vec<_> = tags.iter().take(16).map(AsRef::as_ref).collect();
    let what = format!("{}: {shown:?}", shared.tag.as_str());
    let labels = match Label::all(tags) {
        Ok(labels) => labels,
        Err(source) => return Invalidation::failed(InvalidateError::Tags { what, source }),
    };
    let shared = Arc::clone(shared);
    Invalidation::new(async move |purge| {
        let invalidate = async {
            let invalidated = shared.invalidate_labels(&labels, purge).await;
            invalidated.map_err(|error| InvalidateError::of(&what, error))
        };
        receipted(&shared, invalidate).await
    })
}

/// The invalidation of all values.
pub(super) fn of_all<C: Codec>(shared: &Arc<Shared<C>>) -> Invalidation {
    let what = shared.tag.as_str().to_owned();
    if !shared.stamps_all() {
        return Invalidation::failed(InvalidateError::NotStamped { what });
    }
    let shared = Arc::clone(shared);
    Invalidation::new(async move |purge| {
        let invalidate = async {
            let invalidated = shared.invalidate_all(purge).await;
            invalidated.map_err(|error| InvalidateError::of(&what, error))
        };
        receipted(&shared, invalidate).await
    })
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

/// Why [`MemoLock::invalidate`](crate::MemoLock::invalidate), [`invalidate_tags`](crate::MemoLock::invalidate_tags) or
/// [`invalidate_all`](crate::MemoLock::invalidate_all) did not do it.
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
    /// Values without tags have no stamp, so they are out of reach: see [`MemoLock::stamped`](crate::MemoLock::stamped).
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
