//! Many seeds, on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::run::carry_out;
use crate::shrink::shrunk;
use crate::trace::Tracing;

/// How many of the first seeds are gone through twice: what happens has to be the same.
const TWICE: u64 = 40;

/// A seed that fails, and how.
pub(crate) struct Failed {
    seed: u64,
    wrong: String,
}

/// Goes through seeds until one fails, and returns what they came to.
pub(crate) fn explore(first: u64, count: u64, (nodes, redis): (Option<usize>, bool)) -> Result<Coverage, Failed> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None::<Failed>));
    let coverage = Mutex::new(Coverage::default());
    let explorer = || {
        let mut mine = Coverage::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || failed.lock().unwrap().is_some() {
                break;
            }
            let seed = first.wrapping_add(number);
            let plan = Plan::new(seed, nodes, redis);
            let twice = number < TWICE;
            let mut report = carry_out(&plan, None, if twice { Tracing::On } else { Tracing::Off });
            if twice && carry_out(&plan, None, Tracing::On).trace != report.trace {
                report.wrong = Some("another trace from the same seed".to_owned());
            }
            mine.add(&plan, &report);
            if let Some(wrong) = report.wrong {
                let mut failed = failed.lock().unwrap();
                if failed.as_ref().is_none_or(|failed| seed < failed.seed) {
                    *failed = Some(Failed { seed, wrong });
                }
            }
        }
        coverage.lock().unwrap().merge(&mine);
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(explorer)));
    });
    match failed.into_inner().unwrap() {
        Some(failed) => Err(failed),
        None => Ok(coverage.into_inner().unwrap()),
    }
}

impl Failed {
    /// What is wrong, the shortest schedule in which something is, and how to see it again.
    pub(crate) fn explain(self, (nodes, redis): (Option<usize>, bool)) -> String {
        let Self { seed, wrong } = self;
        let (plan, shortest) = shrunk(&Plan::new(seed, nodes, redis), None, wrong.clone());
        let nodes = nodes.map(|nodes| format!(" --nodes {nodes}")).unwrap_or_default();
        let redis = if redis { " --redis" } else { "" };
        format!(
            "seed {seed} fails: {wrong}\n\nshrunk:\n{plan}{shortest}\n\nagain: cargo test --release --all-features --test sim -- \
             --seed {seed}{nodes}{redis} --trace"
        )
    }
}
