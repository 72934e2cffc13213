//! [`Leases`]: how many locks of the store this process holds, or may hold, and whether it may take more.

pub(crate) mod lease;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(crate) struct Leases {
    count: Mutex<LeaseCount>,
    /// Wakes all that wait here for any change, in the order in which they came.
    changed: Notify,
}

#[derive(Default)]
struct LeaseCount {
    /// Whether the process is about to stop: nothing is begun that no caller waits for.
    leaving: bool,
    closed: bool,
    held: usize,
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self {
            count: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn count(&self) -> MutexGuard<'_, LeaseCount> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process is about to stop. Returns how many are held.
    pub(crate) fn leave(&self) -> usize {
        let mut count = self.count();
        count.leaving = true;
        count.held
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.count().leaving
    }

    /// Lets no further lease be taken, and says how many are held.
    pub(crate) fn close(&self) -> usize {
        let mut count = self.count();
        (count.leaving, count.closed) = (true, true);
        self.changed.notify_waiters();
        count.held
    }

    /// Waits until no lease is held, and lets no further lease be taken from that moment on.
    pub(crate) async fn close_when_idle(&self) {
        self.until(|count| {
            count.closed |= count.held == 0;
            count.held == 0
        })
        .await;
        self.changed.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.count().closed
    }

    /// Resolves once no further lease may be taken.
    pub(crate) async fn closed(&self) {
        self.until(|count| count.closed).await;
    }

    /// Resolves once no lease is held.
    pub(crate) async fn given_back(&self) {
        self.until(|count| count.held == 0).await;
    }

    async fn until(&self, is_so: impl Fn(&mut LeaseCount) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&mut self.count()) {
                return;
            }
            changed.await;
        }
    }

    fn take(&self) -> bool {
        let mut count = self.count();
        count.held += usize::from(!count.closed);
        !count.closed
    }

    fn give_back(&self) {
        let mut count = self.count();
        count.held -= 1;
        if count.leaving && count.held == 0 {
            self.changed.notify_waiters();
        }
    }
}

/// The lock that one keeper holds, or may hold. Dropping this says that the keeper no longer holds it.
pub(crate) struct Holding<'a> {
    leases: &'a Leases,
    held: bool,
}

impl<'a> Holding<'a> {
    /// Nothing yet.
    pub(crate) fn new(leases: &'a Leases) -> Self {
        Self { leases, held: false }
    }

    /// To be called before the store is asked for the lock; `false` where it must not be.
    pub(crate) fn take(&mut self) -> bool {
        self.held = self.held || self.leases.take();
        self.held
    }

    pub(crate) fn give_back(&mut self) {
        if std::mem::take(&mut self.held) {
            self.leases.give_back();
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_close_waits_for_what_is_held_and_lets_none_take_more() {
        let leases = Leases::new();
        let mut holding = Holding::new(&leases);
        assert!(holding.take() && holding.take());
        assert_eq!(leases.close(), 1);
        assert!(!Holding::new(&leases).take());

        let mut cx = Context::from_waker(Waker::noop());
        let mut given_back = pin!(leases.given_back());
        assert!(given_back.as_mut().poll(&mut cx).is_pending());
        holding.give_back();
        assert!(given_back.as_mut().poll(&mut cx).is_ready());
        assert!(!holding.take());
    }

    #[test]
    fn who_waits_for_a_close_learns_of_it() {
        let leases = Leases::new();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (pin!(leases.closed()), pin!(leases.closed()));
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        assert!(!leases.is_closed() && !leases.is_leaving());
        assert_eq!(leases.close(), 0);
        assert!(first.poll(&mut cx).is_ready() && second.poll(&mut cx).is_ready());
        assert!(leases.is_closed() && leases.is_leaving());
    }

    #[test]
    fn a_process_that_leaves_takes_leases_until_it_holds_none() {
        let leases = Leases::new();
        let (mut one, mut other) = (Holding::new(&leases), Holding::new(&leases));
        assert!(one.take());
        assert_eq!(leases.leave(), 1);
        assert!(leases.is_leaving() && !leases.is_closed());

        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = pin!(leases.close_when_idle());
        let (mut closed, mut given_back) = (pin!(leases.closed()), pin!(leases.given_back()));
        let mut closed_too = pin!(leases.closed());
        assert!(idle.as_mut().poll(&mut cx).is_pending());
        assert!(closed.as_mut().poll(&mut cx).is_pending() && given_back.as_mut().poll(&mut cx).is_pending());
        assert!(other.take());
        one.give_back();
        assert!(idle.as_mut().poll(&mut cx).is_pending() && !leases.is_closed());
        drop(other);
        assert!(given_back.poll(&mut cx).is_ready());
        // Nothing is closed yet.
        assert!(closed.as_mut().poll(&mut cx).is_pending() && closed_too.as_mut().poll(&mut cx).is_pending());
        assert!(idle.poll(&mut cx).is_ready());
        assert!(leases.is_closed() && !one.take());
        assert!(closed.poll(&mut cx).is_ready() && closed_too.poll(&mut cx).is_ready());
    }

    #[test]
    fn a_keeper_that_ends_gives_back() {
        let leases = Leases::new();
        let mut holding = Holding::new(&leases);
        assert!(holding.take());
        drop(holding);
        assert_eq!(leases.close(), 0);
    }
}
