//! Computations that no caller waits for, and computations of a caller that does not wait for others.

pub(crate) mod refresh;
pub(crate) mod solo;
