//! The primitives the flight stands on. `tests/loom.rs` compiles `flight.rs` over loom's instead.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
