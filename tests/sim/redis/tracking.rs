//! [`Tracking`]: which connections are told of which keys that change, as `CLIENT TRACKING ON BCAST` has it.
//!
//! What has changed is told at the end of the turn of the server's event loop in which it did: behind the answers of that turn.
//! A message for each prefix has all keys in the order of their names.

use std::collections::{BTreeMap, BTreeSet};

use super::resp::Answer;

#[derive(Default)]
pub(crate) struct Tracking {
    /// Which connections hear of keys that begin so, and which have changed in this turn.
    prefixes: BTreeMap<Vec<u8>, Told>,
}

#[derive(Default)]
struct Told {
    wires: BTreeSet<u64>,
    changed: BTreeSet<Vec<u8>>,
}

impl Tracking {
    /// Has a connection told of all keys that begin with one of these.
    pub(crate) fn start(&mut self, wire: u64, prefixes: &[Vec<u8>]) {
        for prefix in prefixes {
            self.prefixes.entry(prefix.clone()).or_default().wires.insert(wire);
        }
    }

    /// The connection is gone.
    pub(crate) fn stop(&mut self, wire: u64) {
        for told in self.prefixes.values_mut() {
            told.wires.remove(&wire);
        }
        self.prefixes.retain(|_, told| !told.wires.is_empty());
    }

    pub(crate) fn changed(&mut self, key: &[u8]) {
        for (_, told) in self.prefixes.iter_mut().filter(|(prefix, _)| key.starts_with(prefix)) {
            told.changed.insert(key.to_vec());
        }
    }

    /// All connections that are told of anything.
    pub(crate) fn wires(&self) -> BTreeSet<u64> {
        self.prefixes.values().flat_map(|told| &told.wires).copied().collect()
    }

    pub(crate) fn has_news(&self) -> bool {
        self.prefixes.values().any(|told| !told.changed.is_empty())
    }

    /// What is to be told at the end of a turn, and to which connection.
    pub(crate) fn news(&mut self) -> Vec<(u64, Answer)> {
        let mut news = Vec::new();
        for told in self.prefixes.values_mut() {
            let changed = std::mem::take(&mut told.changed);
            if changed.is_empty() {
                continue;
            }
            let keys = Answer::Several(changed.iter().map(Answer::bytes).collect());
            news.extend(told.wires.iter().map(|wire| (*wire, invalidate(keys.clone()))));
        }
        news
    }

    pub(crate) fn clear(&mut self) {
        self.prefixes.clear();
    }
}

/// The message that says that these keys have changed, or that all have.
pub(crate) fn invalidate(keys: Answer) -> Answer {
    Answer::Push(vec![Answer::bytes("invalidate"), keys])
}
