//! A body that comes: recorded once, read by the client of the leader, the store, and followers.

pub(crate) mod broadcast;
pub(crate) mod budget;
pub(crate) mod endless;
pub(crate) mod part;
pub(crate) mod pieces;
pub(crate) mod recorder;
pub(crate) mod sync;
pub(crate) mod trial;
pub(crate) mod underway;
