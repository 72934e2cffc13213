//! One connection to one server: where it is, how it is dialled, what is sent on it, and what becomes of it.

pub(crate) mod address;
pub(crate) mod bulk;
pub(crate) mod capacity;
pub(crate) mod connection;
pub(crate) mod denied;
pub(crate) mod dial;
pub(crate) mod error;
pub(crate) mod hello;
pub(crate) mod pipe;
pub(crate) mod recovery;
pub(crate) mod reply;
pub(crate) mod sentinel;
mod socket;
pub(crate) mod target;
pub(crate) mod task;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod traffic;
