//! [`Sizes`]: which values are large, as far as this process has seen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::system::SaltedHash;

/// From so many bytes on a value goes over the connection for large values.
pub(super) const LARGE: usize = 64 * 1024;

/// The size that is assumed of a value that did not arrive in time.
const UNSEEN: usize = 8 << 20;

/// How many large values are remembered at least. Twice as many at most.
const MOST: usize = 16 * 1024;

/// The sizes of large values, by name.
#[derive(Default)]
pub(super) struct Sizes {
    any: AtomicBool,
    hash: SaltedHash,
    known: Mutex<KnownSizes>,
}

/// Names that were in use lately, and names from before that. Each is a hash: if two names have the same hash, one of
/// them goes over the other connection, which is just as correct.
#[derive(Default)]
struct KnownSizes {
    young: HashMap<u64, usize>,
    old: HashMap<u64, usize>,
}

impl Sizes {
    /// How large the value is, if it is large.
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let name = self.hash.of(name);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(size) = known.young.get(&name) {
            return Some(*size);
        }
        let size = known.old.remove(&name)?;
        known.insert(name, size);
        Some(size)
    }

    /// The value has this size.
    pub(super) fn learn(&self, name: &str, bytes: usize) {
        if bytes >= LARGE {
            self.any.store(true, Ordering::Relaxed);
        } else if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let name = self.hash.of(name);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.old.remove(&name);
        match bytes >= LARGE {
            true => known.insert(name, bytes),
            false => drop(known.young.remove(&name)),
        }
    }

    /// The value did not arrive in time, so it may be large.
    pub(super) fn suspect(&self, name: &str) {
        self.learn(name, UNSEEN);
    }

    /// There is no value. If it was only suspected to be large, the suspicion was wrong.
    pub(super) fn absent(&self, name: &str) {
        if self.get(name) == Some(UNSEEN) {
            self.learn(name, 0);
        }
    }
}

impl KnownSizes {
    fn insert(&mut self, name: u64, bytes: usize) {
        self.young.insert(name, bytes);
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_known_by_what_was_seen_last() {
        let sizes = Sizes::default();
        sizes.learn("small", 10);
        assert_eq!(sizes.get("small"), None);
        sizes.learn("a", LARGE);
        sizes.suspect("b");
        assert_eq!((sizes.get("a"), sizes.get("b")), (Some(LARGE), Some(UNSEEN)));
        sizes.suspect("c");
        sizes.absent("c");
        sizes.absent("a");
        assert_eq!((sizes.get("a"), sizes.get("c")), (Some(LARGE), None));
        sizes.learn("a", LARGE - 1);
        sizes.learn("b", LARGE + 1);
        assert_eq!((sizes.get("a"), sizes.get("b")), (None, Some(LARGE + 1)));
    }

    #[test]
    fn a_bounded_number_is_remembered_and_what_is_in_use_longest() {
        let sizes = Sizes::default();
        sizes.learn("used", LARGE);
        for n in 0..5 * MOST {
            sizes.learn(&n.to_string(), LARGE);
            assert_eq!(sizes.get("used"), Some(LARGE));
        }
        let known = sizes.known.lock().unwrap();
        assert!(known.young.len() + known.old.len() <= 2 * MOST);
    }
}
