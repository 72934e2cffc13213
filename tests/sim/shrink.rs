//! A schedule that fails, made as short as it fails still.

use tower_memolock::simulation::Planted;

use crate::plan::{Op, Plan};
use crate::run::carry_out;
use crate::trace::Tracing;

/// How many shorter schedules are tried.
const TRIES: usize = if cfg!(debug_assertions) { 200 } else { 1500 };

/// With how many different draws of the network each of them is.
const DRAWS: u64 = 6;

/// The same plan with fewer operations and fewer callers, and what is wrong then.
pub(crate) fn shrunk(plan: &Plan, planted: Option<Planted>, wrong: String) -> (Plan, String) {
    let mut shortest = (plan.clone(), wrong);
    let mut tries = 0;
    let mut part = plan.ops.len().div_ceil(2).max(1);
    while tries < TRIES {
        let mut from = 0;
        let mut shorter = false;
        while from < shortest.0.ops.len() && tries < TRIES {
            let mut candidate = shortest.0.clone();
            let to = (from + part).min(candidate.ops.len());
            candidate.ops.drain(from..to);
            tries += 1;
            match fails(&candidate, planted) {
                Some(failed) => (shortest, shorter) = (failed, true),
                None => from = to,
            }
        }
        if part == 1 && !shorter {
            break;
        }
        part = (part / 2).max(1);
    }
    alone(shortest, planted)
}

/// One caller where there are many, as far as it fails still.
fn alone((mut plan, mut wrong): (Plan, String), planted: Option<Planted>) -> (Plan, String) {
    for place in 0..plan.ops.len() {
        let mut candidate = plan.clone();
        if let (_, Op::Ask { count, .. }) = &mut candidate.ops[place]
            && *count > 1
        {
            *count = 1;
            if let Some(failed) = fails(&candidate, planted) {
                (plan, wrong) = failed;
            }
        }
    }
    (plan, wrong)
}

/// The same plan, perhaps with other luck, if it fails: fewer operations draw other numbers.
fn fails(plan: &Plan, planted: Option<Planted>) -> Option<(Plan, String)> {
    (0..DRAWS).find_map(|draw| {
        let plan = Plan {
            luck: plan.luck.wrapping_add(draw),
            ..plan.clone()
        };
        let wrong = carry_out(&plan, planted, Tracing::Off).wrong?;
        Some((plan, wrong))
    })
}
