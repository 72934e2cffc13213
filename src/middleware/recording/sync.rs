//! The primitives the audience stands on. `tests/loom` compiles `broadcast.rs` over loom's instead.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
