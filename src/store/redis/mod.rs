//! [`RedisStore`]: values, locks and promises in one Redis server, or in many. Its own docs say what is sent, and how.
//!
//! Each line uses what stands above it, and nothing below:
//!
//! ```text
//! stats
//! resp/       commands and replies, as they are sent                                  no I/O
//! protocol/   names of keys, channels and slots; replies; words of the family        no I/O
//! conn/       one connection: target, dial, handshake, timeouts, recovery
//! pubsub/     subscriptions of one server, and the watches that hear them
//! topology/   which server has what: one, behind sentinels, or a cluster
//! near/       copies in this process, and what keeps them true
//! script, generations, backlog, oversized, large, reads
//! parts       values on their way to other processes while they are made
//! acl         what the user has to be allowed
//! store/      the operations of `Store`
//! builder
//! ```

mod acl;
mod backlog;
mod builder;
mod conn;
#[cfg(fuzzing)]
pub mod fuzzing;
mod generations;
mod large;
mod near;
mod oversized;
mod parts;
mod protocol;
mod pubsub;
mod reads;
mod resp;
mod script;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod topology;
mod writing;

pub use self::builder::RedisStoreBuilder;
pub use self::stats::{NearStats, PlaneStats, RedisStats};
pub use self::store::RedisStore;
pub use self::topology::link::RedisWatch;
