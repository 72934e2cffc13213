//! [`Patience`]: how long a caller waits for the work of others.
//!
//! Neither the time that the store takes to say which process holds the lock nor the caller's own work counts: a caller
//! that is to lead leads, however short its wait timeout is. So the clock starts once the store has said that another process
//! computes, or once another caller of this process has taken the lead.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::waiter::{Turn, Waiter};

/// What is left of a caller's wait timeout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    left: Duration,
    /// In nanoseconds, which take half the room that a `Duration` does.
    waited: u64,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            left: timeout,
            waited: 0,
        }
    }

    /// How long the caller has waited so far, the time that the store took included.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited)
    }

    fn has_waited(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.waited = self.waited.saturating_add(nanos);
    }

    /// The outcome of a wait that is for the work of others from its beginning; `None` where it does not come in time.
    pub(crate) async fn bound<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        let begun = Instant::now();
        let waited = timeout(self.left, wait).await.ok();
        self.left = self.left.saturating_sub(begun.elapsed());
        self.has_waited(begun.elapsed());
        waited
    }

    /// The outcome of the wait, and how long it took. The outcome is `None` once others have worked for longer than the
    /// caller waits for them.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
    pub(crate) fn outlast<L, O: Clone>(
        &mut self,
        waiter: &mut Waiter<L, O>,
    ) -> impl Future<Output = (Option<Turn<L, O>>, Duration)> {
        async move {
            let joined = Instant::now();
            // The wait cannot be over earlier than this.
            let mut sleep = pin!(sleep_until(joined + self.left));
            // All of it moves in here: each waiter would keep what is used behind it twice.
            poll_fn(move |cx| {
                let turn = ready!(poll_turn(self.left, joined, waiter, sleep.as_mut(), cx));
                if let Some(since) = waiter.followed_since() {
                    self.left = self.left.saturating_sub(since.max(joined).elapsed());
                }
                let waited = joined.elapsed();
                self.has_waited(waited);
                Poll::Ready((turn, waited))
            })
            .await
        }
    }
}

/// The outcome of a wait that may take for so long once others work for the waiter, but not from before it `joined`.
fn poll_turn<L, O: Clone>(
    left: Duration,
    joined: Instant,
    waiter: &mut Waiter<L, O>,
    mut sleep: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Option<Turn<L, O>>> {
    loop {
        if let Poll::Ready(turn) = Pin::new(&mut *waiter).poll(cx) {
            return Poll::Ready(Some(turn));
        }
        if Instant::now() < sleep.deadline() {
            ready!(sleep.as_mut().poll(cx));
        }
        // The waiter is woken again once it is known since when others work for it.
        let Some(since) = waiter.follows_since() else {
            return Poll::Pending;
        };
        let end = since.max(joined) + left;
        if end <= Instant::now() {
            return Poll::Ready(None);
        }
        sleep.as_mut().reset(end);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::sleep;

    use super::*;
    use crate::memo::flights::clock::{Arrivals, Clock};
    use crate::memo::flights::flight::Flight;

    #[tokio::test(start_paused = true)]
    async fn one_wait_after_another_takes_no_longer_than_the_caller_waits() {
        let mut patience = Patience::new(Duration::from_secs(10));
        let wait = || sleep(Duration::from_secs(6));
        assert!(patience.bound(wait()).await.is_some());
        assert!(patience.bound(wait()).await.is_none());
        assert_eq!(patience.waited().as_secs(), 10);
        assert!(patience.bound(wait()).await.is_none());
        assert_eq!(patience.waited().as_secs(), 10);
    }

    fn first(clock: &Clock) -> (Arc<Flight<(), &'static str>>, Waiter<(), &'static str>) {
        Waiter::first(clock.tick())
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_for_others_as_long_as_its_patience_lasts() {
        const SECOND: Duration = Duration::from_secs(1);
        let clock = Clock::new();
        let began = Instant::now();
        let mut patience = Patience::new(10 * SECOND);
        let (asking, mut caller) = first(&clock);
        let store = async {
            sleep(20 * SECOND).await;
            asking.follow();
            sleep(6 * SECOND).await;
            asking.land("done", Arrivals::All);
        };
        let ((turn, waited), ()) = tokio::join!(patience.outlast(&mut caller), store);
        assert!(matches!(turn, Some(Turn::Landed("done"))));
        assert_eq!([waited, patience.waited()], [26 * SECOND; 2]);

        let (followed, _earlier) = first(&clock);
        followed.follow();
        sleep(SECOND).await;
        let mut later = Waiter::join(&followed, clock.tick()).unwrap();
        let (turn, waited) = patience.outlast(&mut later).await;
        assert!(turn.is_none());
        assert_eq!(waited, 4 * SECOND, "what was done before it came is no wait of its own");
        assert_eq!(began.elapsed(), 31 * SECOND);

        let mut patience = Patience::new(10 * SECOND);
        let mut third = Waiter::join(&followed, clock.tick()).unwrap();
        let end = async {
            sleep(8 * SECOND).await;
            followed.land("done", Arrivals::All);
        };
        let ((turn, _), ()) = tokio::join!(patience.outlast(&mut third), end);
        assert!(turn.is_some());
        let wait = Instant::now();
        assert!(patience.bound(sleep(5 * SECOND)).await.is_none());
        assert_eq!(wait.elapsed(), 2 * SECOND);
    }
}
