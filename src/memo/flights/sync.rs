//! The primitives the flight stands on. `tests/loom` compiles `clock.rs` and `flight.rs` over loom's instead.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
