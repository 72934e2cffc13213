//! A body of which a part was read ahead.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::middleware::frames::into_bytes;

/// A request body that [`BodyKey`](super::BodyKey) or [`GrpcKey`](super::GrpcKey) has looked into: whatever was read for the key comes first, then
/// the rest, with the trailers or the error it ends in.
///
/// Where the key did not need the body, this is the body as it came.
pub struct BufferedBody<B: Body> {
    prefix: Bytes,
    next: Option<Result<Frame<Bytes>, B::Error>>,
    rest: Option<B>,
}

impl<B: Body> BufferedBody<B> {
    /// A body of which nothing was read.
    pub(super) fn unread(body: B) -> Self {
        Self {
            prefix: Bytes::new(),
            next: None,
            rest: Some(body),
        }
    }

    /// A body of which all was read.
    pub(super) fn complete(prefix: Bytes) -> Self {
        Self {
            prefix,
            next: None,
            rest: None,
        }
    }

    /// A body of which `prefix` was read.
    pub(super) fn begun(prefix: Bytes, rest: B) -> Self {
        Self {
            prefix,
            next: None,
            rest: Some(rest),
        }
    }

    /// A body that was read up to and including `next`.
    pub(super) fn partial(prefix: Bytes, next: Result<Frame<Bytes>, B::Error>, rest: B) -> Self {
        Self {
            prefix,
            next: Some(next),
            rest: Some(rest),
        }
    }
}

// Only `rest` is ever pinned.
impl<B: Body + Unpin> Unpin for BufferedBody<B> {}

impl<B: Body + Unpin> Body for BufferedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if !this.prefix.is_empty() {
            let prefix = std::mem::take(&mut this.prefix);
            return Poll::Ready(Some(Ok(Frame::data(prefix))));
        }
        if let Some(next) = this.next.take() {
            if next.is_err() {
                this.rest = None;
            }
            return Poll::Ready(Some(next));
        }
        match &mut this.rest {
            Some(rest) => Pin::new(rest)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map(into_bytes))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_empty() && self.next.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut buffered = self.prefix.len() as u64;
        if let Some(Ok(frame)) = &self.next {
            buffered += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        let mut hint = self
            .rest
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(buffered));
        }
        hint.set_lower(hint.lower().saturating_add(buffered));
        hint
    }
}

impl<B: Body> fmt::Debug for BufferedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedBody")
            .field("buffered", &self.prefix.len())
            .finish_non_exhaustive()
    }
}
