//! [`Lead`]: the right, and the duty, to compute.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::flights::clock::Tick;
use super::flights::custody::{Presence, Present, Stop, Stopper};
use super::flights::flight::Flight;
use super::flights::waiter::Waiter;
use super::leases::lease::Handed;
use super::leases::lease::own::OwnLease;
use super::marking::Start;
use super::outcome::{Attribution, Landed, Past, Preview, Verdict};
use super::stream::Outgoing;
use crate::error::Failure;
use crate::key::Label;

/// How long a computation, or what follows it, waits for a watch in effect, from which on it misses nothing published. A
/// value that is stored is found anyway.
pub(crate) const DEAF: Duration = Duration::from_secs(1);

/// All callers in this process that wait for one value.
pub(crate) type MemoFlight<V> = Flight<Lead<V>, Arc<Landed<V>>>;

pub(crate) type MemoWaiter<V> = Waiter<Lead<V>, Arc<Landed<V>>>;

/// Why a computation has no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unleased {
    /// The store could not be asked, or refused.
    Store,
    /// Another program has a lock that does not end.
    Lock,
    /// The process is about to stop.
    Leaving,
}

/// Held by the leader. Dropping it without a verdict gives the computation up, and one of the waiters takes
/// over.
#[derive(Debug)]
pub(crate) struct Lead<V> {
    verdict: oneshot::Sender<Verdict<V>>,
    settled: oneshot::Receiver<()>,
    manner: Option<oneshot::Sender<Manner>>,
    /// The client that leads, unless it was taken out. It counts as present as long as this is there.
    client: Option<Present>,
    stop: Stop,
    /// Where the leader says in which trace it computes.
    pub(crate) by: Attribution,
    /// The flight whose lead this is.
    pub(crate) flight: Weak<MemoFlight<V>>,
    /// The generation from which on an invalidation concerns the result, if the keeper has asked for it.
    pub(crate) start: Option<Start>,
    /// When the leader came.
    pub(crate) arrived: Tick,
    /// Whether the lock was ours when the lead was offered.
    pub(crate) held: bool,
    /// Why the lock was not ours, if it was not.
    pub(crate) unleased: Option<Unleased>,
    /// The attempts in vain that the leader has waited for.
    pub(crate) past: Past,
    /// A waiter that arrived before this moment has waited for the attempts in `past`, as far as the keeper knows.
    pub(crate) witnesses: Tick,
}

/// How the keeper is to see to a computation, apart from keeping its lease.
#[derive(Debug)]
pub(crate) enum Manner {
    /// The computation keeps its lease itself.
    ByHand(Handed),
    /// The value may come from outside. The keeper answers once it misses nothing that is published.
    Listening(oneshot::Sender<()>),
}

/// The keeper's end of a [`Lead`].
#[derive(Debug)]
pub(crate) struct Led<V> {
    pub(crate) expected: PendingVerdict<V>,
    pub(crate) manner: oneshot::Receiver<Manner>,
    /// Dropped once the flight has landed.
    pub(crate) settled: oneshot::Sender<()>,
    /// The clients that need the computation besides the waiters.
    pub(crate) presence: Arc<Presence>,
    pub(crate) stopper: Stopper,
}

/// What a [`Lead`] leads to.
#[derive(Debug)]
pub(crate) struct PendingVerdict<V> {
    pub(crate) verdict: oneshot::Receiver<Verdict<V>>,
    /// What the waiters may have before the verdict.
    pub(crate) preview: Option<Box<Preview<V>>>,
}

/// Resolves once the verdict has reached the store and all waiters.
pub(crate) struct Settled(oneshot::Receiver<()>);

impl Settled {
    pub(crate) async fn wait(self) {
        // The sender is only ever dropped.
        let _ = self.0.await;
    }
}

impl<V> Lead<V> {
    pub(crate) fn new(start: Option<Start>) -> (Self, Led<V>) {
        let (verdict_tx, verdict) = oneshot::channel();
        let (manner_tx, manner) = oneshot::channel();
        let (settled, settled_rx) = oneshot::channel();
        let presence = Arc::new(Presence::default());
        let (stopper, stop) = Stop::new();
        let lead = Self {
            verdict: verdict_tx,
            settled: settled_rx,
            manner: Some(manner_tx),
            client: Some(presence.enter()),
            stop,
            by: Attribution::default(),
            flight: Weak::new(),
            start,
            arrived: Tick::START,
            held: false,
            unleased: None,
            past: Past::default(),
            witnesses: Tick::START,
        };
        let led = Led {
            expected: PendingVerdict { verdict, preview: None },
            manner,
            settled,
            presence,
            stopper,
        };
        (lead, led)
    }

    /// Whether no waiter gets the result any more: the lease was lost during the computation, or the call has taken too
    /// long.
    pub(crate) fn is_over(&self) -> bool {
        self.verdict.is_closed()
    }

    /// The client that leads, to be held as long as it wants the result, and what the computation has to run under.
    pub(crate) fn custody(&mut self) -> (Option<Present>, Stop) {
        (self.client.take(), self.stop.take())
    }

    /// No caller waits for the computation, and it is to go on all the same.
    pub(crate) fn in_background(&mut self) {
        if let Some(client) = self.client.take() {
            client.settle();
        }
    }

    /// The lease, for the computation to take out of the keeper's hands.
    pub(crate) fn lease(&mut self) -> OwnLease {
        let manner = self.manner.take();
        OwnLease::new(|handed| {
            // A keeper that is gone has landed its flight.
            let _ = manner.map(|manner| manner.send(Manner::ByHand(handed)));
        })
    }

    /// Returns once a value that others publish from here on reaches the waiters. A computation that has the value made
    /// elsewhere calls this first: otherwise it may miss a value that is published and not stored.
    pub(crate) async fn listen(&mut self) {
        if let Some(manner) = self.manner.take() {
            let (listens, listening) = oneshot::channel();
            let _ = manner.send(Manner::Listening(listens));
            let _ = timeout(DEAF, listening).await;
        }
    }

    /// The value is being made elsewhere, and is yet to be resolved. All waiters go on waiting, in this process
    /// and every other. The leader is one of them again only if it has joined them before: see
    /// [`step_down`](super::shared::Shared::step_down).
    pub(crate) fn defer(self) -> Settled {
        self.say(Verdict::Defer)
    }

    /// Lets waiters have `value` before the verdict, as soon as it is known that nothing was invalidated before they
    /// came; `labels` are those that the verdict will have. Waiters in other processes get what is `outgoing`.
    pub(crate) fn preview(self, value: V, labels: Vec<Label>, outgoing: Option<Outgoing>) -> Self {
        let (verdict, rest) = oneshot::channel();
        let start = self.start;
        let preview = Preview {
            value,
            start,
            labels,
            outgoing,
        };
        // A keeper that is gone has landed its flight.
        let _ = self.verdict.send(Verdict::Preview(preview, rest));
        Self { verdict, ..self }
    }

    pub(crate) fn store(self, value: V, ttl: Duration, labels: Vec<Label>) -> Settled {
        let start = self.start;
        self.say(Verdict::Store(value, ttl, start, labels))
    }

    pub(crate) fn share(self, value: V, labels: Vec<Label>) -> Settled {
        let start = self.start;
        self.say(Verdict::Share(value, start, labels))
    }

    /// A `marker` is remembered for as long as it says.
    pub(crate) fn pass(self, marker: Option<(V, Duration)>) -> Settled {
        self.say(Verdict::Pass(marker))
    }

    /// There is no room here for a result that others could have. Other processes may have room.
    pub(crate) fn crowded_out(self) -> Settled {
        self.say(Verdict::CrowdedOut)
    }

    pub(crate) fn stale(self) -> Settled {
        self.say(Verdict::Stale)
    }

    /// As if this caller had never led.
    pub(crate) fn withdraw(self) -> Settled {
        self.say(Verdict::Withdraw)
    }

    /// The result belongs to the leader. One of the waiters tries next.
    pub(crate) fn decline(self, failed: bool) -> Settled {
        self.say(Verdict::Decline { failed })
    }

    pub(crate) fn fail(self, failure: Failure) -> Settled {
        self.say(Verdict::Fail(failure))
    }

    /// The attempts that the leader has waited for in vain, where it knows of `known`. Attempts from before it arrived
    /// say nothing of its own.
    pub(crate) fn past_of(&self, known: Past) -> Past {
        match self.arrived < self.witnesses {
            true => known.or(self.past),
            false => known,
        }
    }

    fn say(self, verdict: Verdict<V>) -> Settled {
        // A keeper that is gone has landed its flight.
        let _ = self.verdict.send(verdict);
        Settled(self.settled)
    }
}
