//! [`attached`]: a task that is in the span of the request that started it, for as long as the request needs the task.
//!
//! A span stays open while a task is in it. Work that a request has begun may outlast the response. So the task leaves
//! the span when the request is answered or gone, and goes on in a span of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Span;

use crate::key::Address;
use crate::trace;

/// Puts `future`, which computes the value of `address`, into the present span until the returned guard is dropped.
pub(crate) fn attached<F: Future>(
    address: &Address,
    future: F,
) -> (impl Future<Output = F::Output> + use<F>, Attachment) {
    let span = TaskSpan::here(address);
    (span.clone().run(future), Attachment(span))
}

/// The span that a task is in. A clone is another handle on the same.
#[derive(Clone)]
pub(crate) struct TaskSpan(Arc<SharedSpan>);

struct SharedSpan {
    state: Mutex<SpanState>,
    address: Address,
}

struct SpanState {
    /// `None` once the rest of the task is of no interest.
    span: Option<Span>,
    is_polled: bool,
    /// The request that started the task was dropped while the task was polled.
    is_left: bool,
}

impl TaskSpan {
    /// The present span, for a task that computes the value of `address`.
    pub(crate) fn here(address: &Address) -> Self {
        let state = SpanState {
            span: Some(Span::current()),
            is_polled: false,
            is_left: false,
        };
        Self(Arc::new(SharedSpan {
            state: Mutex::new(state),
            address: address.clone(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, SpanState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `future` in the span.
    pub(crate) async fn run<F: Future>(self, future: F) -> F::Output {
        let end = LeaveOnDrop(&self);
        let mut future = pin!(future);
        let output = poll_fn(|cx| {
            let span = {
                let mut state = self.state();
                state.is_polled = true;
                state.span.clone().unwrap_or_else(Span::none)
            };
            let polled = span.in_scope(|| future.as_mut().poll(cx));
            let mut state = self.state();
            state.is_polled = false;
            let is_left = std::mem::take(&mut state.is_left);
            drop(state);
            if is_left && polled.is_pending() {
                self.detach();
            }
            polled
        })
        .await;
        drop(end);
        output
    }

    /// The rest of the task is of no interest.
    pub(crate) fn leave(&self) {
        let left = self.state().span.take();
        // A subscriber to spans is foreign code, which must not run while the lock is held.
        drop(left);
    }

    /// Puts the task into a span of its own.
    fn detach(&self) {
        let Some(left) = self.state().span.clone() else {
            return;
        };
        let own = trace::detached(&self.0.address, &left);
        let mut state = self.state();
        let before = state.span.as_mut().map(|span| std::mem::replace(span, own));
        drop(state);
        drop((before, left));
    }
}

/// A task that has ended, or was never begun, is in no span.
struct LeaveOnDrop<'a>(&'a TaskSpan);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Keeps a task in a span. Dropping it takes the task out.
pub(crate) struct Attachment(pub(crate) TaskSpan);

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = self.0.state();
        // A task that is polled may be about to end.
        state.is_left = state.is_polled;
        if !state.is_polled {
            drop(state);
            self.0.detach();
        }
    }
}
