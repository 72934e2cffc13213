//! Near copies are never older than they may be, and never from before an invalidation that has returned.

mod changes;
mod cluster;
mod connections;
mod failover;
mod fixture;
mod moves;
mod proxies;
mod refused;
mod staleness;
mod strict;
