//! Computations that no caller waits for, and those of a caller that waits for no other.

pub(crate) mod refresh;
pub(crate) mod solo;
