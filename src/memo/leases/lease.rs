//! [`Lease`]: the lock of a computation that extends it by hand.

pub(crate) mod own;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::error::StoreError;

/// How long a computation has before another caller takes over, if it has [taken](Self::take) its lease.
///
/// Only the computation extends the lease then. There may be no lease that could end, because the store could not be
/// asked for one or has taken it back. Then the result goes to the waiters in this process, however long it takes:
/// [`extend`](Self::extend) does nothing, and [`remaining`](Self::remaining) is [`Duration::MAX`].
#[derive(Debug, Clone)]
pub struct Lease {
    /// `None` where nothing ends.
    hand: Option<Hand>,
}

#[derive(Debug, Clone)]
struct Hand {
    extensions: mpsc::Sender<Extension>,
    end: watch::Receiver<LeaseEnd>,
}

/// When a lease ends, by the clock of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LeaseEnd {
    /// The keeper has not said yet.
    Unknown,
    At(Instant),
    Never,
}

/// What the computation asks of the keeper.
#[derive(Debug)]
pub(crate) struct Extension {
    pub(crate) by: Duration,
    pub(crate) answer: oneshot::Sender<Result<(), LeaseError>>,
}

/// The keeper's end of a [`Lease`].
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) extensions: mpsc::Receiver<Extension>,
    pub(crate) end: watch::Sender<LeaseEnd>,
}

impl Lease {
    /// A lease that does not end.
    pub(crate) fn endless() -> Self {
        Self { hand: None }
    }

    pub(crate) fn new() -> (Self, Handed) {
        let (sender, extensions) = mpsc::channel(1);
        let (end_tx, end) = watch::channel(LeaseEnd::Unknown);
        let hand = Hand {
            extensions: sender,
            end,
        };
        let handed = Handed {
            extensions,
            end: end_tx,
        };
        (Self { hand: Some(hand) }, handed)
    }

    /// The same, once its end is known.
    pub(crate) async fn begun(mut self) -> Self {
        if let Some(hand) = &mut self.hand {
            // A keeper that is gone has lost the lease. The caller that extends the lease is told so.
            let _ = hand.end.wait_for(|end| !matches!(end, LeaseEnd::Unknown)).await;
        }
        self
    }

    /// Makes the lease last at least `by` from now. It is never made shorter.
    ///
    /// `Ok` says that a waiter still wants the result.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Lost`] once the lease has ended by the clock of this process, even if its lock is still there; and
    /// where the lock is not ours any more, because of an [`invalidate`](crate::MemoLock::invalidate) or another
    /// program. [`LeaseError::Store`] where the store did not answer: the lease then goes on until its present end.
    pub async fn extend(&self, by: Duration) -> Result<(), LeaseError> {
        let Some(hand) = &self.hand else {
            return Ok(());
        };
        loop {
            let (answer, answered) = oneshot::channel();
            let sent = hand.extensions.send(Extension { by, answer }).await;
            sent.map_err(|_| LeaseError::Lost)?;
            // A keeper that was interrupted is asked again; a keeper that is gone takes no question.
            if let Ok(result) = answered.await {
                return result;
            }
        }
    }

    /// How long the lease lasts from now, by the clock of this process; zero once it has ended.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let Some(hand) = &self.hand else {
            return Duration::MAX;
        };
        if hand.end.has_changed().is_err() {
            return Duration::ZERO;
        }
        match *hand.end.borrow() {
            LeaseEnd::Unknown => Duration::ZERO,
            LeaseEnd::At(end) => end.saturating_duration_since(Instant::now()),
            LeaseEnd::Never => Duration::MAX,
        }
    }
}

/// Why [`Lease::extend`] did not extend the lease.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The lease has ended or was taken away. Another caller may be computing the same already, and nothing of this
    /// computation is stored or shared any more.
    #[error(
        "the lease has ended or was taken away: another caller takes over, and the result will not be stored; stop computing"
    )]
    Lost,
    /// The store could not be asked. The lease still lasts as long as it did.
    #[error("the store could not be asked to extend the lease, which keeps its end; try again before that")]
    Store(#[source] StoreError),
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const BY: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_lease_lasts_as_long_as_its_keeper_says() {
        let (lease, handed) = Lease::new();
        assert_eq!(lease.remaining(), Duration::ZERO);
        let mut begun = pin!(lease.begun());
        assert!(
            begun
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        handed.end.send_replace(LeaseEnd::At(Instant::now() + BY));
        let lease = begun.await;
        assert_eq!(lease.remaining(), BY);
        handed.end.send_replace(LeaseEnd::Never);
        assert_eq!(lease.remaining(), Duration::MAX);
        drop(handed);
        assert_eq!(lease.remaining(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_keeper_that_is_gone_keeps_no_caller_waiting() {
        let (lease, handed) = Lease::new();
        drop(handed);
        let lease = lease.begun().await;
        assert!(matches!(lease.extend(BY).await, Err(LeaseError::Lost)));
        assert_eq!(lease.remaining(), Duration::ZERO);
        let endless = Lease::endless().begun().await;
        assert!(endless.extend(BY).await.is_ok());
        assert_eq!(endless.remaining(), Duration::MAX);
    }

    #[tokio::test]
    async fn a_keeper_that_was_interrupted_is_asked_again() {
        let (lease, mut handed) = Lease::new();
        let extending = tokio::spawn(async move { lease.extend(BY).await });
        drop(handed.extensions.recv().await.unwrap());
        let again = handed.extensions.recv().await.unwrap();
        assert_eq!(again.by, BY);
        again.answer.send(Err(LeaseError::Lost)).unwrap();
        assert!(matches!(extending.await.unwrap(), Err(LeaseError::Lost)));
    }
}
