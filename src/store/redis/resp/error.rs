//! Errors: of the server, and of the connection.

use std::fmt;
use std::io;
use std::sync::Arc;

/// The outcome of asking a server.
pub(crate) type RedisResult<T> = Result<T, RedisError>;

/// An error of the server in place of an answer, or the reason why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum RedisError {
    Server(ServerError),
    Io(Arc<io::Error>),
}

/// An error as the server words it: a code, and a text in most cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerError(Arc<str>);

impl ServerError {
    pub(crate) fn new(line: &str) -> Self {
        Self(line.into())
    }

    pub(crate) fn code(&self) -> &str {
        self.0.split_once(' ').map_or(&self.0, |(code, _)| code)
    }

    /// What stands behind the code.
    pub(crate) fn details(&self) -> Option<&str> {
        self.0.split_once(' ').map(|(_, details)| details)
    }
}

impl RedisError {
    /// The code of the server's error.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(error.code()),
            Self::Io(_) => None,
        }
    }

    /// What kind of trouble with the connection it is.
    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Server(_) => None,
            Self::Io(error) => Some(error.kind()),
        }
    }

    pub(crate) fn is_timeout(&self) -> bool {
        matches!(
            self.io_kind(),
            Some(io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
        )
    }

    /// Whether an open connection has ended.
    pub(crate) fn is_hang_up(&self) -> bool {
        use io::ErrorKind as Kind;
        matches!(
            self.io_kind(),
            Some(
                Kind::BrokenPipe
                    | Kind::ConnectionReset
                    | Kind::ConnectionAborted
                    | Kind::UnexpectedEof
                    | Kind::NotConnected
            )
        )
    }
}

impl From<io::Error> for RedisError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<ServerError> for RedisError {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RedisError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(_) => None,
            Self::Io(error) => error.source(),
        }
    }
}
