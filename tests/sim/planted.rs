//! Faults in the code: each has to be found, or the check that would find it is none.

use tower_memolock::simulation::Planted;

use crate::plan::Plan;
use crate::run::carry_out;
use crate::trace::Tracing;

/// How many seeds it may take.
const WITHIN: u64 = 1000;

const ALL: [Planted; 16] = [
    Planted::TokenShared,
    Planted::RefusedLanded,
    Planted::CommitForAll,
    Planted::NotDetached,
    Planted::NotRenewed,
    Planted::NotReread,
    Planted::WaitsForever,
    Planted::NotReleased,
    Planted::OldMessage,
    Planted::NotVouched,
    Planted::Outdated,
    Planted::KeyUnchecked,
    Planted::KeyWithoutFields,
    Planted::Truncated,
    Planted::WatchLeft,
    Planted::WaiterLeft,
];

/// Whether each is found, with a line for each that says by which seed.
pub(crate) fn all_caught(from: u64, nodes: Option<usize>) -> bool {
    let mut all = true;
    for planted in ALL {
        let caught = (from..from.saturating_add(WITHIN)).find_map(|seed| {
            let plan = Plan::new(seed, nodes);
            let wrong = carry_out(&plan, Some(planted), Tracing::Off).wrong?;
            Some((seed, wrong))
        });
        match caught {
            Some((seed, wrong)) => {
                println!("{planted:?}: caught by seed {seed}");
                eprintln!("    {wrong}");
            }
            None => {
                println!("{planted:?}: not caught by {WITHIN} seeds");
                all = false;
            }
        }
    }
    all
}
