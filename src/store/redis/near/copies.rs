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
    (hash >> 32) as usize % SHARDS
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::redis::near::Sent;
    use crate::store::redis::near::copy::Currency;

    const LAG: Duration = Duration::from_secs(10);

    struct Held {
        copies: Arc<NearCopies>,
        lease: Arc<NearLease>,
    }

    impl std::ops::Deref for Held {
        type Target = Arc<NearCopies>;

        fn deref(&self) -> &Arc<NearCopies> {
            &self.copies
        }
    }

    fn lease() -> Arc<NearLease> {
        let lease = Arc::new(NearLease::new(LAG));
        lease.grant(Sent::now());
        lease
    }

    fn copies(most: usize) -> Held {
        Held {
            copies: Arc::new(NearCopies::new(most, Arc::default())),
            lease: lease(),
        }
    }

    impl Held {
        fn copy(&self, bytes: usize) -> NearCopy {
            NearCopy {
                value: Value::encoded(vec![b'x'; bytes]),
                expires_at: Instant::now() + Duration::from_secs(60),
                from: Backing::of(&self.lease),
                home: None,
                currency: None,
            }
        }
    }

    fn begin(copies: &Held, name: &str) -> Option<Placeholder> {
        copies.begin(name, Instant::now(), &Backing::of(&copies.lease))
    }

    fn found(copies: &NearCopies, name: &str, now: Instant) -> bool {
        matches!(copies.get(name, now), NearFound::Value(_))
    }

    fn held(copies: &NearCopies) -> (u64, u64) {
        (copies.counters.copies.get(), copies.counters.bytes.get())
    }

    fn has(copies: &NearCopies, name: &str) -> bool {
        found(copies, name, Instant::now())
    }

    #[test]
    fn a_value_takes_the_place_of_its_placeholder() {
        let copies = copies(1 << 20);
        assert!(begin(&copies, "t:a").unwrap().fill(copies.copy(10)));
        assert!(has(&copies, "t:a") && !has(&copies, "t:b"));
        assert_eq!(held(&copies).0, 1);
        // There is nothing to fetch.
        assert!(begin(&copies, "t:a").is_none());
        assert!(copies.remove("t:a") && !copies.remove("t:a"));
        assert!(!has(&copies, "t:a"));
        assert_eq!(held(&copies), (0, 0));
    }

    #[test]
    fn what_is_heard_between_question_and_insert_keeps_the_answer_out() {
        let copies = copies(1 << 20);
        let placeholder = begin(&copies, "t:a").unwrap();
        assert!(copies.remove("t:a"));
        assert!(!placeholder.fill(copies.copy(10)));
        assert!(!has(&copies, "t:a"));
        let placeholder = begin(&copies, "t:a").unwrap();
        copies.clear();
        // A fetch does not fill the place of another fetch.
        let next = begin(&copies, "t:a").unwrap();
        assert!(!placeholder.fill(copies.copy(10)));
        assert!(next.fill(copies.copy(10)) && has(&copies, "t:a"));
    }

    #[test]
    fn one_value_is_on_its_way_at_a_time_and_one_that_is_given_up_leaves_no_trace() {
        let copies = copies(1 << 20);
        let placeholder = begin(&copies, "t:a").unwrap();
        assert!(begin(&copies, "t:a").is_none());
        drop(placeholder);
        assert!(begin(&copies, "t:a").is_some());
        assert_eq!(held(&copies).0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_ends_with_its_time_its_connections_and_its_generation() {
        let copies = copies(1 << 20);
        let generations = Arc::new(AtomicU64::new(7));
        let other = lease();
        let keep = |generations: &Arc<AtomicU64>| {
            let copy = NearCopy {
                home: Some(Backing::of(&other)),
                currency: Some(Currency {
                    generations: Arc::clone(generations),
                    seen: generations.load(Ordering::Relaxed),
                }),
                expires_at: Instant::now() + LAG / 2,
                ..copies.copy(10)
            };
            assert!(begin(&copies, "t:a").unwrap().fill(copy));
            assert!(has(&copies, "t:a"));
        };
        keep(&generations);
        assert!(!found(&copies, "t:a", Instant::now() + LAG / 2));
        generations.fetch_add(1, Ordering::Relaxed);
        assert!(!has(&copies, "t:a"));
        for lease in [&copies.lease, &other] {
            // A new copy may take the place of one that has ended.
            keep(&generations);
            lease.end_term();
            assert!(!has(&copies, "t:a"));
        }
        assert_eq!(held(&copies).0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_served_under_both_leases() {
        let copies = copies(1 << 20);
        let other = lease();
        let copy = NearCopy {
            home: Some(Backing::of(&other)),
            ..copies.copy(10)
        };
        assert!(begin(&copies, "t:a").unwrap().fill(copy));
        for lease in [&copies.lease, &other] {
            assert!(has(&copies, "t:a") && !copies.lease.take_wanted());
            lease.revoke();
            assert!(matches!(copies.get("t:a", Instant::now()), NearFound::Late));
            assert!(lease.take_wanted());
            copies.lease.take_wanted();
            lease.grant(Sent::now());
        }
        assert!(has(&copies, "t:a"));
    }

    #[test]
    fn what_relies_on_one_server_goes_alone() {
        let copies = copies(1 << 20);
        let other = lease();
        let keep = |name: &str, from: &Arc<NearLease>, home: Option<&Arc<NearLease>>| {
            let copy = NearCopy {
                from: Backing::of(from),
                home: home.map(Backing::of),
                ..copies.copy(10)
            };
            let placeholder = copies.begin(name, Instant::now(), &copy.from).unwrap();
            assert!(placeholder.fill(copy));
        };
        keep("t:here", &copies.lease, None);
        keep("t:there", &other, None);
        keep("t:both", &copies.lease, Some(&other));
        let pending = ["t:x", "t:y"];
        let [here, there] = [&copies.lease, &other].map(Backing::of);
        let here = copies.begin(pending[0], Instant::now(), &here).unwrap();
        let there = copies.begin(pending[1], Instant::now(), &there).unwrap();
        copies.clear_of(&other);
        assert!(has(&copies, "t:here") && !has(&copies, "t:there") && !has(&copies, "t:both"));
        assert!(here.fill(copies.copy(10)) && !there.fill(copies.copy(10)));
        assert_eq!(held(&copies).0, 2);
    }

    #[test]
    fn bytes_are_bounded_and_what_is_asked_for_stays() {
        let copies = copies(64 * 1024);
        for round in 0..1000 {
            let placeholder = begin(&copies, &format!("t:{round}")).unwrap();
            assert!(placeholder.fill(copies.copy(1000)));
            assert!(held(&copies).1 <= 64 * 1024);
            assert!(has(&copies, "t:0"), "{round}");
        }
        assert!(held(&copies).0 > 30 && copies.counters.evicted.get() > 900);
        // The value is too large for the room that there is.
        assert!(!begin(&copies, "t:large").unwrap().fill(copies.copy(9 * 1024)));
        assert!(begin(&copies, "t:large").is_some());
        copies.clear();
        assert_eq!(held(&copies), (0, 0));
    }

    #[test]
    fn a_key_that_changes_all_the_time_leaves_nothing_behind() {
        let copies = copies(1 << 20);
        for _ in 0..10_000 {
            assert!(begin(&copies, "t:a").unwrap().fill(copies.copy(10)));
            copies.remove("t:a");
        }
        let shard = copies.shard("t:a");
        assert!(shard.ring.len() <= 65 && shard.pending.is_empty());
    }
}
