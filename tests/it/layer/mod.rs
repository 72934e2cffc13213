//! The layer around a tower service, in this process: two layers over one store are two nodes of a cluster.
//!
//! Time is paused, so a test that hangs fails at once, and no test depends on the machine's speed.

mod attacks;
mod bodies;
mod body_key;
mod change;
mod codings;
#[cfg(feature = "zstd")]
mod compressed;
mod control;
mod cookies;
mod credentials;
mod dates;
mod deferred;
mod endless;
mod extremes;
mod failures;
mod fixture;
mod frameworks;
mod grpc;
mod identity;
mod keys;
mod large;
mod limits;
mod load;
mod markers;
mod never;
mod orphans;
mod panics;
mod patience;
mod pauses;
mod pending;
mod pieces;
mod private;
mod queue;
mod raw_body;
mod readers;
mod readiness;
#[cfg(feature = "metrics")]
mod reasons;
mod receipts;
mod redis;
mod reentry;
mod replay;
mod revalidation;
mod scenarios;
mod shapes;
mod sharing;
mod slow;
mod soft;
mod soft_timeout;
mod spans;
mod stale;
mod store_after;
mod stored;
mod streaming;
mod succession;
mod tags;
mod trace;
mod unconfirmed;
mod unread;
mod vary;
mod warm;
