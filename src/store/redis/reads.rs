//! Reads of one key by many at once: [`Reads`].
//!
//! One read of a key is under way, and one more is about to be. All who come while the first is under way share the second,
//! never the first: that was sent before they came, so what it finds may be older than an invalidation that they know
//! of. A read is a task of its own, which nobody who leaves takes with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::error;
use crate::error::StoreError;
use crate::store::Value;

type Answer = Result<Option<Value>, Arc<StoreError>>;
type Waiting = Vec<oneshot::Sender<Answer>>;

/// Those who wait for the next read, by key.
#[derive(Default)]
pub(super) struct Reads(Arc<Mutex<HashMap<String, Waiting>>>);

impl Reads {
    /// What the next read of `key` finds. `read` reads it, once for all who come meanwhile.
    pub(super) async fn share<R, F>(&self, runtime: &Handle, key: &str, read: R) -> Result<Option<Value>, StoreError>
    where
        R: Fn() -> F + Send + 'static,
        F: Future<Output = Result<Option<Value>, StoreError>> + Send,
    {
        let (sender, answer) = oneshot::channel();
        if let Some(first) = self.join(key, sender) {
            let mut underway = Underway {
                reads: Arc::clone(&self.0),
                key: key.to_owned(),
                ended: false,
            };
            runtime.spawn(async move {
                let mut waiting = first;
                loop {
                    let found = read().await.map_err(Arc::new);
                    for one in waiting {
                        // Who has left needs no answer.
                        let _ = one.send(found.clone());
                    }
                    match underway.next() {
                        Some(next) => waiting = next,
                        None => return,
                    }
                }
            });
        }
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(StoreError::with_source(error.kind(), error)),
            // The runtime ends.
            Err(_) => Err(error::unavailable()),
        }
    }

    /// Joins those who wait. Returned is the first of them, where nothing is under way.
    fn join(&self, key: &str, one: oneshot::Sender<Answer>) -> Option<Waiting> {
        let mut reads = lock(&self.0);
        match reads.get_mut(key) {
            Some(waiting) => {
                waiting.push(one);
                None
            }
            None => {
                reads.insert(key.to_owned(), Vec::new());
                Some(vec![one])
            }
        }
    }
}

/// The reads of one key, one after the other.
struct Underway {
    reads: Arc<Mutex<HashMap<String, Waiting>>>,
    key: String,
    ended: bool,
}

impl Underway {
    /// Those who wait for one more, if there are any.
    fn next(&mut self) -> Option<Waiting> {
        let mut reads = lock(&self.reads);
        let waiting = reads.get_mut(&self.key).map(std::mem::take)?;
        let waiting: Waiting = waiting.into_iter().filter(|one| !one.is_closed()).collect();
        if waiting.is_empty() {
            reads.remove(&self.key);
            self.ended = true;
            return None;
        }
        Some(waiting)
    }
}

impl Drop for Underway {
    /// Where a read was broken off, nobody is to wait for the next.
    fn drop(&mut self) {
        if !self.ended {
            lock(&self.reads).remove(&self.key);
        }
    }
}

fn lock(reads: &Mutex<HashMap<String, Waiting>>) -> MutexGuard<'_, HashMap<String, Waiting>> {
    reads.lock().unwrap_or_else(PoisonError::into_inner)
}
