//! Look-ups of one process, collapsed where there are many: per address one is under way and one more is about to be.
//!
//! A thousand hits on one large response would otherwise read it a thousand times over one connection, each waiting
//! behind the others until the store's timeout. A caller that comes during a look-up waits for the *next* one,
//! never for that one: it was sent before the caller came, so what it finds may be older than an invalidation that
//! the caller knows of.
//!
//! As long as there are few, they cost less than keeping account of them.
//!
//! The look-up runs in the future of one of its callers. One that is dropped, or that no task polls, costs the
//! others [`PATIENCE`] at most; then they look for themselves.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::clock::{Arrivals, Tick};
use super::flight::Flight;
use super::waiter::{Turn, Waiter};
use crate::key::Address;

/// So many at once run each for itself.
const FEW: usize = 64;

/// How long a caller waits for the look-up of another caller.
const PATIENCE: Duration = Duration::from_millis(250);

type Batch<V> = Flight<Baton<V>, Arc<LookedUp<V>>>;

/// All callers that wait for the next look-up, by address of the one under way. `None`: no caller yet.
type RunningLookups<V> = HashMap<Address, Option<Arc<Batch<V>>>>;

/// What a look-up has found.
enum LookedUp<V> {
    Known(Option<V>),
    /// It was given up.
    Unknown,
}

/// The look-ups under way.
pub(crate) struct Lookups<V> {
    count: AtomicUsize,
    running: Arc<Mutex<RunningLookups<V>>>,
}

impl<V: Clone> Lookups<V> {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            running: Arc::default(),
        }
    }

    /// Runs `look`, once for all who come while another is under way.
    pub(crate) async fn share<F>(&self, address: &Address, look: impl Fn() -> F) -> Option<V>
    where
        F: Future<Output = Option<V>>,
    {
        let (_counted, before) = LookupCount::new(&self.count);
        if before < FEW {
            return look().await;
        }
        self.collapse(address, look).await
    }

    /// Runs `look` like [`share`](Self::share), however few there are: for callers of whom many come at once.
    pub(crate) async fn collapse<F>(&self, address: &Address, look: impl Fn() -> F) -> Option<V>
    where
        F: Future<Output = Option<V>>,
    {
        let Some(waiter) = enter(&self.running, address) else {
            let _run = LookupRun {
                lookups: &self.running,
                address,
            };
            return look().await;
        };
        let found = match timeout(PATIENCE, waiter).await {
            Ok(Turn::Lead(baton)) => {
                let found = look().await;
                baton
                    .batch
                    .land(Arc::new(LookedUp::Known(found.clone())), Arrivals::All);
                return found;
            }
            Ok(Turn::Landed(found)) => found,
            Ok(Turn::Late) | Err(_) => return look().await,
        };
        match &*found {
            LookedUp::Known(value) => value.clone(),
            LookedUp::Unknown => look().await,
        }
    }
}

/// One look-up, as long as it lasts.
struct LookupCount<'a>(&'a AtomicUsize);

impl<'a> LookupCount<'a> {
    /// With how many there were before.
    fn new(count: &'a AtomicUsize) -> (Self, usize) {
        let before = count.fetch_add(1, Ordering::Relaxed);
        (Self(count), before)
    }
}

impl Drop for LookupCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<V>(running: &Mutex<RunningLookups<V>>) -> MutexGuard<'_, RunningLookups<V>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the waiters for the next look-up; `None` where there is none under way, and so nothing to wait for.
fn enter<V>(lookups: &Mutex<RunningLookups<V>>, address: &Address) -> Option<Waiter<Baton<V>, Arc<LookedUp<V>>>> {
    let mut running = lock(lookups);
    let mut slot = match running.entry(address.clone()) {
        Entry::Vacant(slot) => {
            slot.insert(None);
            return None;
        }
        Entry::Occupied(slot) => slot,
    };
    if let Some(waiter) = slot.get().as_ref().and_then(|batch| Waiter::join(batch, Tick::START)) {
        return Some(waiter);
    }
    let (batch, waiter) = Waiter::first(Tick::START);
    slot.insert(Some(batch));
    Some(waiter)
}

/// Ends a look-up: waiters that came meanwhile have theirs.
fn leave<V>(lookups: &Arc<Mutex<RunningLookups<V>>>, address: &Address) {
    let mut running = lock(lookups);
    let Some(next) = running.get_mut(address).map(Option::take) else {
        return;
    };
    let Some(batch) = next else {
        running.remove(address);
        return;
    };
    drop(running);
    let baton = Baton {
        lookups: Arc::clone(lookups),
        address: address.clone(),
        batch: Arc::clone(&batch),
    };
    // Where all of them have left the baton comes back, and dropping it ends this look-up too.
    if batch.offer(baton).is_ok() {
        batch.nudge();
    }
}

/// The look-up of one who did not have to wait.
struct LookupRun<'a, V> {
    lookups: &'a Arc<Mutex<RunningLookups<V>>>,
    address: &'a Address,
}

impl<V> Drop for LookupRun<'_, V> {
    fn drop(&mut self) {
        leave(self.lookups, self.address);
    }
}

/// The look-up of a batch, for whichever of its waiters takes it.
struct Baton<V> {
    lookups: Arc<Mutex<RunningLookups<V>>>,
    address: Address,
    batch: Arc<Batch<V>>,
}

impl<V> Drop for Baton<V> {
    fn drop(&mut self) {
        // Nothing happens if it has landed.
        self.batch.land(Arc::new(LookedUp::Unknown), Arrivals::All);
        leave(&self.lookups, &self.address);
    }
}
