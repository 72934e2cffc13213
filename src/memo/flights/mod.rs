//! One flight a key: who waits for it, for how long, and what it may cost. Nothing here does I/O.

pub(crate) mod clock;
pub(crate) mod custody;
pub(crate) mod flight;
pub(crate) mod line;
pub(crate) mod lookups;
pub(crate) mod patience;
mod state;
pub(crate) mod sync;
pub(crate) mod table;
pub(crate) mod waiter;
