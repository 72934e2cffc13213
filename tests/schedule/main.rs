//! A cluster under a schedule of faults: three processes over one Redis, most of them with near copies, requests for a few keys that are fought for,
//! invalidations, and everything that can break, at random and from a seed.
//!
//! Checked are
//!
//! - that every request is answered within its bound, unless its process was killed;
//! - that every value was computed for the key that was asked for;
//! - that no value is older than an invalidation that had been acknowledged when the request came; apart from those
//!   that joined a computation in their own process that had to do without the store, which nothing can fence;
//! - that the cluster collapses identical requests again soon after the last fault.
//!
//! ```text
//! cargo test --test schedule                                    a minute of rounds, each from a seed of its own
//! cargo test --test schedule -- --seconds 3600                  an hour of them
//! cargo test --test schedule -- --seed 42                       the round of this seed
//! ```

#[path = "../it/support/mod.rs"]
mod support;

mod history;
mod node;
mod plan;
mod round;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::history::Summary;
use self::plan::Plan;

/// Processes in the cluster.
const NODES: usize = 3;

const LEASE: Duration = Duration::from_millis(500);

/// How long a node waits for Redis, to connect and for each answer.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(300);

/// How old near copies may be.
const NEAR_LAG: Duration = Duration::from_millis(300);

const WAIT_TIMEOUT: Duration = Duration::from_secs(4);

/// What any request may take: the wait timeout, a look-up before it and a computation of its own after it, the pause of
/// its process, and the rest of a busy machine.
const BOUND: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if node::is_one() {
        node::run();
        return ExitCode::SUCCESS;
    }
    let options = match Options::from_args() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}: --seed NUMBER or --seconds NUMBER");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut totals = Totals::default();
    for plan in options.plans() {
        match runtime.block_on(round::carry_out(&plan)) {
            Ok(summary) => totals.add(&plan, &summary),
            Err(wrong) => {
                println!(
                    "{plan}\n{wrong}\nagain: cargo test --test schedule -- --seed {}",
                    plan.seed
                );
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{totals:#?}");
    ExitCode::SUCCESS
}

enum Options {
    Seed(u64),
    Seconds(u64),
}

impl Options {
    fn from_args() -> Result<Self, String> {
        let mut args = std::env::args().skip(1);
        let Some(flag) = args.next() else {
            return Ok(Self::Seconds(60));
        };
        let number = args.next().and_then(|number| number.parse().ok());
        match (flag.as_str(), number) {
            ("--seed", Some(seed)) => Ok(Self::Seed(seed)),
            ("--seconds", Some(seconds)) => Ok(Self::Seconds(seconds)),
            _ => Err(format!("cannot use {flag}")),
        }
    }

    /// The rounds to go through: one, or new ones as long as there is time.
    fn plans(&self) -> Box<dyn Iterator<Item = Plan>> {
        match *self {
            Self::Seed(seed) => Box::new(std::iter::once(Plan::new(seed))),
            Self::Seconds(seconds) => {
                let until = Instant::now() + Duration::from_secs(seconds);
                let again = move || (Instant::now() < until).then(|| Plan::new(fastrand::u64(..)));
                Box::new(std::iter::from_fn(again))
            }
        }
    }
}

/// What all rounds came to.
#[derive(Debug, Default)]
struct Totals {
    rounds: usize,
    faults: BTreeMap<String, usize>,
    answers: usize,
    computations: usize,
    invalidations: usize,
    errors: BTreeMap<String, usize>,
    unfenced: usize,
    near_hits: u64,
    slowest: Duration,
}

impl Totals {
    fn add(&mut self, plan: &Plan, summary: &Summary) {
        self.rounds += 1;
        for fault in plan.faults() {
            let name = format!("{fault:?}");
            let name = name.split(['(', ' ']).next().unwrap_or_default();
            *self.faults.entry(name.to_owned()).or_default() += 1;
        }
        self.answers += summary.answers;
        self.computations += summary.computations;
        self.invalidations += summary.invalidations;
        for (error, count) in &summary.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.unfenced += summary.unfenced;
        self.near_hits += summary.near_hits;
        self.slowest = self.slowest.max(summary.slowest);
    }
}
