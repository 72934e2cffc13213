//! What an error of the core says.

use std::error::Error as _;

use tower_memolock::{Error, ErrorKind, RemoteError};

/// Whether the computation failed in this process, for this reason.
pub(crate) fn is_from_here(error: &Error, reason: &str) -> bool {
    failed(error, reason) && error.cause::<RemoteError>().is_none()
}

/// Whether the computation failed in another process, for this reason.
pub(crate) fn is_remote(error: &Error, reason: &str) -> bool {
    failed(error, reason) && error.cause::<RemoteError>().is_some()
}

fn failed(error: &Error, reason: &str) -> bool {
    error.kind() == ErrorKind::Computation && error.source().is_some_and(|source| source.to_string() == reason)
}
