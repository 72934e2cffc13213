//! [`Acknowledgements`]: the notices whose sender waits until no near copy from before is left, and the processes that
//! have said so.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::store::Token;

/// The notices of this process that are to be acknowledged.
#[derive(Default)]
pub(crate) struct Acknowledgements {
    waiting: Mutex<HashMap<Token, Arc<Waiting>>>,
}

#[derive(Default)]
struct Waiting {
    heard: Mutex<HashSet<Token>>,
    more: Notify,
}

impl Acknowledgements {
    /// Starts to listen for the acknowledgements of a notice, which is sent after this.
    pub(crate) fn expect(self: &Arc<Self>, nonce: Token) -> ExpectedAcks {
        let waiting = Arc::<Waiting>::default();
        lock(&self.waiting).insert(nonce, Arc::clone(&waiting));
        ExpectedAcks {
            all: Arc::clone(self),
            nonce,
            waiting,
        }
    }

    /// A process has acknowledged a notice. An acknowledgement of an unknown notice is ignored.
    pub(crate) fn hear(&self, nonce: Token, process: Token) {
        let waiting = lock(&self.waiting).get(&nonce).map(Arc::clone);
        if let Some(waiting) = waiting {
            lock(&waiting.heard).insert(process);
            waiting.more.notify_waiters();
        }
    }
}

/// The acknowledgements of one notice.
pub(crate) struct ExpectedAcks {
    all: Arc<Acknowledgements>,
    nonce: Token,
    waiting: Arc<Waiting>,
}

impl ExpectedAcks {
    /// Waits until all of these processes, and at least that many processes altogether, have acknowledged the notice.
    pub(crate) async fn until(&self, processes: &[Token], count: usize) {
        loop {
            let mut more = pin!(self.waiting.more.notified());
            more.as_mut().enable();
            if self.is_heard(processes, count) {
                return;
            }
            more.await;
        }
    }

    pub(crate) fn is_heard(&self, processes: &[Token], count: usize) -> bool {
        let heard = lock(&self.waiting.heard);
        heard.len() >= count && processes.iter().all(|process| heard.contains(process))
    }

    /// How many have acknowledged it.
    pub(crate) fn count(&self) -> usize {
        lock(&self.waiting.heard).len()
    }
}

impl Drop for ExpectedAcks {
    fn drop(&mut self) {
        lock(&self.all.waiting).remove(&self.nonce);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_that_are_named_and_as_many_as_heard_it_are_waited_for() {
        let acks = Arc::<Acknowledgements>::default();
        let [nonce, a, b, stranger] = [(); 4].map(|()| Token::random());
        let expected = acks.expect(nonce);
        assert!(expected.is_heard(&[], 0) && !expected.is_heard(&[], 1));
        acks.hear(stranger, a);
        acks.hear(nonce, a);
        acks.hear(nonce, a);
        assert!(expected.is_heard(&[a], 1) && !expected.is_heard(&[a, b], 1) && !expected.is_heard(&[a], 2));
        let waiter = tokio::spawn(async move {
            expected.until(&[a, b], 2).await;
            expected.count()
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        acks.hear(nonce, b);
        assert_eq!(waiter.await.unwrap(), 2);
        assert!(lock(&acks.waiting).is_empty());
    }
}
