//! [`Lingering`]: which subscriptions outlive their watchers, because others are likely to come.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::system::SaltedHash;

/// How long a subscription lingers, and for how long at least a name is known once its watchers have left.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// How many subscriptions linger at most.
pub(super) const MOST: usize = 256;

/// How many names are known at least. Twice as many at most.
const MOST_KNOWN: usize = 4096;

/// Names whose watchers have left lately, and names whose watchers left before that. Each is a hash: if two names have
/// the same hash, one of them may linger for the other's sake.
#[derive(Default)]
pub(super) struct Lingering {
    /// How many subscriptions linger.
    pub(super) count: usize,
    hash: SaltedHash,
    young: HashSet<u64>,
    old: HashSet<u64>,
    turned: Option<Instant>,
}

impl Lingering {
    /// The last watcher leaves. Returns until when the subscription lingers, if that is likely to be of use: the same
    /// has happened a short time ago.
    pub(super) fn begin(&mut self, name: &str, now: Instant) -> Option<Instant> {
        let name = self.hash.of(name);
        let is_hot = self.young.contains(&name) || self.old.contains(&name);
        self.young.insert(name);
        if self.young.len() >= MOST_KNOWN {
            self.turn(now);
        }
        if !is_hot || self.count >= MOST {
            return None;
        }
        self.count += 1;
        Some(now + LINGER)
    }

    /// Forgets names. To be called now and then.
    pub(super) fn sweep(&mut self, now: Instant) {
        if self.turned.is_none_or(|turned| turned + LINGER <= now) {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.turned = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_for_a_while_and_then_forgotten() {
        let (mut lingering, start) = (Lingering::default(), Instant::now());
        lingering.sweep(start);
        assert!(lingering.begin("a", start).is_none());
        lingering.sweep(start + LINGER / 2);
        lingering.sweep(start + LINGER);
        assert_eq!(lingering.begin("a", start), Some(start + LINGER));
        lingering.sweep(start + LINGER * 2);
        lingering.sweep(start + LINGER * 3);
        assert!(lingering.begin("a", start).is_none());
    }

    #[test]
    fn names_are_known_as_long_as_there_is_room_for_them() {
        let (mut lingering, now) = (Lingering::default(), Instant::now());
        for number in 0..MOST_KNOWN {
            assert!(lingering.begin(&number.to_string(), now).is_none());
        }
        assert!(lingering.begin("0", now).is_some());
        for number in 0..2 * MOST_KNOWN {
            lingering.begin(&format!("other {number}"), now);
            assert!(lingering.young.len() <= MOST_KNOWN && lingering.old.len() <= MOST_KNOWN);
        }
        assert!(lingering.begin("0", now).is_none());
    }
}
