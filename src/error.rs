//! What can go wrong: [`StoreError`] in the store, [`Error`] for the caller that asked for a value.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::key::{KeyError, LabelError};
use crate::memo::Limit;

/// Any error, as other crates hand it over.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A store did not do what it was asked to.
///
/// The core and the layer never hand one of these to a client: they go on without the store.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<BoxError>,
}

/// The classes of [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store is not connected; nothing was sent.
    Unavailable,
    /// No answer in time; whether the store acted is unknown.
    Timeout,
    /// The store answered with an error.
    Rejected,
    /// The value could not be encoded.
    Encode,
    /// The configuration, a URL for instance, cannot be used.
    Config,
    /// The store has no such ability.
    Unsupported,
    /// The store did not acknowledge an invalidation. This process keeps it, heeds it at once, and sends it again as
    /// soon as the store takes it. Until then other nodes may serve what is out of date.
    Pending,
}

impl StoreError {
    /// An error of this kind without a cause.
    #[must_use]
    pub fn new(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// An error of this kind with its cause.
    #[must_use]
    pub fn with_source(kind: StoreErrorKind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "the store is not connected",
            StoreErrorKind::Timeout => "the store did not answer in time",
            StoreErrorKind::Rejected => "the store answered with an error",
            StoreErrorKind::Encode => "the value could not be encoded",
            StoreErrorKind::Config => "the store cannot be used as configured",
            StoreErrorKind::Unsupported => "the store is not able to do this",
            StoreErrorKind::Pending => "the store did not take the invalidation yet, which is kept",
        })
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| &**e as _)
    }
}

/// Why [`MemoLock::get_or_compute`](crate::MemoLock::get_or_compute) has no value.
///
/// `E` is the error of the computation.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// The computation, led by this process, failed. All callers that waited for it get the same error.
    Computation(Arc<E>),
    /// The computation failed in another process, or in this one with an error of another type.
    Remote(RemoteError),
    /// The computation panicked.
    Panicked,
    /// The caller waited longer than the wait timeout.
    WaitTimeout,
    /// The computation was stopped before it came to an end, because the runtime shuts down. Of
    /// [`MemoLock::get_or_request`](crate::MemoLock::get_or_request): it was given up several times.
    Abandoned,
    /// Too much goes on already, and the caller must not compute for itself: see
    /// [`AtLimit::Refuse`](crate::AtLimit::Refuse).
    AtLimit(Limit),
    /// The id cannot be a key.
    Key(KeyError),
    /// The value has been computed, but its tags cannot be kept.
    Tags(LabelError),
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Computation(e) => Self::Computation(Arc::clone(e)),
            Self::Remote(e) => Self::Remote(e.clone()),
            Self::Panicked => Self::Panicked,
            Self::WaitTimeout => Self::WaitTimeout,
            Self::Abandoned => Self::Abandoned,
            Self::AtLimit(limit) => Self::AtLimit(*limit),
            Self::Key(e) => Self::Key(e.clone()),
            Self::Tags(e) => Self::Tags(*e),
        }
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Computation(_) => "the computation failed",
            Self::Remote(_) => "the computation failed elsewhere",
            Self::Panicked => "the computation panicked",
            Self::WaitTimeout => "the computation was not finished within the wait timeout",
            Self::Abandoned => "the computation was given up before it came to an end",
            Self::AtLimit(limit) => return limit.fmt(f),
            Self::Key(_) => "the id cannot be a key",
            Self::Tags(_) => "the tags of the value cannot be kept",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Computation(e) => Some(&**e),
            Self::Remote(e) => Some(e),
            Self::Key(e) => Some(e),
            Self::Tags(e) => Some(e),
            Self::Panicked | Self::WaitTimeout | Self::Abandoned | Self::AtLimit(_) => None,
        }
    }
}

/// The text of an error that happened in another process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    message: String,
}

impl RemoteError {
    /// The longest text, in bytes, that goes to other processes.
    pub const MAX_LEN: usize = 1024;

    /// Takes over at most [`RemoteError::MAX_LEN`] bytes of `message`.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > Self::MAX_LEN {
            let mut end = Self::MAX_LEN;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        Self { message }
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// A failed computation, on its way to all who wait for it.
#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) message: RemoteError,
    pub(crate) panicked: bool,
    /// `Arc<E>`'s `E`, where the computation ran in this process.
    pub(crate) error: Option<Arc<dyn Any + Send + Sync>>,
}

impl Failure {
    /// The failure of a computation in this process.
    pub(crate) fn of<E: fmt::Display + Send + Sync + 'static>(error: &Arc<E>) -> Self {
        Self {
            message: RemoteError::new(error.to_string()),
            panicked: false,
            error: Some(Arc::clone(error) as _),
        }
    }

    /// The failure of a computation in another process.
    pub(crate) fn remote(message: RemoteError) -> Self {
        Self {
            message,
            panicked: false,
            error: None,
        }
    }

    /// A computation in this process panicked.
    pub(crate) fn panicked() -> Self {
        Self {
            message: RemoteError::new("the computation panicked"),
            panicked: true,
            error: None,
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failure").field(&self.message.message).finish()
    }
}

impl<E: Send + Sync + 'static> From<Failure> for Error<E> {
    fn from(failure: Failure) -> Self {
        if failure.panicked {
            return Self::Panicked;
        }
        match failure.error.map(|e| e.downcast::<E>()) {
            Some(Ok(error)) => Self::Computation(error),
            _ => Self::Remote(failure.message),
        }
    }
}
