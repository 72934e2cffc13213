//! What the example programs share: a command line that explains itself, and a clean stop.
//!
//! None of it is about memoizing; skip it on a first reading.

mod args;
mod print;
mod shutdown;
mod stats;
mod value;

use std::process::ExitCode;

pub use self::args::{Args, Error, Given, read_args, read_listen, read_nothing, redis_url_of_environment};
pub use self::print::{eprint, eprintln, println};
pub use self::shutdown::{GRACE_OF_LEASES, overdue, shutdown};
pub use self::stats::print_stats;

/// How the program ends; an error is printed with its causes.
#[must_use]
pub fn exit_code(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, in words.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    // Some errors say no more than their cause.
    texts.dedup();
    texts.join(": ")
}
