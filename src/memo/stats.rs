//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a [`MemoLock`](super::MemoLock) has done since it was made, in this process.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Values found in the store.
    hits,
    /// Computations started, bypasses aside.
    led,
    /// Callers answered by somebody else's computation.
    followed,
    /// Computations started after an earlier one for the same callers had been given up or lost.
    taken_over,
    /// Computations started without a lease, because the store could not be asked for one.
    failed_open,
    /// Results that the store refused, because the lease had ended or the key had been invalidated.
    fenced,
    /// Computations whose result was not one to share.
    passed,
    /// Computations that were given up: an error of the inner service, a panic, a truncated body.
    abandoned,
    /// Callers who waited longer than the wait timeout.
    wait_timeouts,
    /// Stored or published values that could not be verified, and counted as absent.
    rejected,
    /// Store operations that ended in an error.
    store_errors,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
