//! Faults in the code: each has to be found, or the check that would find it is none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tower_memolock::simulation::Planted;

use crate::plan::Plan;
use crate::run::carry_out;
use crate::trace::Tracing;

/// How many seeds it may take, and where near copies are at fault.
const WITHIN: (u64, u64) = (3000, 500);

const ALL: [Planted; 29] = [
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
    Planted::SoftAsFresh,
    Planted::ReceiptIgnored,
    Planted::NotAnew,
    Planted::PlaceGivenUp,
    Planted::NotReplaced,
    Planted::NearUnleased,
    Planted::NearUnanswered,
    Planted::NearUnplaced,
    Planted::NearUnsettled,
    Planted::NearUnheeded,
    Planted::NearOwnKept,
    Planted::NearOutlasting,
    Planted::NearUnflushed,
];

/// Whether each is found, with a line for each that says by which seed.
pub(crate) fn all_caught(from: u64, nodes: Option<usize>) -> bool {
    let (next, caught) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let hunter = || {
        while let Some(planted) = ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            match hunt(*planted, from, nodes) {
                Some((seed, wrong)) => {
                    caught.fetch_add(1, Ordering::Relaxed);
                    println!("{planted:?}: caught by seed {seed}\n    {wrong}");
                }
                None => println!("{planted:?}: not caught by {} seeds", within(*planted)),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(hunter)));
    });
    caught.into_inner() == ALL.len()
}

fn within(planted: Planted) -> u64 {
    if planted < Planted::NearUnleased {
        WITHIN.0
    } else {
        WITHIN.1
    }
}

/// The first seed that finds it, and what is wrong then.
fn hunt(planted: Planted, from: u64, nodes: Option<usize>) -> Option<(u64, String)> {
    // The last of them are faults of the client of Redis.
    let redis = planted >= Planted::PlaceGivenUp;
    (from..from.saturating_add(within(planted))).find_map(|seed| {
        let wrong = carry_out(&Plan::new(seed, nodes, redis), Some(planted), Tracing::Off).wrong?;
        Some((seed, wrong))
    })
}
