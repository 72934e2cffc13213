//! [`Lead`]: the right, and the duty, to compute.

use std::time::Duration;

use tokio::sync::oneshot;

use super::marking::Start;
use super::outcome::Verdict;
use crate::error::Failure;
use crate::key::Label;

/// Held by whoever computes. Dropping it without a verdict gives the computation up, and one of those who wait takes
/// over.
#[derive(Debug)]
pub(crate) struct Lead<V> {
    verdict: oneshot::Sender<Verdict<V>>,
    settled: oneshot::Receiver<()>,
    /// Since when the result may be called in, if the keeper has asked.
    pub(crate) start: Option<Start>,
}

/// The keeper's end of a [`Lead`].
#[derive(Debug)]
pub(crate) struct Led<V> {
    pub(crate) verdict: oneshot::Receiver<Verdict<V>>,
    /// Dropped once the flight has landed.
    pub(crate) settled: oneshot::Sender<()>,
}

/// Resolves once the verdict has reached the store and everybody who waits.
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
        let (settled, settled_rx) = oneshot::channel();
        let lead = Self {
            verdict: verdict_tx,
            settled: settled_rx,
            start,
        };
        (lead, Led { verdict, settled })
    }

    pub(crate) fn store(self, value: V, ttl: Duration, labels: Vec<Label>) -> Settled {
        let start = self.start;
        self.say(Verdict::Store(value, ttl, start, labels))
    }

    pub(crate) fn share(self, value: V, labels: Vec<Label>) -> Settled {
        let start = self.start;
        self.say(Verdict::Share(value, start, labels))
    }

    /// With `marker`, that is remembered for as long as it says.
    #[cfg(feature = "http")]
    pub(crate) fn pass(self, marker: Option<(V, Duration)>) -> Settled {
        self.say(Verdict::Pass(marker))
    }

    #[cfg(feature = "http")]
    pub(crate) fn stale(self) -> Settled {
        self.say(Verdict::Stale)
    }

    /// As if this had never led.
    #[cfg(feature = "http")]
    pub(crate) fn withdraw(self) -> Settled {
        self.say(Verdict::Withdraw)
    }

    pub(crate) fn fail(self, failure: Failure) -> Settled {
        self.say(Verdict::Fail(failure))
    }

    fn say(self, verdict: Verdict<V>) -> Settled {
        // A keeper that is gone has landed its flight.
        let _ = self.verdict.send(verdict);
        Settled(self.settled)
    }
}
