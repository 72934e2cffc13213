//! [`Mailbox`]: the notices that one watcher has not heard yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::store::notice::Notice;
use crate::store::redis::stats::RedisCounters;

/// How many notices wait for a watcher that does not listen. More of them shrink to one [`Notice::Reread`], which
/// says all that they said.
const CAPACITY: usize = 16;

/// A bounded queue with one reader.
#[derive(Default)]
pub(crate) struct Mailbox {
    notices: Mutex<VecDeque<Notice>>,
    arrived: Notify,
    stats: Arc<RedisCounters>,
}

impl Mailbox {
    pub(crate) fn new(stats: Arc<RedisCounters>) -> Self {
        Self {
            notices: Mutex::default(),
            arrived: Notify::new(),
            stats,
        }
    }

    pub(crate) fn push(&self, notice: Notice) {
        {
            let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
            if notices.len() >= CAPACITY {
                self.stats.overflows.add();
                notices.clear();
                notices.push_back(Notice::Reread);
            } else {
                notices.push_back(notice);
            }
        }
        self.arrived.notify_one();
    }

    pub(crate) async fn next(&self) -> Notice {
        // A full mailbox must not let its reader keep the thread to itself.
        tokio::task::consume_budget().await;
        loop {
            // Taking a notice is the last step, after which nothing is awaited: a call that is dropped loses none.
            if let Some(notice) = self.try_next() {
                return notice;
            }
            self.arrived.notified().await;
        }
    }

    pub(crate) fn try_next(&self) -> Option<Notice> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn notices_come_in_order() {
        let mailbox = Mailbox::default();
        mailbox.push(Notice::Reread);
        mailbox.push(Notice::Invalidated);
        assert!(matches!(mailbox.next().await, Notice::Reread));
        assert!(matches!(mailbox.next().await, Notice::Invalidated));
    }

    #[tokio::test]
    async fn an_overflow_becomes_one_reread() {
        let mailbox = Mailbox::default();
        for _ in 0..=CAPACITY {
            mailbox.push(Notice::Invalidated);
        }
        assert!(matches!(mailbox.next().await, Notice::Reread));
        assert!(mailbox.try_next().is_none());
    }

    #[tokio::test]
    async fn a_dropped_call_loses_nothing() {
        let mailbox = Mailbox::default();
        {
            let mut next = std::pin::pin!(mailbox.next());
            let waker = std::task::Waker::noop();
            let mut cx = std::task::Context::from_waker(waker);
            assert!(next.as_mut().poll(&mut cx).is_pending());
            mailbox.push(Notice::Invalidated);
        }
        assert!(matches!(mailbox.next().await, Notice::Invalidated));
    }
}
