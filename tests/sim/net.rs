//! [`Net`]: what happens at which moment, in one order.
//!
//! Everything that is on its way waits here: a command, its answer, a notice. What happens in the same millisecond happens
//! in the order in which it was sent. So no order depends on how the runtime keeps its timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

type Act = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Net {
    queue: Mutex<BinaryHeap<Reverse<Entry>>>,
    next: AtomicU64,
    bell: Notify,
}

struct Entry {
    at: Instant,
    number: u64,
    act: Act,
}

impl Net {
    /// Has `act` happen at that moment.
    pub(crate) fn at(&self, at: Instant, act: impl FnOnce() + Send + 'static) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let act = Box::new(act);
        self.queue.lock().unwrap().push(Reverse(Entry { at, number, act }));
        self.bell.notify_one();
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.lock().unwrap().is_empty()
    }

    /// Sees to it, for ever.
    pub(crate) async fn run(&self) {
        loop {
            let next = self.queue.lock().unwrap().peek().map(|entry| entry.0.at);
            match next {
                Some(at) if at <= Instant::now() => {
                    let entry = self.queue.lock().unwrap().pop();
                    if let Some(Reverse(entry)) = entry {
                        (entry.act)();
                    }
                }
                Some(at) => tokio::select! {
                    biased;
                    () = sleep_until(at) => {}
                    () = self.bell.notified() => {}
                },
                None => self.bell.notified().await,
            }
        }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}
