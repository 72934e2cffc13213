//! [`Leases`]: how many locks of the store this process holds, or may hold, and whether it may take more.

pub(crate) mod lease;
pub(crate) mod lock_state;
pub(crate) mod own;

use tokio::sync::watch;

pub(crate) struct Leases(watch::Sender<LeaseCount>);

struct LeaseCount {
    /// Whether the process is about to stop: nothing is begun that no caller waits for.
    leaving: bool,
    closed: bool,
    held: usize,
}

impl Leases {
    pub(crate) fn new() -> Self {
        let state = LeaseCount {
            leaving: false,
            closed: false,
            held: 0,
        };
        Self(watch::Sender::new(state))
    }

    /// The process is about to stop. Returns how many are held.
    pub(crate) fn leave(&self) -> usize {
        self.0.send_modify(|state| state.leaving = true);
        self.0.borrow().held
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.0.borrow().leaving
    }

    /// Lets no further lease be taken, and says how many are held.
    pub(crate) fn close(&self) -> usize {
        self.0.send_modify(|state| (state.leaving, state.closed) = (true, true));
        self.0.borrow().held
    }

    /// Lets no further lease be taken from the first moment on at which none is held.
    pub(crate) async fn close_when_idle(&self) {
        let mut states = self.0.subscribe();
        loop {
            let _ = states.wait_for(|state| state.held == 0).await;
            // Another one may have been taken since.
            let mut idle = false;
            self.0.send_if_modified(|state| {
                idle = state.held == 0;
                state.closed |= idle;
                idle
            });
            if idle {
                return;
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    /// Resolves once no further lease may be taken.
    pub(crate) async fn closed(&self) {
        // The sender is here as long as a caller can wait.
        let _ = self.0.subscribe().wait_for(|state| state.closed).await;
    }

    /// Resolves once none is held.
    pub(crate) async fn given_back(&self) {
        let _ = self.0.subscribe().wait_for(|state| state.held == 0).await;
    }

    fn take(&self) -> bool {
        let mut taken = false;
        self.0.send_if_modified(|state| {
            taken = !state.closed;
            state.held += usize::from(taken);
            false
        });
        taken
    }

    fn give_back(&self) {
        self.0.send_if_modified(|state| {
            state.held -= 1;
            state.leaving && state.held == 0
        });
    }
}

/// The lock that one keeper holds, or may hold. Dropping it says that it does not any more.
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
    fn a_keeper_that_ends_gives_back() {
        let leases = Leases::new();
        let mut holding = Holding::new(&leases);
        assert!(holding.take());
        drop(holding);
        assert_eq!(leases.close(), 0);
    }
}
