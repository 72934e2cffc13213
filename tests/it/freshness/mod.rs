//! No caller gets a value from before an invalidation that was acknowledged before they came, whatever was on its way then.

mod fixture;
mod flights;
pub(crate) mod gated;
mod outage;
mod pending;
mod plain;
mod redis;
mod tags;
