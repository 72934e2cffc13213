//! How long a computation goes on once its clients have left.
//!
//! A client that leaves stops nothing, so there are computations that no client waits for: *orphans*. A few orphans go
//! on, because the next client may want the result; a client that joins an orphan adopts it. Beyond
//! [`max_orphaned`](crate::Limits::max_orphaned) the oldest orphan is cancelled, and so is one that has gone on for
//! [`max_computation`](crate::Limits::max_computation). A computation is cancelled by dropping its future.
//!
//! This process knows only of its own clients: where it cancels a computation, a waiter in another process takes over.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::flight::Flight;
use crate::memo::stats::Counters;

/// The clients of one computation that do not wait for its end: the leader's client, and those that read along.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    audience: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    present: usize,
    /// Whether the computation cannot become an orphan: it has been read to its end, or never had a client.
    is_settled: bool,
    keeper: Option<Waker>,
}

impl Presence {
    fn audience(&self) -> MutexGuard<'_, Clients> {
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Clients)) {
        let mut audience = self.audience();
        change(&mut audience);
        let keeper = audience.keeper.take();
        drop(audience);
        if let Some(keeper) = keeper {
            keeper.wake();
        }
    }

    /// Counts one more client until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Present {
        self.change(|audience| audience.present += 1);
        Present(Arc::clone(self))
    }

    /// Whether all clients have left before they had all that they wanted. The asking task is woken once that may have
    /// changed.
    fn is_deserted(&self, cx: &mut Context<'_>) -> bool {
        let mut audience = self.audience();
        let before = audience.keeper.replace(cx.waker().clone());
        let is_deserted = audience.present == 0 && !audience.is_settled;
        drop(audience);
        drop(before);
        is_deserted
    }

    /// Ready, once no client is left.
    fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut audience = self.audience();
        if audience.present == 0 {
            return Poll::Ready(());
        }
        let before = audience.keeper.replace(cx.waker().clone());
        drop(audience);
        drop(before);
        Poll::Pending
    }
}

/// One client. Dropping it is leaving.
#[derive(Debug)]
pub(crate) struct Present(Arc<Presence>);

impl Present {
    /// The client has all that it wanted, or there never was one. The rest of the computation is no orphan.
    pub(crate) fn settle(self) {
        self.0.change(|audience| audience.is_settled = true);
    }

    /// All clients of the computation.
    pub(crate) fn presence(&self) -> Arc<Presence> {
        Arc::clone(&self.0)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.change(|audience| audience.present -= 1);
    }
}

/// Tells a computation to stop.
#[derive(Debug)]
pub(crate) struct Stopper(oneshot::Sender<()>);

impl Stopper {
    fn stop(self) {
        // A computation that is over need not be told.
        let _ = self.0.send(());
    }
}

/// The computation's end of a [`Stopper`].
#[derive(Debug)]
pub(crate) struct Stop(Option<oneshot::Receiver<()>>);

impl Stop {
    pub(crate) fn new() -> (Stopper, Self) {
        let (stopper, stop) = oneshot::channel();
        (Stopper(stopper), Self(Some(stop)))
    }

    /// The same, once.
    pub(crate) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// The outcome of `computation`; `None` where it is stopped, and dropped, before.
    pub(crate) async fn or<F: Future>(self, computation: F) -> Option<F::Output> {
        let stopped = async {
            let told = match self.0 {
                Some(stop) => stop.await.is_ok(),
                None => false,
            };
            if !told {
                // The sender is gone, or there is none: no stop will be told.
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            output = computation => Some(output),
            () = stopped => None,
        }
    }
}

/// The computations of one process that no client waits for, oldest first.
pub(crate) struct Orphans {
    queue: Mutex<Queue>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Queue {
    next: u64,
    /// By their numbers.
    places: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Orphans {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            queue: Mutex::default(),
            counters,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one more. Where that makes more than `most`, the oldest have to go.
    fn take_in(self: &Arc<Self>, most: usize) -> QueuePlace {
        let (sender, told) = oneshot::channel();
        let mut queue = self.queue();
        let id = queue.next;
        queue.next += 1;
        queue.places.push_back((id, sender));
        let mut too_many = Vec::new();
        while queue.places.len() > most {
            too_many.extend(queue.places.pop_front());
        }
        drop(queue);
        self.counters.orphaned.add(1);
        // Which tells those whose places they are.
        drop(too_many);
        QueuePlace {
            orphans: Arc::clone(self),
            id,
            told,
        }
    }
}

/// One of the [`Orphans`], until it is dropped.
struct QueuePlace {
    orphans: Arc<Orphans>,
    id: u64,
    told: oneshot::Receiver<()>,
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut queue = self.orphans.queue();
        let at = queue.places.binary_search_by_key(&self.id, |(id, _)| *id);
        let place = at.ok().and_then(|at| queue.places.remove(at));
        drop(queue);
        drop(place);
        self.orphans.counters.orphaned.subtract(1);
    }
}

/// Why a computation is not to go on for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    /// No client waits for it, and there are too many of its kind.
    Orphaned,
    /// It has taken as long as any may.
    Overdue,
}

/// Watches over one computation.
pub(crate) struct Custody<L, O> {
    flight: Arc<Flight<L, O>>,
    presence: Arc<Presence>,
    orphans: Arc<Orphans>,
    /// How many orphans there may be.
    most: usize,
    due: Option<Instant>,
    /// Set while it is one.
    place: Option<QueuePlace>,
}

impl<L, O> Custody<L, O> {
    pub(crate) fn new(
        flight: Arc<Flight<L, O>>,
        presence: Arc<Presence>,
        orphans: Arc<Orphans>,
        most: usize,
        due: Instant,
    ) -> Self {
        Self {
            flight,
            presence,
            orphans,
            most,
            due: Some(due),
            place: None,
        }
    }

    /// The computation may take any time.
    pub(crate) fn is_never_due(&mut self) {
        self.due = None;
    }

    /// Resolves once the computation is not to go on for others. Cancel safe.
    pub(crate) async fn expired(&mut self) -> Expired {
        let Self {
            flight,
            presence,
            orphans,
            most,
            due,
            place,
        } = self;
        let overdue = async {
            match *due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        let orphaned = poll_fn(|cx| {
            // Both are asked, so that each of them wakes this task.
            let (no_client, no_waiter) = (presence.is_deserted(cx), flight.is_deserted(cx));
            match (no_client && no_waiter, &mut *place) {
                (true, None) => *place = Some(orphans.take_in(*most)),
                // Adopted.
                (false, Some(_)) => *place = None,
                _ => {}
            }
            match place {
                Some(place) => Pin::new(&mut place.told).poll(cx).map(drop),
                None => Poll::Pending,
            }
        });
        tokio::select! {
            biased;
            () = orphaned => Expired::Orphaned,
            () = overdue => Expired::Overdue,
        }
    }

    /// Stops a computation that has expired.
    pub(crate) fn stop(self, stopper: Stopper) {
        self.orphans.counters.cancelled.add();
        stopper.stop();
    }

    /// Lets a computation whose flight is over go on for the client that leads. Once that client has left, an overdue
    /// computation is stopped at once, and any other in its turn as an orphan.
    pub(crate) async fn outlive(mut self, mut stopper: Stopper) {
        let over = async {
            if self.expired().await == Expired::Overdue {
                poll_fn(|cx| self.presence.poll_left(cx)).await;
            }
        };
        tokio::select! {
            biased;
            () = stopper.0.closed() => return,
            () = over => {}
        }
        self.stop(stopper);
    }
}
