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
