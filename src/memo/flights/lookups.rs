//! Look-ups of one process: a lone caller looks up for itself, and all callers that come during a look-up share the
//! next one.
//!
//! A thousand callers that want one value would otherwise read it a thousand times over one connection, each waiting
//! behind the others until the store's timeout. A caller never shares a look-up that is under way: it was sent before
//! the caller came, so what it finds may be older than an invalidation that the caller knows of.
//!
//! A shared look-up is a task of its own, and goes on if a caller leaves or is not polled. A lone one needs no task, and
//! costs no more than a count.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::crowd::{CrowdMember, Crowds};
use crate::key::Address;

/// How many counts there are. Two addresses with the same count look like two callers of one address, which costs a
/// task.
const COUNTS: usize = 1024;

/// All callers that wait for the next look-up, by address, as long as there is a task that looks for them.
type Seekers<V> = HashMap<Address, Vec<Seeker<V>>>;

/// The look-ups under way.
pub(crate) struct Lookups<V> {
    crowds: Crowds,
    waiting: Arc<Mutex<Seekers<V>>>,
}

/// Whether a caller is there for the value or the look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seeking {
    /// It wants what is stored.
    Stored,
    /// It would rather wait for a computation here than look.
    StoredOrComputed,
}

/// A caller that waits for the next look-up.
struct Seeker<V> {
    seeking: Seeking,
    answer: oneshot::Sender<Option<V>>,
}

/// What a shared look-up gives to a caller: nothing, where the look-up is broken off or the caller need not look.
pub(crate) type SharedLookup<V> = oneshot::Receiver<Option<V>>;

impl<V> Lookups<V> {
    pub(crate) fn new() -> Self {
        Self {
            crowds: Crowds::new(COUNTS),
            waiting: Arc::default(),
        }
    }

    /// Counts a caller for as long as it looks.
    pub(crate) fn enter(&self, address: &Address) -> CrowdMember<'_> {
        self.crowds.enter(address.as_str())
    }

    /// Joins the callers that wait for the next look-up, and the task that is to look for them where there is none.
    pub(crate) fn join(&self, address: &Address, seeking: Seeking) -> (SharedLookup<V>, Option<LookupTask<V>>) {
        let (answer, shared) = oneshot::channel();
        let seeker = Seeker { seeking, answer };
        let task = match lock(&self.waiting).entry(address.clone()) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(seeker);
                None
            }
            Entry::Vacant(none) => {
                none.insert(vec![seeker]);
                Some(LookupTask {
                    waiting: Arc::clone(&self.waiting),
                    address: address.clone(),
                    has_ended: false,
                })
            }
        };
        (shared, task)
    }
}

/// Looks one address up, as often as there are callers that wait for it.
pub(crate) struct LookupTask<V> {
    waiting: Arc<Mutex<Seekers<V>>>,
    address: Address,
    has_ended: bool,
}

/// All callers of one look-up.
pub(crate) struct Batch<V>(Vec<Seeker<V>>);

impl<V: Clone> LookupTask<V> {
    /// The callers that wait at this moment. The look-up for them is to begin after this call. Where there are none,
    /// the task has come to its end. `is_computed` says that the value is being computed here, which some callers would
    /// rather wait for.
    pub(crate) fn next(&mut self, is_computed: bool) -> Option<Batch<V>> {
        let mut waiting = lock(&self.waiting);
        let seekers = waiting.get_mut(&self.address).map(std::mem::take).unwrap_or_default();
        let (rest, served): (Vec<_>, _) = seekers.into_iter().partition(|seeker| {
            let joins = is_computed && seeker.seeking == Seeking::StoredOrComputed;
            !joins && !seeker.answer.is_closed()
        });
        if rest.is_empty() {
            self.has_ended = true;
            waiting.remove(&self.address);
        }
        drop(waiting);
        // Told that there is nothing.
        drop::<Vec<_>>(served);
        (!rest.is_empty()).then_some(Batch(rest))
    }
}

impl<V> Drop for LookupTask<V> {
    /// Where a look-up was broken off, no caller must go on waiting for the next.
    fn drop(&mut self) {
        if !self.has_ended {
            let waiting = lock(&self.waiting).remove(&self.address);
            drop(waiting);
        }
    }
}

impl<V: Clone> Batch<V> {
    pub(crate) fn tell(self, found: &Option<V>) {
        for seeker in self.0 {
            // A caller that has left needs no answer.
            let _ = seeker.answer.send(found.clone());
        }
    }
}

fn lock<V>(waiting: &Mutex<Seekers<V>>) -> MutexGuard<'_, Seekers<V>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    fn address() -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new("k").unwrap())
    }

    #[tokio::test]
    async fn each_caller_of_a_shared_look_up_is_told_and_no_look_up_outlasts_its_callers() {
        let (lookups, address) = (Lookups::<u32>::new(), address());
        let (stored, task) = lookups.join(&address, Seeking::Stored);
        let mut task = task.expect("the first caller needs a task");
        let (computed, other) = lookups.join(&address, Seeking::StoredOrComputed);
        assert!(other.is_none());
        let (left, _) = lookups.join(&address, Seeking::Stored);
        drop(left);
        task.next(true).unwrap().tell(&Some(1));
        assert_eq!(stored.await, Ok(Some(1)));
        assert!(computed.await.is_err(), "it waits for the computation");

        let (more, other) = lookups.join(&address, Seeking::StoredOrComputed);
        assert!(other.is_none());
        task.next(false).unwrap().tell(&None);
        assert_eq!(more.await, Ok(None));
        assert!(task.next(false).is_none());
        let (_late, next) = lookups.join(&address, Seeking::Stored);
        let next = next.expect("the task before it has ended");
        drop(task);
        assert!(lookups.join(&address, Seeking::Stored).1.is_none());
        drop(next);
        assert!(lookups.join(&address, Seeking::Stored).1.is_some());
    }

    #[tokio::test]
    async fn who_waits_for_a_look_up_that_is_broken_off_is_let_go() {
        let lookups = Lookups::<u32>::new();
        let (caller, task) = lookups.join(&address(), Seeking::Stored);
        drop(task);
        assert!(caller.await.is_err());
    }
}
