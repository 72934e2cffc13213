//! [`Lanes`]: the last requests, one lane each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::outcome::Outcome;

/// How many are remembered.
const LAST: usize = 300;

/// The role of a request that has no answer yet.
pub(crate) const OPEN: &str = "open";

const LEADS: &str = "leads";

/// One request.
#[derive(Debug)]
pub(crate) struct Lane {
    id: u64,
    node: usize,
    sent: Instant,
    took: Option<Duration>,
    role: &'static str,
    status: Option<u16>,
    /// Its first node died.
    moved: bool,
    changed: u64,
}

impl Lane {
    pub(crate) fn lead(&mut self) {
        self.role = LEADS;
    }

    pub(crate) fn go_to(&mut self, node: usize) {
        self.moved |= self.node != 0;
        self.node = node;
        // Whether it leads there, its handler tells.
        if self.role == LEADS {
            self.role = OPEN;
        }
    }

    pub(crate) fn end(&mut self, outcome: Outcome, status: Option<u16>, took: Duration) {
        (self.role, self.status, self.took) = (outcome.as_str(), status, Some(took));
    }

    fn to_json(&self, now: Instant) -> Value {
        json!({
            "id": self.id,
            "node": self.node,
            "role": self.role,
            "ms": u64::try_from(self.took.unwrap_or_else(|| now - self.sent).as_millis()).ok(),
            "open": self.took.is_none(),
            "status": self.status,
            "moved": self.moved,
        })
    }
}

/// The last requests, in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: VecDeque<Lane>,
    changes: u64,
}

impl Lanes {
    pub(crate) fn start(&mut self, id: u64, role: &'static str) {
        if self.lanes.len() == LAST {
            self.lanes.pop_front();
        }
        self.changes += 1;
        self.lanes.push_back(Lane {
            id,
            node: 0,
            sent: Instant::now(),
            took: None,
            role,
            status: None,
            moved: false,
            changed: self.changes,
        });
    }

    /// Changes a lane, unless it is forgotten.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(&mut Lane)) {
        let Ok(at) = self.lanes.binary_search_by_key(&id, |lane| lane.id) else {
            return;
        };
        self.changes += 1;
        change(&mut self.lanes[at]);
        self.lanes[at].changed = self.changes;
    }

    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
    }

    /// All that changed after the change of this number, and the number of the last change.
    pub(crate) fn since(&self, seen: u64) -> (Vec<Value>, u64) {
        let now = Instant::now();
        let changed = self.lanes.iter().filter(|lane| lane.changed > seen && lane.node != 0);
        (changed.map(|lane| lane.to_json(now)).collect(), self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_told_once() {
        let mut lanes = Lanes::default();
        for id in 0..1000 {
            lanes.start(id, OPEN);
            lanes.change(id, |lane| lane.go_to(1));
        }
        let (all, seen) = lanes.since(0);
        assert_eq!(all.len(), LAST);
        assert!(lanes.since(seen).0.is_empty());
        lanes.change(999, |lane| lane.go_to(2));
        lanes.change(1, |lane| lane.go_to(2));
        let (changed, _) = lanes.since(seen);
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0]["moved"], true);
    }
}
