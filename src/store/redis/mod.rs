//! [`RedisStore`]: values, locks and promises in one Redis server.
//!
//! # What is sent
//!
//! With the tag `T` and the id `ID`:
//!
//! | what | name | |
//! |---|---|---|
//! | value | `T:ID` | the encoded value, with a TTL |
//! | lock | `T/lock:ID` | the holder's token, `SET NX PX` |
//! | promise | `T/notif:ID` | each payload is a stored value, to the letter |
//! | control | `T/ctl:ID` | everything else there is to say |
//!
//! A lookup is one `GET`. Acquiring is one pipeline of plain commands. Commit, renew and release are scripts that
//! act only while the lock holds the caller's token.
//!
//! # Two planes
//!
//! Commands and subscriptions have a connection each, because a client that mixes them can take the confirmation of
//! a subscription for the reply of a command, and hand one caller the value of another. Both are supervised: one
//! that breaks, or does not answer in time, is replaced in the background, without end.

mod builder;
mod commands;
mod dial;
mod error;
mod keyspace;
mod mailbox;
mod message;
mod recovery;
mod registry;
mod script;
mod store;
mod subscriber;
mod task;
#[cfg(test)]
mod tests;

pub use self::builder::RedisStoreBuilder;
pub use self::store::RedisStore;
pub use self::subscriber::RedisWatch;
