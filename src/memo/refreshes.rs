//! [`Refreshes`]: the values that this process computes anew while the stored ones answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::key::Address;

/// Bounds the memory. Beyond this many, no value is computed anew before it has to be.
const MOST: usize = 4096;

/// At most one refresh an address at a time, and no other before the time that the last one has named.
pub(crate) struct Refreshes {
    entries: Mutex<HashMap<Address, RefreshState>>,
    running: watch::Sender<usize>,
    /// How many may run at once, if that is bounded.
    most: Option<usize>,
}

#[derive(Clone, Copy)]
enum RefreshState {
    Running,
    /// Of the value with this number.
    NotBefore(Instant, u64),
}

impl Refreshes {
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self {
            entries: Mutex::default(),
            running: watch::Sender::new(0),
            most,
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Address, RefreshState>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves once none is under way.
    pub(crate) async fn idle(&self) {
        // The sender is there as long as a caller can wait.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Whether to begin a refresh of the value that `version` identifies. If so, the caller has to call
    /// [`end`](Self::end) when it is over.
    pub(crate) fn begin(&self, address: &Address, version: u64, now: Instant) -> bool {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, refresh| refresh.is_current(now));
        }
        if self.most.is_some_and(|most| *self.running.borrow() >= most) {
            return false;
        }
        let full = entries.len() >= MOST;
        match entries.entry(address.clone()) {
            Entry::Occupied(entry) if entry.get().is_in_the_way(version, now) => return false,
            Entry::Vacant(_) if full => return false,
            entry => drop(entry.insert_entry(RefreshState::Running)),
        }
        self.running.send_modify(|running| *running += 1);
        true
    }

    /// Ends a refresh. There is no point in another one of the same value before `not_before`.
    pub(crate) fn end(&self, address: &Address, version: u64, not_before: Option<Instant>) {
        let mut entries = self.entries();
        match not_before {
            Some(time) => drop(entries.insert(address.clone(), RefreshState::NotBefore(time, version))),
            None => drop(entries.remove(address)),
        }
        drop(entries);
        self.running.send_modify(|running| *running -= 1);
    }
}

impl RefreshState {
    fn is_current(self, now: Instant) -> bool {
        match self {
            Self::Running => true,
            Self::NotBefore(time, _) => now < time,
        }
    }

    fn is_in_the_way(self, version: u64, now: Instant) -> bool {
        match self {
            Self::Running => true,
            // A time that was named for one value means nothing for the value that replaced it.
            Self::NotBefore(time, of) => of == version && now < time,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::{Key, Tag};

    fn address(id: usize) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap())
    }

    #[tokio::test]
    async fn one_at_a_time_and_none_before_the_last_one_said() {
        let (refreshes, now) = (Refreshes::new(None), Instant::now());
        assert!(refreshes.begin(&address(1), 1, now));
        assert!(!refreshes.begin(&address(1), 1, now));
        assert!(refreshes.begin(&address(2), 1, now));

        let later = now + Duration::from_secs(1);
        refreshes.end(&address(1), 1, Some(later));
        refreshes.end(&address(2), 1, None);
        refreshes.idle().await;
        assert!(!refreshes.begin(&address(1), 1, now));
        assert!(refreshes.begin(&address(1), 1, later));
        assert!(refreshes.begin(&address(2), 1, now));
    }

    #[test]
    fn what_was_said_of_one_value_means_nothing_for_the_next() {
        let (refreshes, now) = (Refreshes::new(None), Instant::now());
        assert!(refreshes.begin(&address(1), 1, now));
        assert!(!refreshes.begin(&address(1), 2, now));
        refreshes.end(&address(1), 1, Some(now + Duration::from_secs(1)));
        assert!(!refreshes.begin(&address(1), 1, now));
        assert!(refreshes.begin(&address(1), 2, now));
    }

    #[test]
    fn those_that_are_over_make_room() {
        let (refreshes, now) = (Refreshes::new(None), Instant::now());
        for id in 0..MOST {
            assert!(refreshes.begin(&address(id), 1, now));
        }
        assert!(!refreshes.begin(&address(MOST), 1, now));
        refreshes.end(&address(0), 1, Some(now + Duration::from_secs(1)));
        assert!(!refreshes.begin(&address(MOST), 1, now));
        assert!(refreshes.begin(&address(MOST), 1, now + Duration::from_secs(1)));
    }
}
