//! The handler's own response, where it leaves the response to a worker.

use http::{Response, response};

use crate::middleware::MemoControl;
use crate::middleware::inner::InnerBody;
use crate::middleware::respond::body::ReplyBody;

/// Marks the handler's own response on its way to its own client, which waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deferred;

/// Whether this is not the response.
pub(super) fn is_deferred(head: &response::Parts) -> bool {
    let control = head.extensions.get::<MemoControl>();
    control.is_some_and(|control| control.deferred)
}

/// The handler's own response, for its own client.
pub(super) fn own(mut head: response::Parts, body: InnerBody) -> Response<ReplyBody> {
    head.extensions.remove::<MemoControl>();
    head.extensions.insert(Deferred);
    Response::from_parts(head, ReplyBody::inner(body))
}
