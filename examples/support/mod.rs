//! What the example programs share: a command line that explains itself, and a clean stop.
//!
//! None of it is about memoizing; skip it on a first reading.

#![allow(dead_code, unused_imports, reason = "no example needs all of it")]

mod args;
mod shutdown;
mod value;

pub(crate) use self::args::{Args, Error, read_args};
pub(crate) use self::shutdown::shutdown;
