//! [`Line`]: where callers at a limit wait for their turn to compute.
//!
//! There is one line for all keys: two of the three limits are reached by many keys together, and with a line of its
//! own each key would have turns of its own. A caller leaves the line without a turn as soon as it needs none, because
//! its value is there or because there is room below the limit.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// How many callers stand in line at most, so that it does not grow without bound.
const MOST_IN_LINE: usize = 65_536;

/// The callers beyond the limits, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Line {
    turns: Arc<Semaphore>,
    places: Semaphore,
}

/// The right to compute although a limit is reached, as long as it is held.
#[derive(Debug)]
pub(crate) struct QueueTurn {
    _permit: OwnedSemaphorePermit,
}

impl Line {
    /// For this many calls at a time.
    pub(crate) fn new(calls: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS))),
            places: Semaphore::new(MOST_IN_LINE),
        }
    }

    /// A place in line, unless it is too long.
    pub(crate) fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// A turn, in the order of the calls, and whether the caller had to wait for it.
    pub(crate) async fn turn(&self) -> Option<(QueueTurn, bool)> {
        let turns = &self.turns;
        let (permit, waited) = match Arc::clone(turns).try_acquire_owned() {
            Ok(permit) => (permit, false),
            Err(_) => (Arc::clone(turns).acquire_owned().await.ok()?, true),
        };
        Some((QueueTurn { _permit: permit }, waited))
    }
}

/// Tells those in line that there may be room below a limit: one of them at a time, which passes the word on.
#[derive(Debug, Default)]
pub(crate) struct Room(Notify);

impl Room {
    pub(crate) fn tell(&self) {
        self.0.notify_one();
    }

    /// Resolves once something has become free and there is room, which the caller takes next.
    pub(crate) async fn free(&self, has_room: impl Fn() -> bool) {
        loop {
            self.0.notified().await;
            if has_room() {
                break self.tell();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn word_of_room_is_passed_on_as_long_as_there_is_some() {
        let (room, places) = (Room::default(), AtomicUsize::new(0));
        let caller = || async {
            room.free(|| places.load(Ordering::Relaxed) > 0).await;
            places.fetch_sub(1, Ordering::Relaxed);
        };
        let callers = async { tokio::join!(caller(), caller()) };
        let free = async {
            places.store(2, Ordering::Relaxed);
            room.tell();
        };
        let both = timeout(Duration::from_secs(1), async { tokio::join!(callers, free) });
        assert!(both.await.is_ok());
        assert_eq!(places.load(Ordering::Relaxed), 0);
        let third = timeout(Duration::from_secs(1), caller());
        assert!(third.await.is_err(), "there is no room");
    }

    #[tokio::test]
    async fn a_caller_in_line_is_told_whether_it_had_to_wait() {
        let line = Line::new(1);
        let (turn, waited) = line.turn().await.unwrap();
        assert!(!waited);
        let mut next = pin!(line.turn());
        assert!(poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await);
        drop(turn);
        assert!(next.await.unwrap().1);
        assert!(Line::new(usize::MAX).turn().await.is_some());
    }
}
