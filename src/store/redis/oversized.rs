//! [`Oversized`]: values on which a server closed the connection.
//!
//! A server closes the connection on a value over its `proto-max-bulk-len`, and all commands of other callers on it
//! fail. So for a while a value of that size is not sent again for the same key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Address;

/// The smallest size that a server may be set to refuse.
const LEAST: usize = 1 << 20;

/// For how long a size is not tried again.
const WHILE: Duration = Duration::from_secs(60);

/// How many keys are remembered.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Oversized(Mutex<HashMap<Address, (usize, Instant)>>);

impl Oversized {
    /// The connection failed while a value of so many bytes was on its way.
    pub(super) fn note(&self, address: &Address, bytes: usize) {
        if bytes < LEAST {
            return;
        }
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.retain(|_, (_, since)| since.elapsed() < WHILE);
        if sizes.len() < MOST {
            sizes.insert(address.clone(), (bytes, Instant::now()));
        }
    }

    /// Whether a value of so many bytes had better not be sent.
    pub(super) fn includes(&self, address: &Address, bytes: usize) -> bool {
        if bytes < LEAST {
            return false;
        }
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes.get(address);
        known.is_some_and(|(refused, since)| bytes >= *refused && since.elapsed() < WHILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    #[test]
    fn a_size_is_remembered_for_its_key_and_what_is_as_large() {
        let at = |id: &str| Address::new(&Tag::from_literal("t"), &Key::new(id).unwrap());
        let oversized = Oversized::default();
        oversized.note(&at("a"), 2 << 20);
        oversized.note(&at("small"), LEAST - 1);
        assert!(oversized.includes(&at("a"), 2 << 20) && oversized.includes(&at("a"), 3 << 20));
        assert!(!oversized.includes(&at("a"), LEAST) && !oversized.includes(&at("b"), 2 << 20));
        assert!(!oversized.includes(&at("small"), LEAST - 1));
        for n in 0..2 * MOST {
            oversized.note(&at(&n.to_string()), LEAST);
        }
        assert!(oversized.0.lock().unwrap().len() <= MOST);
    }
    #[tokio::test(start_paused = true)]
    async fn what_was_remembered_for_long_enough_makes_room() {
        let at = |id: usize| Address::new(&Tag::from_literal("t"), &Key::new(id.to_string()).unwrap());
        let oversized = Oversized::default();
        (0..=MOST).for_each(|n| oversized.note(&at(n), LEAST));
        assert!(oversized.includes(&at(0), LEAST) && !oversized.includes(&at(MOST), LEAST));
        tokio::time::advance(WHILE).await;
        assert!(!oversized.includes(&at(0), LEAST));
        oversized.note(&at(MOST), LEAST);
        assert!(oversized.includes(&at(MOST), LEAST));
    }
}
