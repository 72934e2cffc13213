//! Errors: [`StoreError`] of the store, [`Error`] for the caller that asked for a value.

use std::fmt;
use std::sync::Arc;

use crate::key::{Address, Readable};
use crate::memo::Limit;

/// Any error, as other crates hand it over.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A store did not do what it was asked to.
///
/// The core and the layer never hand this error to a client: they go on without the store.
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
/// It names the value, and has the cause as its [source](std::error::Error::source). All callers that waited for a
/// computation in one process get the same source. `?` turns the error into `anyhow::Error` or `Box<dyn Error + Send +
/// Sync>`.
///
/// ```
/// use std::error::Error;
/// use std::io;
///
/// use tower_memolock::{ErrorKind, MemoLock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let likes = MemoLock::new(MemoryStore::new(), "likes");
/// let query = || async { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) };
/// let error = likes.get_or_compute("kristoff", query).await.unwrap_err();
/// assert_eq!(error.to_string(), "likes:kristoff: the computation failed");
/// assert_eq!(error.source().unwrap().to_string(), "connection refused");
/// assert_eq!(error.kind(), ErrorKind::Computation);
/// let cause: &io::Error = error.cause().unwrap();
/// assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
/// # }
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Arc<ErrorInner>,
}

struct ErrorInner {
    address: String,
    failure: Failure,
}

/// The classes of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The computation failed, in this process or another. Its error is the source: as it was where the computation ran
    /// in this process, or where [`MemoLock::errors`](crate::MemoLock::errors) can decode it; otherwise a
    /// [`RemoteError`], its text.
    Computation,
    /// The computation panicked.
    Panicked,
    /// The caller waited longer than the wait timeout.
    WaitTimeout,
    /// The computation was stopped before it came to an end, because the runtime shuts down. For
    /// [`MemoLock::get_or_request`](crate::MemoLock::get_or_request): it was given up several times.
    Abandoned,
    /// A limit is reached, and the caller must not compute for itself: see [`AtLimit::Refuse`](crate::AtLimit::Refuse).
    AtLimit(Limit),
    /// The id cannot be a key: a [`KeyError`](crate::KeyError) is the source.
    Key,
    /// The value has been computed, but its tags cannot be kept: a [`LabelError`](crate::LabelError) is the source.
    Tags,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Computation => "the computation failed",
            Self::Panicked => "the computation panicked",
            Self::WaitTimeout => "the computation was not finished within the wait timeout",
            Self::Abandoned => "the computation was given up before it came to an end",
            Self::AtLimit(limit) => return limit.fmt(f),
            Self::Key => "the id cannot be a key",
            Self::Tags => "the tags of the value cannot be kept",
        })
    }
}

impl Error {
    /// `name` is `TAG:ID`.
    pub(crate) fn new(name: &str, failure: Failure) -> Self {
        Self {
            inner: Arc::new(ErrorInner {
                address: name.to_owned(),
                failure,
            }),
        }
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.failure.kind
    }

    /// The value that was asked for, as `TAG:ID`; the tag alone where the id cannot be a key.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// The first of this error's sources that is an `E`, such as the error that the computation returned. It may be
    /// further down, behind a context that `anyhow` added. An `anyhow::Error` without a context hides the type of the
    /// error inside.
    #[must_use]
    pub fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        let first = std::error::Error::source(self);
        std::iter::successors(first, |error| error.source()).find_map(|error| error.downcast_ref())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("address", &self.inner.address)
            .field("kind", &self.inner.failure.kind)
            .field("source", &self.inner.failure.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Readable(&self.inner.address), self.inner.failure.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.failure.source.as_ref().map(|e| &**e as _)
    }
}

/// The text of an error that happened in another process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    message: String,
    encoding: Option<String>,
}

impl RemoteError {
    /// The longest text, in bytes, that goes to other processes.
    pub const MAX_LEN: usize = 1024;

    /// The longest encoding, in bytes, that goes to other processes.
    pub const MAX_ENCODING_LEN: usize = 4096;

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
            message.shrink_to_fit();
        }
        Self {
            message,
            encoding: None,
        }
    }

    /// Adds the error itself, as [`MemoLock::errors`](crate::MemoLock::errors) encodes it. An encoding of more than
    /// [`RemoteError::MAX_ENCODING_LEN`] bytes is left out.
    #[must_use]
    pub fn with_encoding(mut self, encoding: impl Into<String>) -> Self {
        self.encoding = Some(encoding.into()).filter(|encoding| encoding.len() <= Self::MAX_ENCODING_LEN);
        self
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error itself, encoded, where that was sent as well.
    #[must_use]
    pub fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }
}

/// Why there is no value, on its way to all callers that wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    kind: ErrorKind,
    source: Option<Cause>,
    /// The error itself, for other processes.
    encoding: Option<String>,
}

pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// How an error crosses to other processes and comes back. A [`Codec`](crate::codec::Codec) for any type of error is one.
pub(crate) trait ErrorForm: Send + Sync {
    fn encode(&self, address: &Address, error: &Error) -> Option<String>;

    fn decode(&self, address: &Address, encoding: &str) -> Option<Cause>;
}

impl Failure {
    /// The failure of a computation in this process.
    pub(crate) fn of<E: Into<BoxError>>(error: E) -> Self {
        Self::caused(ErrorKind::Computation, error)
    }

    /// A failure of this kind with its cause.
    pub(crate) fn caused(kind: ErrorKind, cause: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: Some(Arc::from(cause.into())),
            encoding: None,
        }
    }

    /// With the encoding of its cause for other processes, where it has one.
    pub(crate) fn encoded(mut self, address: &Address, form: Option<&dyn ErrorForm>) -> Self {
        if let Some(form) = form {
            self.encoding = form.encode(address, &Error::new(address.as_str(), self.clone()));
        }
        self
    }

    /// With the cause as it was in the process where the computation failed, where it was sent and can be decoded.
    pub(crate) fn decoded(mut self, address: &Address, form: Option<&dyn ErrorForm>) -> Self {
        let remote = self
            .source
            .as_ref()
            .and_then(|error| error.downcast_ref::<RemoteError>());
        if let (Some(encoding), Some(form)) = (remote.and_then(RemoteError::encoding), form)
            && let Some(error) = form.decode(address, encoding)
        {
            self.source = Some(error);
        }
        self
    }

    /// The error for other processes.
    pub(crate) fn told(&self) -> RemoteError {
        let error = RemoteError::new(match &self.source {
            Some(error) => error.to_string(),
            None => self.kind.to_string(),
        });
        match &self.encoding {
            Some(encoding) => error.with_encoding(encoding),
            None => error,
        }
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            source: None,
            encoding: None,
        }
    }
}
