//! [`RecordingItem`]: what a reader of a recording gets.

use bytes::Bytes;
use http_body::Frame;

use super::trial::Trial;
use crate::error::BoxError;
use crate::middleware::inner::InnerBody;

/// What the reader gets, in this order: frames, then one of the others.
pub(crate) enum RecordingItem {
    Frame(Frame<Bytes>),
    End,
    Failed(BoxError),
    /// A limit is passed. This is the rest of the inner body, and the trial that is to watch it.
    Rest(InnerBody, Option<Box<Trial>>),
}
