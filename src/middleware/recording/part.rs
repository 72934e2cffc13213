//! [`BodySource`]: what a body is read from that comes part by part.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::trial::Trial;
use crate::attached::Attachment;
use crate::error::BoxError;
use crate::memo::Present;
use crate::middleware::inner::InnerBody;

/// A body that comes part by part.
pub(crate) trait BodySource: Send + Sync {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<RecordingItem>;

    fn is_at_end(&self) -> bool {
        false
    }

    /// How many bytes are still to come.
    fn remaining(&self) -> SizeHint;

    /// The client of a computation reads the body: the computation counts as wanted until the client has read it, or gone. The
    /// span of its task lasts as long as `attachment`.
    fn read_by(&mut self, client: Option<Present>, attachment: Attachment) {
        drop(attachment);
        client.into_iter().for_each(Present::settle);
    }
}

/// What the reader gets, in this order: frames, then one of the others.
pub(crate) enum RecordingItem {
    Frame(Frame<Bytes>),
    End,
    Failed(BoxError),
    /// A limit is passed. This is the rest of the inner body, and the trial that is to watch it.
    Rest(InnerBody, Option<Box<Trial>>),
}
