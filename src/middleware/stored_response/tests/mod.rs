//! What the documented bytes promise, against other writers and readers of them, and against damage.

mod bare;
mod golden;
mod interop;
mod parts;
mod property;
mod raw_body;
mod refusal;
mod round_trip;
mod streamed;
mod support;
