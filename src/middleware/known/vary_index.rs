//! Which request fields the response at an address is known to vary by, so that a variant is found in one round trip.
//!
//! The first variant of a response is stored at the address itself, every other at one that has the *generation* of the
//! first, which is random, and the fingerprint of the fields that [`Vary`][4.1] names. A node learns both from the first
//! stored response it finds, and from then on asks for the first variant and for its own at the same time.
//!
//! Where the first variant is gone, or is of another generation, no other variant is reached. So invalidating or
//! replacing the first variant invalidates them all, on every node. What a node knows is a hint; the stored responses
//! decide.
//!
//! [4.1]: https://www.rfc-editor.org/rfc/rfc9111#section-4.1

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderName;

use crate::key::Address;
use crate::middleware::stored_response::StoredResponse;

/// Bounds the memory. Beyond this many, everything is learned anew.
const MAX_ADDRESSES: usize = 4096;

/// How many variants of one response a node has stored besides the first. Requests for further variants go their own
/// way: otherwise a field in which each client sends another value could fill the store.
const MAX_VARIANTS: usize = 32;

/// The fields by which the response stored at an address itself varies.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) names: Arc<[HeaderName]>,
    /// The fingerprint of the variant at the address itself.
    pub(crate) first: [u8; 16],
    /// The generation of the variant at the address itself.
    pub(crate) generation: [u8; 8],
}

impl Known {
    /// Whether this was learned from the response that is stored now.
    pub(crate) fn is_of(&self, first: &StoredResponse) -> bool {
        first.meta().generation == Some(self.generation)
    }
}

#[derive(Debug)]
struct VaryEntry {
    known: Known,
    variants: Vec<[u8; 16]>,
}

#[derive(Debug, Default)]
pub(crate) struct VaryIndex {
    entries: Mutex<HashMap<Address, VaryEntry>>,
    len: AtomicUsize,
}

impl VaryIndex {
    fn entries(&self) -> MutexGuard<'_, HashMap<Address, VaryEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, address: &Address) -> Option<Known> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.entries().get(address).map(|entry| entry.known.clone())
    }

    pub(crate) fn learn(&self, address: &Address, known: Known) {
        let mut entries = self.entries();
        if entries
            .get(address)
            .is_some_and(|entry| entry.known.generation == known.generation)
        {
            return;
        }
        if entries.len() >= MAX_ADDRESSES {
            entries.clear();
        }
        let variants = Vec::new();
        entries.insert(address.clone(), VaryEntry { known, variants });
        self.len.store(entries.len(), Ordering::Relaxed);
    }

    /// Whether one more variant may be stored. Asked again about one that was admitted, it says the same.
    pub(crate) fn admit(&self, address: &Address, fingerprint: [u8; 16]) -> bool {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(address) else {
            return true;
        };
        if entry.variants.contains(&fingerprint) {
            return true;
        }
        let is_room = entry.variants.len() < MAX_VARIANTS;
        if is_room {
            entry.variants.push(fingerprint);
        }
        is_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    fn known(generation: u8) -> Known {
        Known {
            names: Arc::new([]),
            first: [0; 16],
            generation: [generation; 8],
        }
    }

    #[test]
    fn variants_of_one_generation_are_bounded() {
        let index = VaryIndex::default();
        let address = Address::new(&Tag::new("t").unwrap(), &Key::new("k").unwrap());
        assert!(index.get(&address).is_none());
        index.learn(&address, known(1));
        let fingerprint = |n: usize| [n as u8; 16];
        for n in 0..MAX_VARIANTS {
            assert!(index.admit(&address, fingerprint(n)), "{n}");
        }
        assert!(!index.admit(&address, fingerprint(MAX_VARIANTS)));
        assert!(index.admit(&address, fingerprint(0)));

        index.learn(&address, known(1));
        assert!(!index.admit(&address, fingerprint(MAX_VARIANTS)));
        index.learn(&address, known(2));
        assert!(index.admit(&address, fingerprint(MAX_VARIANTS)));
        assert_eq!(index.get(&address).unwrap().generation, [2; 8]);
    }
}
