//! Calls the inner service, judges what it answers, and settles it with the core.

pub(crate) mod admission;
pub(crate) mod begin;
pub(crate) mod computation;
pub(crate) mod credentials;
mod deferral;
pub(crate) mod deferred;
pub(crate) mod marker;
pub(crate) mod on_path;
pub(crate) mod pause;
pub(crate) mod preview;
pub(crate) mod promise;
pub(crate) mod record;
pub(crate) mod stale_if_error;
pub(crate) mod task;
mod unshared;
