//! Which request fields the response at an address is known to vary by, so that a variant is found with one look-up.
//!
//! The first variant of a response is stored at the address itself, every other at one that has the fingerprint of
//! the fields that [`Vary`](https://www.rfc-editor.org/rfc/rfc9111#section-4.1) names. A node learns the names from the
//! first stored response it finds, and from then on goes straight to the variant's own address. What it knows is a hint:
//! the fingerprint in the stored response decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderName;

use crate::key::Address;

/// Bounds the memory: beyond, everything is learned anew.
const MAX_ADDRESSES: usize = 4096;

/// What the response stored at an address itself varies by.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) names: Arc<[HeaderName]>,
    /// The fingerprint of the variant at the address itself.
    pub(crate) first: [u8; 16],
}

#[derive(Debug, Default)]
pub(crate) struct VaryIndex {
    known: Mutex<HashMap<Address, Known>>,
    len: AtomicUsize,
}

impl VaryIndex {
    pub(crate) fn get(&self, address: &Address) -> Option<Known> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(address).cloned()
    }

    pub(crate) fn learn(&self, address: &Address, names: &[HeaderName], first: [u8; 16]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_ADDRESSES {
            known.clear();
        }
        known.insert(
            address.clone(),
            Known {
                names: names.into(),
                first,
            },
        );
        self.len.store(known.len(), Ordering::Relaxed);
    }
}
