//! [`RedisStore`]: values, locks and promises in one Redis server. Its own docs say what is sent, and how.

mod builder;
mod commands;
mod connection;
mod dial;
mod error;
mod keyspace;
mod mailbox;
mod message;
mod recovery;
mod registry;
mod script;
mod stats;
mod store;
mod subscriber;
mod task;
#[cfg(test)]
mod tests;

pub use self::builder::RedisStoreBuilder;
pub use self::stats::{PlaneStats, RedisStats};
pub use self::store::RedisStore;
pub use self::subscriber::RedisWatch;
