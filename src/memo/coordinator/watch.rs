//! [`LiveWatch`]: a watch that is hardly older than the last waiter to join the flight.
//!
//! A watch hears only what was published after it began, so a notice is news to waiters that joined before the watch
//! began, and to no others. Later waiters can read a stored value, but not one that was shared with the waiters of that
//! moment. So while callers go on joining, one watch succeeds another, and no watch ends before its successor is in
//! effect.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::Coordinator;
use crate::codec::Codec;
use crate::memo::flights::clock::{Arrivals, Tick};
use crate::simulation::{Planted, planted};
use crate::store::{AnyWatch, Notice, Store, Watch};

/// The next watch begins at least this long after the first caller that came later than the present watch. A waiter
/// that comes less than about this time before a value is shared is too late for that value.
const SUCCESSION: Duration = Duration::from_millis(20);

/// The pause between watches grows with the wait, and is this part of it: a computation that takes ten seconds does not
/// need five hundred watches.
const PART: u32 = 16;

pub(super) struct LiveWatch<'a, C: Codec> {
    coordinator: &'a Coordinator<C>,
    begun: Spacing,
    present: Listener,
    successor: Successor,
}

struct Listener {
    watch: AnyWatch,
    since: Tick,
    in_effect: bool,
}

enum Successor {
    /// No waiter is known to need one.
    None,
    Due(Instant),
    Begun(Listener),
}

/// The next notice, where the keeper listens. Cancel safe.
pub(super) async fn next<C: Codec>(watch: &mut Option<LiveWatch<'_, C>>) -> (Notice, Tick) {
    match watch {
        Some(watch) => watch.next().await,
        None => pending().await,
    }
}

impl<'a, C: Codec> LiveWatch<'a, C> {
    pub(super) fn start(coordinator: &'a Coordinator<C>) -> Self {
        if planted(Planted::WatchLeft) {
            std::mem::forget(coordinator.shared.store.watch(&coordinator.address));
        }
        Self {
            coordinator,
            begun: Spacing::starting_now(),
            present: Listener::start(coordinator),
            successor: Successor::None,
        }
    }

    /// How long to pause between two things that are done for waiters that join meanwhile.
    pub(super) fn spacing(&self) -> Spacing {
        self.begun
    }

    /// Returns once no notice can be missed any more. Takes the notices from before.
    pub(super) async fn in_effect(&mut self) {
        while !self.present.in_effect {
            self.next().await;
        }
    }

    /// The next notice, if there is one already.
    pub(super) async fn at_once(&mut self) -> Option<(Notice, Tick)> {
        let notice = at_once(&mut self.present.watch).await?;
        Some(self.present.heard(notice))
    }

    /// The next notice, and when it cannot have been published yet. Cancel safe.
    pub(super) async fn next(&mut self) -> (Notice, Tick) {
        let Self {
            coordinator,
            begun,
            present,
            successor,
        } = self;
        loop {
            tokio::select! {
                biased;
                notice = present.watch.next() => return present.heard(notice),
                () = successor.prepare(coordinator, *begun, present.since) => {}
            }
            // The successor has missed what was published before it was in effect.
            if let Some(notice) = at_once(&mut present.watch).await {
                return present.heard(notice);
            }
            if let Successor::Begun(next) = std::mem::replace(successor, Successor::None) {
                *present = next;
            }
        }
    }
}

/// When waiting began, which says how often newcomers are worth a command to the store.
#[derive(Clone, Copy)]
pub(super) struct Spacing(Instant);

impl Spacing {
    pub(super) fn starting_now() -> Self {
        Self(Instant::now())
    }

    fn next(self) -> Instant {
        Instant::now() + SUCCESSION.max(self.0.elapsed() / PART)
    }

    pub(super) async fn pass(self) {
        sleep_until(self.next()).await;
    }
}

impl Listener {
    fn start<C: Codec>(coordinator: &Coordinator<C>) -> Self {
        Self {
            since: coordinator.shared.clock.tick(),
            watch: coordinator.shared.store.watch(&coordinator.address),
            in_effect: false,
        }
    }

    /// The notice, and when it cannot have been published yet.
    fn heard(&mut self, notice: Notice) -> (Notice, Tick) {
        self.in_effect |= matches!(notice, Notice::Reread);
        (notice, self.since)
    }
}

impl Successor {
    /// Resolves once there is one in effect. Cancel safe.
    async fn prepare<C: Codec>(&mut self, coordinator: &Coordinator<C>, begun: Spacing, since: Tick) {
        loop {
            match self {
                Self::None => {
                    poll_fn(|cx| coordinator.flight.poll_joined(Arrivals::Before(since), cx)).await;
                    *self = Self::Due(begun.next());
                }
                Self::Due(due) => {
                    sleep_until(*due).await;
                    *self = Self::Begun(Listener::start(coordinator));
                }
                Self::Begun(next) if next.in_effect => return,
                Self::Begun(next) => next.in_effect = matches!(next.watch.next().await, Notice::Reread),
            }
        }
    }
}

/// The next notice, if there is one.
async fn at_once(watch: &mut impl Watch) -> Option<Notice> {
    // A task that has had its share of the thread would find every watch silent.
    let mut next = pin!(unconstrained(watch.next()));
    poll_fn(|cx| {
        Poll::Ready(match next.as_mut().poll(cx) {
            Poll::Ready(notice) => Some(notice),
            Poll::Pending => None,
        })
    })
    .await
}
