//! [`Hearing`]: a watch that is hardly older than whoever joined the flight last.
//!
//! What a watch hears was published after it began, so it is news to those who joined before that, and to nobody else.
//! A value that is stored can be read by the others; one that is shared with those who wait at this moment cannot. So
//! while callers go on joining, one watch succeeds another, and none of them ends before its successor is in effect.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::sleep;

use super::Keeper;
use crate::codec::Codec;
use crate::memo::clock::Moment;
use crate::store::{Notice, Store, Watch};

/// How long after the first caller who came later than the watch the next one begins: those who came in about this
/// time before a value was shared are too late for it.
const SUCCESSION: Duration = Duration::from_millis(20);

pub(super) struct Hearing<'a, St: Store, C: Codec> {
    keeper: &'a Keeper<St, C>,
    present: Listener<St::Watch>,
    successor: Option<Listener<St::Watch>>,
}

struct Listener<W> {
    watch: W,
    since: Moment,
    in_effect: bool,
}

impl<'a, St: Store, C: Codec> Hearing<'a, St, C> {
    pub(super) fn start(keeper: &'a Keeper<St, C>) -> Self {
        Self {
            keeper,
            present: Listener::start(keeper),
            successor: None,
        }
    }

    /// The next notice, and when it cannot have been published yet. Cancel safe.
    pub(super) async fn next(&mut self) -> (Notice, Moment) {
        loop {
            tokio::select! {
                biased;
                notice = self.present.watch.next() => return (notice, self.present.since),
                () = prepare(self.keeper, self.present.since, &mut self.successor) => {}
            }
            // The successor has missed what was published before it was in effect.
            if let Some(notice) = at_once(&mut self.present.watch).await {
                return (notice, self.present.since);
            }
            if let Some(successor) = self.successor.take() {
                self.present = successor;
            }
        }
    }
}

impl<W: Watch> Listener<W> {
    fn start<St: Store<Watch = W>, C: Codec>(keeper: &Keeper<St, C>) -> Self {
        Self {
            since: keeper.shared.clock.tick(),
            watch: keeper.shared.store.watch(&keeper.address),
            in_effect: false,
        }
    }
}

/// Resolves once there is a successor in effect. Cancel safe.
async fn prepare<St: Store, C: Codec>(
    keeper: &Keeper<St, C>,
    since: Moment,
    successor: &mut Option<Listener<St::Watch>>,
) {
    let successor = match successor {
        Some(successor) => successor,
        None => {
            poll_fn(|cx| keeper.flight.poll_joined(since, cx)).await;
            sleep(SUCCESSION).await;
            successor.insert(Listener::start(keeper))
        }
    };
    while !successor.in_effect {
        successor.in_effect = matches!(successor.watch.next().await, Notice::Reread);
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
