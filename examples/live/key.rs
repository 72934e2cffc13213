//! [`KeyLife`]: what is known of the one key that all ask for.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::node::{FRESH, LEASE, REVALIDATE, STAND_IN};

/// How long a response is of any use after it has become stale.
const STALE: Duration = if REVALIDATE.as_secs() > STAND_IN.as_secs() {
    REVALIDATE
} else {
    STAND_IN
};

/// A call that begins later than this after a death has nothing to do with it.
const TAKEN_OVER: Duration = Duration::from_secs(3 * LEASE.as_secs());

/// One call of the handler, under way.
#[derive(Debug)]
struct Call {
    lane: u64,
    node: usize,
    /// The key was invalidated since, or Redis was away: it will not be stored.
    void: bool,
}

/// A response in the store.
#[derive(Debug, Clone, Copy)]
struct Stored {
    at: Instant,
    by: Option<usize>,
}

/// What is known of a key.
#[derive(Debug, Default)]
pub(crate) struct KeyLife {
    calls: Vec<Call>,
    stored: Option<Stored>,
    /// Which node died while it computed, and when.
    orphaned: Option<(usize, Instant)>,
}

impl KeyLife {
    /// A call began. Says which node had died during one, how long ago, if this is the next.
    pub(crate) fn called(&mut self, node: usize, lane: u64) -> Option<(usize, Duration)> {
        self.calls.push(Call {
            lane,
            node,
            void: false,
        });
        let orphaned = self.orphaned.take().map(|(dead, at)| (dead, at.elapsed()));
        orphaned.filter(|(_, ago)| *ago < TAKEN_OVER)
    }

    /// A call ended. Says whether the response is stored.
    pub(crate) fn answered(&mut self, node: usize, lane: u64, ok: bool) -> bool {
        let Some(at) = self
            .calls
            .iter()
            .position(|call| (call.node, call.lane) == (node, lane))
        else {
            return false;
        };
        let call = self.calls.swap_remove(at);
        let stored = ok && !call.void;
        if stored {
            let (at, by) = (Instant::now(), Some(node));
            self.stored = Some(Stored { at, by });
        }
        stored
    }

    /// A node has died. Says for which requests it computed.
    pub(crate) fn died(&mut self, node: usize) -> Vec<u64> {
        let (dead, alive): (Vec<_>, _) = self.calls.drain(..).partition(|call| call.node == node);
        self.calls = alive;
        if !dead.is_empty() && self.calls.is_empty() {
            self.orphaned = Some((node, Instant::now()));
        }
        dead.iter().map(|call| call.lane).collect()
    }

    /// A request found it stored, with so many whole seconds left.
    pub(crate) fn hit(&mut self, ttl: u64) {
        let age = FRESH.saturating_sub(Duration::from_secs(ttl + 1));
        let expected = self.stored.map(|stored| stored.at.elapsed());
        let off = expected.is_none_or(|expected| expected.abs_diff(age) > Duration::from_secs(3));
        if off && let Some(at) = Instant::now().checked_sub(age) {
            self.stored = Some(Stored { at, by: None });
        }
    }

    /// An invalidation begins: what is computed now will not be stored.
    pub(crate) fn invalidate(&mut self) -> Instant {
        self.void();
        Instant::now()
    }

    /// An invalidation that began then has come through.
    pub(crate) fn invalidated(&mut self, since: Instant) {
        self.orphaned = None;
        self.stored = self.stored.filter(|stored| stored.at > since);
    }

    /// The nodes that compute what will not be stored.
    pub(crate) fn in_vain(&self) -> Vec<usize> {
        nodes(self.calls.iter().filter(|call| call.void))
    }

    /// What is computed now will not be stored.
    pub(crate) fn void(&mut self) {
        for call in &mut self.calls {
            call.void = true;
        }
    }

    /// The nodes that compute, each once.
    pub(crate) fn computing(&self) -> Vec<usize> {
        nodes(self.calls.iter())
    }

    fn age(&self) -> Option<Duration> {
        let age = self.stored.map(|stored| stored.at.elapsed());
        age.filter(|age| *age < FRESH + STALE)
    }

    pub(crate) fn to_json(&self) -> Value {
        let age = self.age();
        let orphaned = self.orphaned.filter(|(_, at)| at.elapsed() < LEASE);
        let dead = orphaned.map(|(node, _)| node);
        let state = match age {
            Some(age) if age < FRESH => "stored",
            _ if !self.calls.is_empty() || dead.is_some() => "computing",
            Some(_) => "stale",
            None => "absent",
        };
        json!({
            "state": state,
            "computing": self.computing(),
            "age": age.map(|age| (age.as_secs_f64() * 10.0).round() / 10.0),
            "ttl": FRESH.as_secs(),
            "stale-for": STALE.as_secs(),
            "dead": dead,
            "by": age.and(self.stored).and_then(|stored| stored.by),
        })
    }
}

fn nodes<'a>(calls: impl Iterator<Item = &'a Call>) -> Vec<usize> {
    let mut nodes: Vec<_> = calls.map(|call| call.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_node_computed_is_taken_over_once() {
        let mut key = KeyLife::default();
        assert!(key.called(1, 10).is_none());
        assert_eq!(key.died(1), [10]);
        assert!(key.died(2).is_empty());
        assert_eq!(key.called(2, 11).map(|(dead, _)| dead), Some(1));
        assert!(key.called(3, 12).is_none());
    }

    #[test]
    fn a_call_that_fails_is_over_and_stores_nothing() {
        let mut key = KeyLife::default();
        key.called(1, 10);
        assert!(!key.answered(1, 10, false));
        assert_eq!(key.to_json()["state"], "absent");
    }

    #[test]
    fn what_was_computed_before_an_invalidation_is_not_stored() {
        let mut key = KeyLife::default();
        key.called(1, 10);
        let since = key.invalidate();
        assert_eq!(key.in_vain(), [1]);
        key.called(2, 11);
        key.invalidated(since);
        assert!(!key.answered(1, 10, true));
        assert_eq!(key.to_json()["state"], "computing");
        assert!(key.answered(2, 11, true));
        assert_eq!(key.to_json()["state"], "stored");
    }
}
