//! Reads of one key by many at once: [`Reads`].
//!
//! A few reads of a key are under way, and one more is about to begin. All callers that come until then share that one.
//! They never share a read that is under way: it was sent before they came, so its result may be older than an
//! invalidation that they know of. A read is a task of its own, and goes on if a caller leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::conn::error;
use crate::error::StoreError;
use crate::store::Value;
use crate::task::spawn_on;

type ReadAnswer = Result<Option<Value>, Arc<StoreError>>;
type ReadWaiters = Vec<oneshot::Sender<ReadAnswer>>;
type Keys = HashMap<String, KeyReads>;

/// The reads of one key.
#[derive(Default)]
struct KeyReads {
    /// How many are under way.
    underway: usize,
    /// The callers that wait for a read that is not under way yet.
    next: ReadWaiters,
}

/// The reads under way, and the callers that wait for the next ones.
#[derive(Default)]
pub(super) struct Reads(Arc<Mutex<Keys>>);

impl Reads {
    /// The result of a read of `key` that begins after this call. `read` reads once for all callers that come before it
    /// has begun; at most so many reads are under way at once.
    pub(super) async fn share<R, F>(
        &self,
        runtime: &Handle,
        key: &str,
        most: usize,
        read: R,
    ) -> Result<Option<Value>, StoreError>
    where
        R: Fn() -> F + Send + 'static,
        F: Future<Output = Result<Option<Value>, StoreError>> + Send,
    {
        let (sender, answer) = oneshot::channel();
        if self.join(key, most, sender) {
            let mut underway = ReadTask {
                keys: Arc::clone(&self.0),
                key: key.to_owned(),
                ended: false,
            };
            let reading = Box::pin(async move {
                while let Some(waiting) = underway.next() {
                    let found = read().await.map_err(Arc::new);
                    for one in waiting {
                        // A caller that has left needs no answer.
                        let _ = one.send(found.clone());
                    }
                }
            });
            spawn_on(runtime, reading);
        }
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(StoreError::with_source(error.kind(), error)),
            // The runtime ends.
            Err(_) => Err(error::unavailable()),
        }
    }

    /// Joins the waiters. Returns whether one more task has to read for them.
    fn join(&self, key: &str, most: usize, one: oneshot::Sender<ReadAnswer>) -> bool {
        let mut keys = lock(&self.0);
        if !keys.contains_key(key) {
            keys.insert(key.to_owned(), KeyReads::default());
        }
        let Some(reads) = keys.get_mut(key) else {
            return false;
        };
        // Where others wait, a task is about to read for them.
        let is_first = reads.next.is_empty();
        reads.next.push(one);
        let starts = is_first && reads.underway < most;
        reads.underway += usize::from(starts);
        starts
    }
}

/// A task that reads a key, as often as there are waiters.
struct ReadTask {
    keys: Arc<Mutex<Keys>>,
    key: String,
    ended: bool,
}

impl ReadTask {
    /// The waiters of this moment. Where there are none, this task has come to its end.
    fn next(&mut self) -> Option<ReadWaiters> {
        let mut keys = lock(&self.keys);
        let reads = keys.get_mut(&self.key)?;
        reads.next.retain(|one| !one.is_closed());
        if !reads.next.is_empty() {
            return Some(std::mem::take(&mut reads.next));
        }
        self.ended = true;
        reads.underway -= 1;
        if reads.underway == 0 {
            keys.remove(&self.key);
        }
        None
    }
}

impl Drop for ReadTask {
    /// Where a read was broken off, no caller must go on waiting for the next.
    fn drop(&mut self) {
        if !self.ended {
            lock(&self.keys).remove(&self.key);
        }
    }
}

fn lock(keys: &Mutex<Keys>) -> MutexGuard<'_, Keys> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    struct World {
        reads: Arc<Reads>,
        begun: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
    }

    impl World {
        /// The answer to a read is its number.
        fn ask(&self, most: usize) -> JoinHandle<usize> {
            let (reads, begun, gate) = (Arc::clone(&self.reads), Arc::clone(&self.begun), Arc::clone(&self.gate));
            tokio::spawn(async move {
                let read = move || {
                    let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
                    async move {
                        let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                        gate.acquire().await.unwrap().forget();
                        Ok(Some(Value::encoded(vec![0; number])))
                    }
                };
                let found = reads.share(&Handle::current(), "key", most, read).await;
                found.unwrap().unwrap().weight()
            })
        }
    }

    fn world() -> World {
        World {
            reads: Arc::default(),
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    async fn settle() {
        for _ in 0..20 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_read_is_for_those_who_came_before_it_began() {
        let world = world();
        let first = [world.ask(1), world.ask(1)];
        settle().await;
        let second = [world.ask(1), world.ask(1), world.ask(1)];
        settle().await;
        assert_eq!(world.begun.load(Ordering::SeqCst), 1);
        world.gate.add_permits(2);
        for one in first {
            assert_eq!(one.await.unwrap(), 1);
        }
        for one in second {
            assert_eq!(one.await.unwrap(), 2);
        }
        settle().await;
        assert!(lock(&world.reads.0).is_empty());
    }

    #[tokio::test]
    async fn as_many_are_under_way_as_may_be_and_none_is_left_waiting() {
        let world = world();
        let mut asked = Vec::new();
        for _ in 0..10 {
            asked.push(world.ask(3));
            settle().await;
        }
        assert_eq!(world.begun.load(Ordering::SeqCst), 3);
        // A waiter that has left needs nothing.
        asked.pop().unwrap().abort();
        world.gate.add_permits(4);
        for (at, one) in asked.into_iter().enumerate() {
            let number = one.await.unwrap();
            assert_eq!(number, (at + 1).min(4));
        }
        settle().await;
        assert!(lock(&world.reads.0).is_empty());
    }

    #[tokio::test]
    async fn a_read_that_is_broken_off_keeps_no_caller_waiting() {
        let (reads, gate) = (Arc::<Reads>::default(), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (reads, gate) = (Arc::clone(&reads), Arc::clone(&gate));
            tokio::spawn(async move {
                let read = move || {
                    let gate = Arc::clone(&gate);
                    async move {
                        gate.acquire().await.unwrap().forget();
                        panic!("the read is broken off")
                    }
                };
                reads.share(&Handle::current(), "key", 1, read).await
            })
        };
        let first = ask();
        settle().await;
        let second = ask();
        settle().await;
        gate.add_permits(1);
        for one in [first, second] {
            let error = one.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), crate::StoreErrorKind::Unavailable);
        }
        assert!(lock(&reads.0).is_empty());
    }
}
