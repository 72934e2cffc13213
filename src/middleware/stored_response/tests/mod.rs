//! What the documented bytes promise, against other writers and readers of them, and against damage.

mod golden;
mod interop;
mod property;
mod refusal;
mod round_trip;
mod support;
