//! [`NearDemand`]: which values were asked for before. A value that is asked for once is not worth a copy.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::system::SaltedHash;

const SLOTS: usize = 8192;

/// How long a first request is remembered, in seconds.
const WHILE: u64 = 60;

/// Remembers roughly: each slot has the fingerprint of the last name that came to it, and the time.
pub(crate) struct NearDemand {
    origin: Instant,
    hash: SaltedHash,
    slots: Box<[AtomicU64]>,
}

impl NearDemand {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            hash: SaltedHash::default(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Takes note of a request. Returns whether it is at least the second one within a while.
    pub(crate) fn again(&self, name: &str) -> bool {
        let hash = self.hash.of(name);
        let seconds = (self.origin.elapsed().as_secs() + 1) & 0xffff;
        let slot = &self.slots[hash as usize % SLOTS];
        let before = slot.swap((hash & !0xffff) | seconds, Ordering::Relaxed);
        let age = seconds.wrapping_sub(before & 0xffff) & 0xffff;
        before != 0 && before & !0xffff == hash & !0xffff && age <= WHILE
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_second_request_within_a_while_counts() {
        let demand = NearDemand::new();
        assert!(!demand.again("t:a") && demand.again("t:a") && demand.again("t:a"));
        tokio::time::advance(Duration::from_secs(WHILE + 2)).await;
        assert!(!demand.again("t:a") && demand.again("t:a"));
    }
}
