//! Subscriptions of one server, and the watches that hear what arrives.

mod fences;
pub(crate) mod hub;
mod lingering;
pub(crate) mod mailbox;
pub(crate) mod registry;
pub(crate) mod subscriber;
mod topic;
