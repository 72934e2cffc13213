//! A body that many read while it grows: one producer, any number of readers, each from the beginning.
//!
//! All read the same pieces. Once the body is whole the pieces give way to the content in one piece, the one that is
//! stored, so that a slow reader keeps no second copy alive. A producer that is dropped before breaks the body off, and
//! that is an error to every reader, at once and wherever it has got to: only [`Producer::finish`] ends a body.
//!
//! All transitions are synchronous and happen under one lock; wakers are woken and pieces dropped outside it.
//! `tests/loom.rs` explores the interleavings: no lost wake-up, no piece missed or read twice, no end but the true one.

use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use slab::Slab;

use super::sync::{Arc, Mutex, MutexGuard};

/// The body, and those who wait for more of it. `T` is what comes after the content.
pub(crate) struct Audience<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    body: Body<T>,
    waiting: Slab<Option<Waker>>,
}

enum Body<T> {
    /// As far as it has come, in pieces none of which is empty.
    Growing(Vec<Bytes>),
    Whole(Bytes, T),
    BrokenOff,
}

/// What a reader gets, in this order: data, then one of the others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    Data(Bytes),
    End(T),
    BrokenOff,
}

impl<T> Audience<T> {
    /// An empty body, and who makes it grow.
    pub(crate) fn new() -> (Producer<T>, Arc<Self>) {
        let audience = Arc::new(Self {
            state: Mutex::new(State {
                body: Body::Growing(Vec::new()),
                waiting: Slab::new(),
            }),
        });
        (Producer(Arc::clone(&audience)), audience)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the body broke off.
    pub(crate) fn has_broken_off(&self) -> bool {
        matches!(self.state().body, Body::BrokenOff)
    }

    /// Somebody who reads from the beginning.
    pub(crate) fn join(audience: &Arc<Self>) -> Reader<T> {
        Reader {
            audience: Arc::clone(audience),
            id: audience.state().waiting.insert(None),
            pieces: 0,
            bytes: 0,
        }
    }

    /// Changes the body and wakes those who wait for that.
    fn change(&self, change: impl FnOnce(&mut Body<T>) -> Option<Body<T>>) {
        let mut state = self.state();
        let replaced = change(&mut state.body);
        let wakers: Vec<_> = state.waiting.iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        drop(state);
        drop(replaced);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Who makes the body grow. Dropping it breaks the body off, unless that is finished.
pub(crate) struct Producer<T>(Arc<Audience<T>>);

impl<T> Producer<T> {
    /// Adds a piece.
    pub(crate) fn push(&self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.0.change(|body| {
            if let Body::Growing(pieces) = body {
                pieces.push(piece);
            }
            None
        });
    }

    /// The body is whole: `content` is all its pieces in one.
    pub(crate) fn finish(self, content: Bytes, rest: T) {
        self.0
            .change(|body| Some(std::mem::replace(body, Body::Whole(content, rest))));
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.0.change(|body| match body {
            Body::Growing(_) => Some(std::mem::replace(body, Body::BrokenOff)),
            Body::Whole(..) | Body::BrokenOff => None,
        });
    }
}

/// One of those who read. Dropping it leaves the audience.
pub(crate) struct Reader<T> {
    audience: Arc<Audience<T>>,
    id: usize,
    /// How many pieces it has read.
    pieces: usize,
    /// How many bytes these are.
    bytes: usize,
}

impl<T: Clone> Reader<T> {
    /// What comes next. Asked again after the end, it says the same.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<T>> {
        let mut state = self.audience.state();
        let data = match &state.body {
            Body::Growing(pieces) => pieces.get(self.pieces).cloned(),
            Body::Whole(content, _) if self.bytes < content.len() => Some(content.slice(self.bytes..)),
            Body::Whole(_, rest) => return Poll::Ready(Next::End(rest.clone())),
            Body::BrokenOff => return Poll::Ready(Next::BrokenOff),
        };
        if let Some(data) = data {
            self.pieces += 1;
            self.bytes += data.len();
            return Poll::Ready(Next::Data(data));
        }
        let waker = &mut state.waiting[self.id];
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
        let waker = self.audience.state().waiting.remove(self.id);
        drop(waker);
    }
}
