//! [`RedisStore`]: values, locks and promises in one Redis server, or in many. Its own docs say what is sent, and how.

mod acl;
mod backlog;
mod builder;
mod bulk;
mod capacity;
mod cluster;
mod commands;
mod connection;
mod denied;
mod dial;
mod error;
mod failover;
#[cfg(fuzzing)]
pub mod fuzzing;
mod generations;
mod hello;
mod keyspace;
mod large;
mod link;
mod mailbox;
mod message;
mod oversized;
mod reads;
mod recovery;
mod registry;
mod reply;
mod script;
mod sentinel;
mod stats;
mod store;
mod subscriber;
mod target;
mod task;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod traffic;

pub use self::builder::RedisStoreBuilder;
pub use self::link::RedisWatch;
pub use self::stats::{PlaneStats, RedisStats};
pub use self::store::RedisStore;
