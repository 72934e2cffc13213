//! What the example programs share: a command line that explains itself, and a clean stop.
//!
//! None of it is about memoizing; skip it on a first reading.

#![allow(dead_code, unused_imports, reason = "no example needs all of it")]

mod args;
mod shutdown;
mod value;

pub(crate) use self::args::{Args, Error, read_args};
pub(crate) use self::shutdown::shutdown;

/// Prints an error with its causes.
pub(crate) fn print_error(error: &dyn std::error::Error) {
    eprint!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprint!(": {error}");
        cause = error.source();
    }
    eprintln!();
}
