//! Which server has what, and the way there: one server, the master behind sentinels, or a cluster.

pub(crate) mod cluster;
pub(crate) mod commands;
pub(crate) mod failover;
pub(crate) mod link;
mod signals;
