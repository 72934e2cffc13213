//! [`MemoryStore`]: the embedded store.

mod entry;
mod generations;
mod slot;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use self::entry::{Entry, EntryWeigher, after};
use self::generations::MemoryGenerations;
use self::slot::{HeldLock, Slot, forget_idle};
pub use self::watch::MemoryWatch;
use super::{Acquire, Generation, Lock, Notice, Release, Renewed, Stamp, Standing, Store, Token, Value};
use crate::error::StoreError;
use crate::key::{Address, Label, Tag};
use crate::system;

/// Keeps values in this process, as the objects they are: a hit decodes nothing and copies no content.
///
/// Clones share everything, so several nodes in one process are a cluster. The store returns no value once its ttl has
/// ended; the memory is free as soon as the store is asked for the value or full. A full store keeps the values that it
/// is asked for most (quick_cache's variant of S3-FIFO, which a scan does not empty).
///
/// ```
/// use tower_memolock::{MemoLock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let memo = MemoLock::new(MemoryStore::new(), "greeting");
/// let hello = memo
///     .get_or_compute("en", || async { Ok::<_, std::io::Error>("hello".into()) })
///     .await
///     .unwrap();
/// assert_eq!(hello, "hello");
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<MemoryInner>,
}

struct MemoryInner {
    values: quick_cache::sync::Cache<Address, Entry, EntryWeigher>,
    /// Locks and watchers. Every change of a lock, and of a value together with a lock, happens under this mutex.
    slots: Mutex<HashMap<Address, Slot>>,
    generations: MemoryGenerations,
}

impl MemoryStore {
    /// How many bytes of memory a store takes unless told otherwise: 64 MiB.
    pub const DEFAULT_CAPACITY: u64 = 64 * 1024 * 1024;

    /// An empty store that takes about [`MemoryStore::DEFAULT_CAPACITY`] bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// An empty store that takes about `bytes` bytes of memory: for values, their keys, and the tables that hold them.
    /// It does not keep a value that is larger, nor, with 32 MiB and more, a value of more than 15 MiB. The allocator
    /// may hold more memory for the process than the store takes.
    #[must_use]
    pub fn with_capacity(bytes: u64) -> Self {
        Self {
            inner: Arc::new(MemoryInner {
                values: entry::values(bytes),
                slots: Mutex::default(),
                generations: MemoryGenerations::default(),
            }),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("values", &self.inner.values.len())
            .finish_non_exhaustive()
    }
}

impl MemoryInner {
    fn slots(&self) -> MutexGuard<'_, HashMap<Address, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn get(&self, address: &Address, now: Instant) -> Option<Value> {
        let entry = self.values.get(address)?;
        if entry.expires_at > now {
            return Some(entry.value);
        }
        self.expire(address, now);
        None
    }

    #[cold]
    fn expire(&self, address: &Address, now: Instant) {
        self.values.remove_if(address, |entry| entry.expires_at <= now);
    }

    fn put(&self, address: &Address, entry: Entry) {
        self.values.insert(address.clone(), entry);
    }

    fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Acquire {
        let mut slots = self.slots();
        let slot = slots.entry(address.clone()).or_default();
        let mut holder = None;
        let lock = match slot.holder() {
            Some(held) if held.token != token => {
                holder = held.token.trace_context();
                Lock::Held {
                    remaining: Some(held.expires_at - Instant::now()),
                }
            }
            _ => {
                let soft_since = slot.holder().and_then(|held| held.soft_since);
                slot.lock = Some(HeldLock {
                    token,
                    expires_at: after(lease),
                    soft_since,
                });
                Lock::Granted
            }
        };
        Acquire {
            lock,
            value: self.get(address, Instant::now()),
            holder,
        }
    }

    /// Makes the lease last `lease` from now and publishes `notice`, if the lock is held with `token`.
    fn extend(&self, address: &Address, token: Token, lease: Duration, notice: Option<&Notice>) -> Renewed {
        let mut slots = self.slots();
        let Some((slot, held)) = slots.get_mut(address).and_then(|slot| slot.held_with(token)) else {
            return Renewed::Lost;
        };
        slot.lock = Some(HeldLock {
            expires_at: after(lease),
            ..held
        });
        if let Some(notice) = notice {
            slot.tell(notice);
        }
        match held.soft_since {
            Some(_) => Renewed::Soft,
            None => Renewed::Held,
        }
    }

    /// Gives the lock back and tells all watchers, if it is held with `token`. `act` stores the value, if there is one,
    /// which may have been softly invalidated meanwhile, and returns the notice.
    fn finish(&self, address: &Address, token: Token, act: impl FnOnce(Option<SystemTime>) -> Notice) -> bool {
        let mut slots = self.slots();
        let Some((slot, held)) = slots.get_mut(address).and_then(|slot| slot.held_with(token)) else {
            return false;
        };
        let notice = act(held.soft_since);
        slot.lock = None;
        slot.tell(&notice);
        forget_idle(&mut slots, address);
        held.soft_since.is_none()
    }

    fn unwatch(&self, address: &Address, id: usize) {
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(address) {
            slot.watchers.try_remove(id);
        }
        forget_idle(&mut slots, address);
    }
}

impl Store for MemoryStore {
    type Watch = MemoryWatch;

    #[inline]
    fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
        let value = self.inner.get(address, now)?;
        let Some(stamp) = value.stamp() else {
            return Some(value);
        };
        match self.inner.generations.standing(address.tag(), stamp) {
            Standing::Current => Some(value),
            Standing::Soft { since } => Some(value.softened(since)),
            Standing::Outdated => None,
        }
    }

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        Ok(self.inner.get(address, Instant::now()))
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        Ok(self.inner.acquire(address, token, lease))
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        Ok(self.inner.extend(address, token, lease, None))
    }

    async fn defer(&self, address: &Address, token: Token, lease: Duration, starts: u32) -> Result<bool, StoreError> {
        let notice = Notice::Deferred { starts };
        Ok(self.inner.extend(address, token, lease, Some(&notice)).is_held())
    }

    async fn resolve(&self, address: &Address, value: &Value, ttl: Duration) -> Result<(), StoreError> {
        let slots = self.inner.slots();
        if !ttl.is_zero() {
            self.inner.put(address, Entry::new(address, value, ttl));
        }
        if let Some(slot) = slots.get(address) {
            slot.tell(&Notice::Stored(value.clone()));
        }
        Ok(())
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        let store = |soft_since: Option<SystemTime>| {
            let value = soft_since.map_or_else(|| value.clone(), |since| value.clone().softened(since));
            self.inner.put(address, Entry::new(address, &value, ttl));
            Notice::Stored(value)
        };
        Ok(self.inner.finish(address, token, store))
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        let tell = |soft_since: Option<_>| Notice::Released(soft_since.map_or(reason, |_| Release::Abandoned));
        Ok(self.inner.finish(address, token, tell))
    }

    async fn mark(&self, address: &Address, token: Token, marker: &Value, ttl: Duration) -> Result<bool, StoreError> {
        let store = |soft_since: Option<_>| {
            if soft_since.is_some() {
                return Notice::Released(Release::Abandoned);
            }
            let is_marker = true;
            let entry = Entry {
                is_marker,
                ..Entry::new(address, marker, ttl)
            };
            self.inner.put(address, entry);
            Notice::Released(Release::Pass)
        };
        Ok(self.inner.finish(address, token, store))
    }

    async fn unmark(&self, address: &Address, _: &Value) -> Result<(), StoreError> {
        // Held, so that nothing takes the marker's place in between.
        let _slots = self.inner.slots();
        self.inner.values.remove_if(address, |entry| entry.is_marker);
        Ok(())
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        let mut slots = self.inner.slots();
        self.inner.values.remove(address);
        if let Some(slot) = slots.get_mut(address) {
            slot.lock = None;
            slot.tell(&Notice::Invalidated);
        }
        forget_idle(&mut slots, address);
        Ok(())
    }

    async fn soften(&self, address: &Address) -> Result<(), StoreError> {
        let since = system::now();
        let mut slots = self.inner.slots();
        if let Some(lock) = slots.get_mut(address).and_then(|slot| slot.lock.as_mut()) {
            lock.soft_since.get_or_insert(since);
        }
        if let Some(entry) = self.inner.values.get(address) {
            let value = entry.value.softened(since);
            self.inner.put(address, Entry { value, ..entry });
        }
        Ok(())
    }

    async fn generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        Ok(self.inner.generations.now(tag))
    }

    async fn begin_generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        Ok(self.inner.generations.begin(tag))
    }

    async fn standing(&self, tag: &Tag, stamp: &Stamp) -> Result<Standing, StoreError> {
        Ok(self.inner.generations.standing(tag.as_str(), stamp))
    }

    async fn invalidate_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.inner.generations.invalidate(tag, labels);
        Ok(())
    }

    async fn invalidate_all(&self, tag: &Tag) -> Result<(), StoreError> {
        self.inner.generations.invalidate_all(tag);
        Ok(())
    }

    async fn soften_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.inner.generations.soften(tag, labels);
        Ok(())
    }

    async fn soften_all(&self, tag: &Tag) -> Result<(), StoreError> {
        self.inner.generations.soften_all(tag);
        Ok(())
    }

    fn watch(&self, address: &Address) -> MemoryWatch {
        MemoryWatch::new(&self.inner, address)
    }
}
