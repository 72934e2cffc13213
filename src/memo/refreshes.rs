//! [`Refreshes`]: what this process computes anew while it goes on answering with what there is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::key::Address;

/// Bounds the memory: beyond, nothing is computed anew before it has to be.
const MOST: usize = 4096;

/// One refresh an address, and none again before the last one says.
pub(crate) struct Refreshes {
    entries: Mutex<HashMap<Address, Refresh>>,
    running: watch::Sender<usize>,
}

#[derive(Clone, Copy)]
enum Refresh {
    Running,
    NotBefore(Instant),
}

impl Refreshes {
    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            running: watch::Sender::new(0),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Address, Refresh>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves once none is under way.
    pub(crate) async fn idle(&self) {
        // The sender is here as long as anybody can wait.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Whether to begin one. Whoever is told so says when it is over, with [`end`](Self::end).
    pub(crate) fn begin(&self, address: &Address, now: Instant) -> bool {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            entries.retain(|_, refresh| refresh.is_in_the_way(now));
        }
        let full = entries.len() >= MOST;
        match entries.entry(address.clone()) {
            Entry::Occupied(entry) if entry.get().is_in_the_way(now) => return false,
            Entry::Vacant(_) if full => return false,
            entry => drop(entry.insert_entry(Refresh::Running)),
        }
        self.running.send_modify(|running| *running += 1);
        true
    }

    /// Ends one, and says before when there is no point in another.
    pub(crate) fn end(&self, address: &Address, not_before: Option<Instant>) {
        let mut entries = self.entries();
        match not_before {
            Some(time) => drop(entries.insert(address.clone(), Refresh::NotBefore(time))),
            None => drop(entries.remove(address)),
        }
        drop(entries);
        self.running.send_modify(|running| *running -= 1);
    }
}

impl Refresh {
    fn is_in_the_way(self, now: Instant) -> bool {
        match self {
            Self::Running => true,
            Self::NotBefore(time) => now < time,
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
        let (refreshes, now) = (Refreshes::new(), Instant::now());
        assert!(refreshes.begin(&address(1), now));
        assert!(!refreshes.begin(&address(1), now));
        assert!(refreshes.begin(&address(2), now));

        let later = now + Duration::from_secs(1);
        refreshes.end(&address(1), Some(later));
        refreshes.end(&address(2), None);
        refreshes.idle().await;
        assert!(!refreshes.begin(&address(1), now));
        assert!(refreshes.begin(&address(1), later));
        assert!(refreshes.begin(&address(2), now));
    }

    #[test]
    fn those_that_are_over_make_room() {
        let (refreshes, now) = (Refreshes::new(), Instant::now());
        for id in 0..MOST {
            assert!(refreshes.begin(&address(id), now));
        }
        assert!(!refreshes.begin(&address(MOST), now));
        refreshes.end(&address(0), Some(now + Duration::from_secs(1)));
        assert!(!refreshes.begin(&address(MOST), now));
        assert!(refreshes.begin(&address(MOST), now + Duration::from_secs(1)));
    }
}
