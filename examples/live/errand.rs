//! [`Errand`]: a request to send.

use std::time::Duration;

/// By which way a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the layer.
    Shared,
    /// Through the layer, with the wish not to share.
    Private,
    /// To the handler.
    Bare,
}

/// One request to send.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) lane: u64,
    pub(crate) path: String,
    pub(crate) way: Way,
    pub(crate) work: Duration,
    pub(crate) fails: bool,
}
