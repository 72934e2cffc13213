//! A body that many read while it grows: one producer, any number of readers, each from the beginning.
//!
//! All readers read the same [pieces](Pieces). Once the body is whole the pieces give way to the content in one piece,
//! the one that is stored, so that a slow reader keeps no second copy alive. Only [`Producer::finish`] ends a body. A
//! producer that is dropped before that breaks the body off: every reader gets an error at once, wherever it has got
//! to, except a reader to the last.
//!
//! Where a body is not to be kept as a whole, the producer lets go all that is further back than a *window*. A reader
//! that has not read the bytes that were let go gets an error. Bytes that a reader to the last has not read stay, and
//! the producer waits for that reader. Such a body ends with [`Producer::finish_passing`].
//!
//! All transitions are synchronous and happen under one lock; wakers are woken and pieces dropped outside it.
//! `tests/loom` explores the interleavings: no lost wake-up, no piece missed or read twice, no end but the true one.

use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use slab::Slab;

use super::pieces::{Pieces, Position};
use super::sync::{Arc, Mutex, MutexGuard};

/// The body, and its readers. `T` is the type of what comes after the content.
pub(crate) struct Broadcast<T> {
    state: Mutex<AudienceState<T>>,
}

struct AudienceState<T> {
    body: Body<T>,
    readers: Slab<ReaderSeat>,
    /// How many readers get an error where the body breaks off.
    followers: usize,
    /// The producer, if it wants to hear that the last follower has left, or how far the readers have got.
    producer: Option<Waker>,
}

/// What is known of one reader.
struct ReaderSeat {
    waker: Option<Waker>,
    /// How many bytes it has read.
    bytes: usize,
    until_the_last: bool,
    /// Whether the producer waits for it, as for a reader to the last.
    holds: bool,
}

enum Body<T> {
    /// As far as it has come.
    Growing(Pieces),
    Whole(Bytes, T),
    /// Whole, with the bytes that were not let go.
    Past(Pieces, T),
    /// With the bytes that had come.
    BrokenOff(Pieces),
}

/// What a reader gets, in this order: data, then one of the others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BroadcastItem<T> {
    Data(Bytes),
    End(T),
    BrokenOff,
}

impl<T> Broadcast<T> {
    /// An empty body, and its producer.
    pub(crate) fn new() -> (Producer<T>, Arc<Self>) {
        let audience = Arc::new(Self {
            state: Mutex::new(AudienceState {
                body: Body::Growing(Pieces::default()),
                readers: Slab::new(),
                followers: 0,
                producer: None,
            }),
        });
        (Producer(Arc::clone(&audience)), audience)
    }

    fn state(&self) -> MutexGuard<'_, AudienceState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a reader from the beginning would get an error.
    pub(crate) fn has_broken_off(&self) -> bool {
        match &self.state().body {
            Body::Growing(pieces) | Body::Past(pieces, _) => pieces.has_lost(0),
            Body::Whole(..) => false,
            Body::BrokenOff(_) => true,
        }
    }

    /// A reader from the beginning.
    pub(crate) fn join(audience: &Arc<Self>) -> Reader<T> {
        let mut state = audience.state();
        state.followers += 1;
        let id = state.readers.insert(ReaderSeat {
            waker: None,
            bytes: 0,
            until_the_last: false,
            holds: false,
        });
        drop(state);
        Reader {
            audience: Arc::clone(audience),
            id,
            place: Position::default(),
        }
    }

    /// Changes the body and wakes the readers that wait for that.
    fn change<R>(&self, change: impl FnOnce(&mut Body<T>) -> R) -> R {
        let mut state = self.state();
        let changed = change(&mut state.body);
        let seats = state.readers.iter_mut();
        let wakers: Vec<_> = seats.filter_map(|(_, seat)| seat.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        changed
    }
}

/// Makes the body grow. Dropping the producer breaks the body off, unless the body is finished.
pub(crate) struct Producer<T>(Arc<Broadcast<T>>);

impl<T> Producer<T> {
    /// Adds a piece. Returns how many bytes more are held.
    pub(crate) fn push(&self, piece: Bytes) -> usize {
        if piece.is_empty() {
            return 0;
        }
        self.0.change(|body| match body {
            Body::Growing(pieces) => pieces.push(piece),
            Body::Whole(..) | Body::Past(..) | Body::BrokenOff(_) => 0,
        })
    }

    /// Adds a piece, and lets go all that is more than `window` bytes back, except bytes that a reader to the last has
    /// not read.
    pub(crate) fn push_on(&self, piece: Bytes, window: usize) {
        self.push(piece);
        let mut state = self.0.state();
        let read = state.waited_for();
        let Body::Growing(pieces) = &mut state.body else {
            return;
        };
        let place = pieces.length().saturating_sub(window);
        let gone = pieces.let_go(read.map_or(place, |read| place.min(read)));
        drop(state);
        drop(gone);
    }

    /// Ready, once there is a reader that has read all there is, and no reader to the last is `window` bytes behind.
    pub(crate) fn poll_wanted(&self, window: usize, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.0.state();
        let Body::Growing(pieces) = &state.body else {
            return Poll::Ready(());
        };
        let length = pieces.length();
        let is_read = state.readers.iter().any(|(_, seat)| seat.bytes >= length);
        let has_room = state.waited_for().is_none_or(|read| length - read < window.max(1));
        if is_read && has_room {
            return Poll::Ready(());
        }
        Broadcast::wait(state, cx)
    }

    /// Whether there is a follower.
    pub(crate) fn is_followed(&self) -> bool {
        self.0.state().followers > 0
    }

    /// All there is so far, in one piece.
    pub(crate) fn content(&self) -> Bytes {
        let state = self.0.state();
        let Body::Growing(pieces) = &state.body else {
            return Bytes::new();
        };
        let so_far = pieces.clone();
        drop(state);
        so_far.content()
    }

    /// Ready, once no follower reads along.
    pub(crate) fn poll_unfollowed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.0.state();
        if state.followers == 0 {
            return Poll::Ready(());
        }
        Broadcast::wait(state, cx)
    }

    /// The body is whole: `content` is all its pieces in one.
    pub(crate) fn finish(self, content: Bytes, rest: T) {
        drop(
            self.0
                .change(|body| std::mem::replace(body, Body::Whole(content, rest))),
        );
    }

    /// The body is whole, although a part of it was let go.
    pub(crate) fn finish_passing(self, rest: T) {
        self.0.change(|body| {
            if let Body::Growing(pieces) = body {
                *body = Body::Past(std::mem::take(pieces), rest);
            }
        });
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.0.change(|body| {
            if let Body::Growing(pieces) = body {
                *body = Body::BrokenOff(std::mem::take(pieces));
            }
        });
    }
}

/// Reads the body. Dropping it leaves the audience.
pub(crate) struct Reader<T> {
    audience: Arc<Broadcast<T>>,
    id: usize,
    place: Position,
}

impl<T> Reader<T> {
    /// The same, as a reader to the last, which gets all that had come of a body that broke off. It is no follower.
    pub(crate) fn until_the_last(self) -> Self {
        let mut state = self.audience.state();
        if !std::mem::replace(&mut state.readers[self.id].until_the_last, true) {
            let producer = state.unfollow();
            drop(state);
            wake(producer);
        } else {
            drop(state);
        }
        self
    }

    /// The same, as a reader that the producer waits for although it is a follower.
    pub(crate) fn holding(self) -> Self {
        self.audience.state().readers[self.id].holds = true;
        self
    }
}

impl<T: Clone> Reader<T> {
    /// What comes next. After the end it is the end again.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<BroadcastItem<T>> {
        let mut state = self.audience.state();
        let ReaderSeat {
            bytes, until_the_last, ..
        } = state.readers[self.id];
        let data = match &state.body {
            Body::Growing(pieces) | Body::Past(pieces, _) if pieces.has_lost(bytes) => {
                return Poll::Ready(BroadcastItem::BrokenOff);
            }
            Body::Growing(pieces) => pieces.next(&mut self.place),
            Body::Past(pieces, rest) => match pieces.next(&mut self.place) {
                Some(data) => Some(data),
                None => return Poll::Ready(BroadcastItem::End(rest.clone())),
            },
            Body::Whole(content, _) if bytes < content.len() => Some(content.slice(bytes..)),
            Body::Whole(_, rest) => return Poll::Ready(BroadcastItem::End(rest.clone())),
            Body::BrokenOff(pieces) => match pieces.next(&mut self.place).filter(|_| until_the_last) {
                Some(data) => Some(data),
                None => return Poll::Ready(BroadcastItem::BrokenOff),
            },
        };
        if let Some(data) = data {
            state.readers[self.id].bytes += data.len();
            let producer = state.producer.take();
            drop(state);
            wake(producer);
            return Poll::Ready(BroadcastItem::Data(data));
        }
        let waker = &mut state.readers[self.id].waker;
        let mut before = None;
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            before = waker.replace(cx.waker().clone());
        }
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut state = self.audience.state();
        let seat = state.readers.remove(self.id);
        let producer = match seat.until_the_last {
            // The producer may have waited for it.
            true => state.producer.take(),
            false => state.unfollow(),
        };
        drop(state);
        drop(seat);
        wake(producer);
    }
}

impl<T> AudienceState<T> {
    /// One follower less. The caller wakes the waker that is returned, if any.
    fn unfollow(&mut self) -> Option<Waker> {
        self.followers -= 1;
        self.producer.take()
    }

    /// How far the slowest reader has got for which the producer waits.
    fn waited_for(&self) -> Option<usize> {
        let seats = self.readers.iter().map(|(_, seat)| seat);
        let seats = seats.filter(|seat| seat.until_the_last || seat.holds);
        seats.map(|seat| seat.bytes).min()
    }
}

impl<T> Broadcast<T> {
    /// Has the producer woken once a reader has read on or left.
    fn wait(mut state: MutexGuard<'_, AudienceState<T>>, cx: &mut Context<'_>) -> Poll<()> {
        let before = state.producer.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
