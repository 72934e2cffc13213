//! How each kind of request is served.

pub(crate) mod answer;
mod at_limit;
pub(crate) mod body_key;
pub(crate) mod hit;
pub(crate) mod partial;
pub(crate) mod parts;
pub(crate) mod refresh;
mod soft_timeout;
mod stand_in;
pub(crate) mod unsafe_request;
#[cfg(feature = "admin")]
pub(crate) mod watched;
