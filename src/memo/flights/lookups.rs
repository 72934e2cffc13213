//! Look-ups of one process, collapsed where several are for one address at once: one is under way, and one more is about
//! to be.
//!
//! A caller that comes during a look-up waits for the *next* one, never for that one: it was sent before the caller came,
//! so what it finds may be older than an invalidation that the caller knows of.
//!
//! A caller that is alone looks up by itself. Whether it is costs one counter, which addresses share now and then: then
//! their callers are collapsed although they need not be, each address for itself.
//!
//! A look-up that is shared runs in a task of its own: no caller depends on the future of another. A caller waits for
//! [`PATIENCE`] at most, as where a store is slow, and then looks for itself.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::key::Address;
use crate::task::{BoxFuture, spawn};

/// How many counters there are.
const STRIPES: usize = 1024;

/// How long a caller waits for a look-up that it shares.
const PATIENCE: Duration = Duration::from_millis(250);

/// Who waits for what a look-up finds.
type Waiting<V> = Vec<oneshot::Sender<Option<V>>>;

/// All callers that wait for the next look-up, by address of the one under way.
type Running<V> = Arc<Mutex<HashMap<Address, Waiting<V>>>>;

/// The look-ups under way.
pub(crate) struct Lookups<V> {
    counts: Box<[AtomicUsize]>,
    running: Running<V>,
}

impl<V: Clone + Send + 'static> Lookups<V> {
    pub(crate) fn new() -> Self {
        Self {
            counts: (0..STRIPES).map(|_| AtomicUsize::new(0)).collect(),
            running: Arc::default(),
        }
    }

    /// What `alone` finds; or where others look at the same time, what the `looker` finds once for all who come before it
    /// begins.
    pub(crate) async fn share<F>(
        &self,
        address: &Address,
        alone: impl Future<Output = Option<V>>,
        looker: impl FnOnce() -> F,
    ) -> Option<V>
    where
        F: Fn() -> BoxFuture<'static, Option<V>> + Send + 'static,
    {
        let (_counted, before) = LookupCount::new(&self.counts[stripe(address.as_str())]);
        if before == 0 {
            return alone.await;
        }
        // Boxed, because most callers are alone.
        Box::pin(self.collapse(address, alone, looker())).await
    }

    /// What `look` finds, once for all who come before it begins: for callers of whom many come at once.
    pub(crate) async fn collapse<F>(
        &self,
        address: &Address,
        alone: impl Future<Output = Option<V>>,
        look: F,
    ) -> Option<V>
    where
        F: Fn() -> BoxFuture<'static, Option<V>> + Send + 'static,
    {
        let (sender, found) = oneshot::channel();
        if self.enter(address, sender) {
            let task = LookupTask {
                running: Arc::clone(&self.running),
                address: address.clone(),
                ended: false,
            };
            spawn(Box::pin(task.run(look)));
        }
        match timeout(PATIENCE, found).await {
            Ok(Ok(found)) => found,
            // It is given up, or takes long.
            Ok(Err(_)) | Err(_) => alone.await,
        }
    }

    /// Joins the callers that wait for the next look-up. Whether there is none under way, and so no task to begin it.
    fn enter(&self, address: &Address, sender: oneshot::Sender<Option<V>>) -> bool {
        let mut running = lock(&self.running);
        if let Some(waiting) = running.get_mut(address) {
            waiting.push(sender);
            return false;
        }
        running.insert(address.clone(), vec![sender]);
        true
    }
}

/// The look-ups of one address, one after the other.
struct LookupTask<V> {
    running: Running<V>,
    address: Address,
    ended: bool,
}

impl<V: Clone> LookupTask<V> {
    async fn run(mut self, look: impl Fn() -> BoxFuture<'static, Option<V>>) {
        while let Some(waiting) = self.next() {
            let found = look().await;
            for caller in waiting {
                // One that has left needs no answer.
                let _ = caller.send(found.clone());
            }
            // What they do about it comes first: they may compute, or ask again, and then share the next.
            tokio::task::yield_now().await;
        }
    }

    /// The callers that wait at this moment. Where there are none, this task has come to its end.
    fn next(&mut self) -> Option<Waiting<V>> {
        let mut running = lock(&self.running);
        let next = running.get_mut(&self.address)?;
        next.retain(|caller| !caller.is_closed());
        if !next.is_empty() {
            return Some(std::mem::take(next));
        }
        self.ended = true;
        running.remove(&self.address);
        None
    }
}

impl<V> Drop for LookupTask<V> {
    /// Where a look-up was broken off, no caller is to wait for the next.
    fn drop(&mut self) {
        if !self.ended {
            let waiting = lock(&self.running).remove(&self.address);
            drop(waiting);
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

fn lock<T>(running: &Mutex<T>) -> MutexGuard<'_, T> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number for an address. Two may have the same, which a client may choose: all that costs is a task.
fn stripe(name: &str) -> usize {
    let mut mixed = name.len() as u64;
    for chunk in name.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mixed = (mixed.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    // The upper bits depend on all others.
    (mixed >> 54) as usize % STRIPES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_little_have_counters_of_their_own() {
        let mut stripes: Vec<_> = (0..STRIPES).map(|n| stripe(&format!("t:{{GET //page/{n}}}"))).collect();
        stripes.sort_unstable();
        stripes.dedup();
        assert!(stripes.len() > STRIPES / 2, "{} of {STRIPES}", stripes.len());
    }
}
