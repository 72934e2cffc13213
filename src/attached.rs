//! [`attached`]: a task that belongs to the span of the one who started it for as long as that one needs it.
//!
//! A span stays open while a task is in it. What a request has begun may outlast its response, so the task leaves the span
//! when the request is answered or gone, and goes on in none.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Span;

/// Puts `future` into the present span until what comes with it is dropped.
pub(crate) fn attached<F: Future>(future: F) -> (impl Future<Output = F::Output>, Attachment) {
    let span = Arc::new(Mutex::new(Span::current()));
    let attachment = Attachment(Arc::clone(&span));
    let attached = async move {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let present = span.lock().unwrap_or_else(PoisonError::into_inner).clone();
            present.in_scope(|| future.as_mut().poll(cx))
        })
        .await
    };
    (attached, attachment)
}

/// Keeps a task in a span. Dropping it takes the task out.
pub(crate) struct Attachment(Arc<Mutex<Span>>);

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut span = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = std::mem::replace(&mut *span, Span::none());
        drop(span);
        // What listens to spans is not ours, and is not to be waited for with the lock held.
        drop(left);
    }
}
