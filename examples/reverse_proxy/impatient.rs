//! [`Impatient`]: a body that fails where its sender is silent for too long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tower::BoxError;

pub(crate) struct Impatient<B> {
    body: B,
    timeout: Duration,
    silence: Pin<Box<Sleep>>,
    /// Whether the time runs.
    waits: bool,
}

impl<B> Impatient<B> {
    pub(crate) fn new(body: B, timeout: Duration) -> Self {
        Self {
            body,
            timeout,
            silence: Box::pin(sleep(timeout)),
            waits: false,
        }
    }
}

impl<B> Body for Impatient<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waits = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        // The time that a client takes to read is not the upstream's.
        if !this.waits {
            this.waits = true;
            let end = Instant::now().checked_add(this.timeout);
            match end {
                Some(end) => this.silence.as_mut().reset(end),
                None => return Poll::Pending,
            }
        }
        let silent = this.silence.as_mut().poll(cx);
        silent.map(|()| Some(Err("the upstream has gone silent".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
