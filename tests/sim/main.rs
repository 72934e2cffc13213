//! The real code under a simulated cluster: nodes with the real core and the real layer, over a store, a network and a clock
//! that are simulated, in one thread and from a seed. What happens is the same for the same seed, to the last line.
//!
//! ```text
//! cargo test --release --all-features --test sim                           some thousand seeds
//! cargo test --release --all-features --test sim -- --seeds 1000000        a million
//! cargo test --release --all-features --test sim -- --seed 42 --trace      what happens with this one
//! cargo test --release --all-features --test sim -- --nodes 500 --seeds 5  large clusters
//! cargo test --release --all-features --test sim -- --redis                the real client of Redis, and a simulated server
//! cargo test --release --all-features --test sim -- --planted              faults in the code: each is found
//! ```
//!
//! In most runs the store itself is simulated. In a tenth of them, and in all with `--redis`, the nodes have the real
//! `RedisStore`, and the server at the other end of its connections is simulated, down to the bytes: a redis-server to which
//! the same is said has to answer the same. In half of those again nodes keep near copies.
//!
//! Checked in every run: one call for each key and generation while all is well; an answer within its bound for each request;
//! no answer from before an invalidation that had returned, of another key, tenant or database, or of a body that broke
//! off; one leader at most that can commit; and nothing left when all is quiet. No near copy that would be served was in Redis
//! longer ago than the lag, or is from before an invalidation that had returned, or that its own node has made.

mod callers;
mod checks;
mod cluster;
mod conformance;
mod contract;
mod coverage;
mod drawing;
mod ears;
mod explore;
mod handler;
mod history;
mod invalidation;
mod link;
mod near;
mod net;
mod node;
mod options;
mod plan;
mod planted;
mod redis;
mod regressions;
mod rng;
mod run;
mod scale;
mod server;
mod shrink;
mod sim;
mod store;
mod trace;
mod world;

use std::cell::Cell;
use std::io::Write;
use std::process::ExitCode;

use self::options::Options;
use self::plan::Plan;
use self::run::carry_out;
use self::trace::Tracing;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    keep_quiet_about_planned_panics();
    if options.planted {
        return match planted::all_caught(options.seed.unwrap_or(0), options.nodes) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    let (first, count) = options.seeds();
    if options.trace {
        return trace(first, count, (options.nodes, options.redis));
    }
    contract::check();
    match conformance::compare() {
        Ok(Some(compared)) => drop(writeln!(std::io::stdout(), "{compared}")),
        Ok(None) => eprintln!("there is no redis-server to compare the simulated one with"),
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::FAILURE;
        }
    }
    if let Some(wrong) = regressions::wrong_again() {
        eprintln!("{wrong}");
        return ExitCode::FAILURE;
    }
    for (count, redis) in options.runs(count) {
        match explore::explore(first, count, (options.nodes, redis)) {
            Ok(coverage) => drop(writeln!(std::io::stdout(), "{coverage}")),
            Err(failed) => {
                eprintln!("{}", failed.explain((options.nodes, redis)));
                return ExitCode::FAILURE;
            }
        }
    }
    stampedes(&options)
}

/// What stampedes cost.
fn stampedes(options: &Options) -> ExitCode {
    for (nodes, waiters) in options.stampedes() {
        match scale::stampede(nodes, waiters) {
            Ok(stampede) => drop(writeln!(std::io::stdout(), "{stampede}")),
            Err(wrong) => {
                eprintln!("{wrong}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Prints what happens, and nothing else.
fn trace(first: u64, count: u64, (nodes, redis): (Option<usize>, bool)) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for seed in (0..count).map(|number| first.wrapping_add(number)) {
        let report = carry_out(&Plan::new(seed, nodes, redis), None, Tracing::On);
        // A reader that has read enough is no failure.
        let _ = std::io::stdout().write_all(report.trace.as_bytes());
        if let Some(wrong) = report.wrong {
            eprintln!("seed {seed} fails: {wrong}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

thread_local! {
    /// Whether something in this thread has panicked, and not on purpose.
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether something has panicked in this thread since this was asked the last time. The runtime does not say that a task has
/// panicked that nothing waits for.
fn has_panicked() -> bool {
    HAS_PANICKED.take()
}

/// Computations panic on purpose: their messages are no news.
fn keep_quiet_about_planned_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"planned") {
            HAS_PANICKED.set(true);
            usual(panic);
        }
    }));
}
