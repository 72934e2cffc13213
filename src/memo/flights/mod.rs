//! One flight a key: which callers wait for it, for how long, and how many there may be. Nothing here does I/O.

pub(crate) mod clock;
pub(crate) mod custody;
pub(crate) mod flight;
pub(crate) mod line;
pub(crate) mod lookups;
pub(crate) mod patience;
mod state;
pub(crate) mod sync;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod waiter;
