//! [`NearCopies`]: the near copies, within a limit of bytes, and the placeholders of those that are being fetched.
//!
//! A placeholder is set before the value is asked for, and the value takes its place only if the placeholder is still
//! there. Any news of the key meanwhile removes the copy and the placeholder. So an answer from before a change is
//! never kept after it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::copy::NearCopy;
use super::lease::{Backing, NearLease};
use crate::simulation::{Planted, planted};
use crate::store::Value;
use crate::store::redis::stats::NearCounters;
use crate::system;

const SHARDS: usize = 16;

/// How many values of one shard may be on their way: further ones are fetched and not kept.
const MOST_PENDING: usize = 256;

/// The bytes of a copy besides its texts and its value: its places in the map and the ring, and the allocations.
const PER_COPY: usize = 448;

/// What a look at the copies finds.
pub(crate) enum NearFound {
    Nothing,
    /// A copy that may not be right any more.
    Late,
    Value(Value),
}

/// The copies of one process.
pub(crate) struct NearCopies {
    shards: [Mutex<Shard>; SHARDS],
    most: usize,
    numbers: AtomicU64,
    counters: Arc<NearCounters>,
}

#[derive(Default)]
struct Shard {
    copies: HashMap<Arc<str>, HeldCopy>,
    pending: HashMap<Arc<str>, Pending>,
    /// In the order in which they may have to leave. A name that is not in the map any more is skipped.
    ring: VecDeque<(Arc<str>, u64)>,
}

/// A value on its way.
struct Pending {
    number: u64,
    from: Arc<NearLease>,
}

struct HeldCopy {
    copy: NearCopy,
    weight: usize,
    number: u64,
    /// Whether a request asked for it since it was last spared.
    asked: bool,
}

impl NearCopies {
    /// Room for about so many bytes.
    pub(crate) fn new(most: usize, counters: Arc<NearCounters>) -> Self {
        Self {
            shards: Default::default(),
            most,
            numbers: AtomicU64::new(0),
            counters,
        }
    }

    /// The value of a good copy.
    pub(crate) fn get(&self, name: &str, now: Instant) -> NearFound {
        let mut shard = self.shard(name);
        let held = shard.copies.get_mut(name).filter(|held| held.copy.is_good(now));
        let Some(held) = held else {
            return NearFound::Nothing;
        };
        if planted(Planted::NearUnleased) || held.copy.leases().all(|lease| lease.is_held(now)) {
            let value = held.copy.value.clone();
            // Asked with the copy in hand: after a standstill the copy may be from before.
            let wall = system::now();
            if planted(Planted::NearUnleased) || held.copy.leases().all(|lease| lease.is_plausible(wall)) {
                held.asked = true;
                return NearFound::Value(value);
            }
        }
        held.copy.leases().for_each(NearLease::want);
        NearFound::Late
    }

    /// A placeholder for a value that is asked for after this. `None` where there is one already, or a good copy, or no
    /// room.
    pub(crate) fn begin(self: &Arc<Self>, name: &str, now: Instant, from: &Backing) -> Option<Placeholder> {
        let mut shard = self.shard(name);
        let is_there = shard
            .copies
            .get(name)
            .is_some_and(|held| held.copy.is_good(now) && held.copy.from.is_of(from.lease()));
        if is_there || shard.pending.len() >= MOST_PENDING || shard.pending.contains_key(name) {
            return None;
        }
        let name: Arc<str> = Arc::from(name);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let from = Arc::clone(from.lease());
        shard.pending.insert(Arc::clone(&name), Pending { number, from });
        Some(Placeholder {
            copies: Arc::clone(self),
            name,
            number,
        })
    }

    /// Removes the copy and the placeholder. Returns whether there was one of them.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut shard = self.shard(name);
        let pending = shard.pending.remove(name).is_some();
        let held = shard.copies.remove(name);
        drop(shard);
        let found = pending || held.is_some();
        self.release(held);
        found
    }

    /// Removes all copies and all placeholders.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.pending.clear();
            shard.ring.clear();
            let held = std::mem::take(&mut shard.copies);
            drop(shard);
            for (_, held) in held {
                self.release(Some(held));
            }
        }
    }

    /// Removes the copies and placeholders that rely on this server.
    pub(crate) fn clear_of(&self, lease: &Arc<NearLease>) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.pending.retain(|_, pending| !Arc::ptr_eq(&pending.from, lease));
            let held: Vec<_> = shard
                .copies
                .extract_if(|_, held| held.copy.relies_on(lease))
                .map(|(_, held)| held)
                .collect();
            drop(shard);
            for held in held {
                self.release(Some(held));
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counters.copies.get() == 0
    }

    /// The most that one value may take.
    pub(crate) fn most_of_one(&self) -> usize {
        self.most / 8
    }

    fn fill(&self, placeholder: &Placeholder, copy: NearCopy) -> bool {
        let name = &placeholder.name;
        let weight = copy.value.weight().saturating_add(2 * name.len() + PER_COPY);
        if weight > self.most_of_one() {
            return false;
        }
        let mut shard = self.shard(name);
        if !placeholder.is_pending(&shard) && !planted(Planted::NearUnplaced) {
            return false;
        }
        shard.pending.remove(name);
        let number = placeholder.number;
        shard.ring.push_back((Arc::clone(name), number));
        if shard.ring.len() > 2 * shard.copies.len() + 64 {
            let Shard { copies, ring, .. } = &mut *shard;
            let is_held =
                |(name, number): &(Arc<str>, u64)| copies.get(name).is_some_and(|held| held.number == *number);
            ring.retain(|entry| entry.1 == placeholder.number || is_held(entry));
        }
        let held = HeldCopy {
            copy,
            weight,
            number,
            asked: false,
        };
        self.counters.bytes.add(weight as u64);
        self.counters.copies.add(1);
        let before = shard.copies.insert(Arc::clone(name), held);
        drop(shard);
        self.release(before);
        self.evict(name);
        true
    }

    /// Removes copies for which no request asked in the last round, until there is room.
    fn evict(&self, name: &str) {
        let first = index(name);
        for at in (0..SHARDS).map(|step| (first + step) % SHARDS) {
            while self.counters.bytes.get() > self.most as u64 {
                let mut shard = lock(&self.shards[at]);
                let Some(held) = shard.leave() else { break };
                drop(shard);
                self.counters.evicted.add();
                self.release(Some(held));
            }
        }
    }

    /// Removed copies are dropped outside of the lock.
    fn release(&self, held: Option<HeldCopy>) {
        if let Some(held) = held {
            self.counters.bytes.subtract(held.weight as u64);
            self.counters.copies.subtract(1);
        }
    }

    fn shard(&self, name: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[index(name)])
    }
}

impl Shard {
    fn leave(&mut self) -> Option<HeldCopy> {
        while let Some((name, number)) = self.ring.pop_front() {
            let Some(held) = self.copies.get_mut(&name).filter(|held| held.number == number) else {
                continue;
            };
            if std::mem::take(&mut held.asked) {
                self.ring.push_back((name, number));
                continue;
            }
            return self.copies.remove(&name);
        }
        None
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// FNV over the end of the name, where names differ most. Keys with the same hash share a lock, and nothing else.
fn index(name: &str) -> usize {
    let tail = &name.as_bytes()[name.len().saturating_sub(24)..];
    let hash = tail.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The last letters reach only some of the bits.
    (hash ^ (hash >> 32)) as usize % SHARDS
}

/// Stands for a value on its way. Dropping it gives the place up.
pub(crate) struct Placeholder {
    copies: Arc<NearCopies>,
    name: Arc<str>,
    number: u64,
}

impl Placeholder {
    /// Puts the value in the placeholder's place, unless there was news of the key meanwhile.
    pub(crate) fn fill(self, copy: NearCopy) -> bool {
        self.copies.fill(&self, copy)
    }

    fn is_pending(&self, shard: &Shard) -> bool {
        let pending = shard.pending.get(&self.name);
        pending.is_some_and(|pending| pending.number == self.number)
    }

    /// The most that the value may take.
    pub(crate) fn most(&self) -> usize {
        self.copies.most_of_one()
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        let mut shard = self.copies.shard(&self.name);
        if self.is_pending(&shard) {
            shard.pending.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests;
