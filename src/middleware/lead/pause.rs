//! [`Pauses`]: after a failure the inner service is left alone for a while.
//!
//! Off unless [`pause`](crate::middleware::Failures::pause) is set. A pause is for one key in one process. It begins
//! with a computation that failed: an error or a panic of the inner service, a status from 500 on but 501, a failed
//! call of gRPC, a body that breaks off. Until the pause is over, a request that finds nothing fresh gets the stale
//! response that may stand in for a failure, or else the failure. The followers of the failed computation try once
//! more, as they do without a pause: one of them asks, and its success ends the pause. So a failure that one request
//! has provoked for itself does not last where others want the same.
//!
//! The failure that others get is an answer of the layer's own with the status of the failed response, or what
//! [`share_errors`](crate::middleware::Failures::share_errors) makes of an error: the response itself may be for its own client
//! only.

use http::header::RETRY_AFTER;
use http::{HeaderMap, Response};
use tokio::time::Instant;

use crate::middleware::known::pauses::{Failed, Pause};
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::refusal::{failure, seconds};
use crate::middleware::respond::replay;

/// The answer to a request in place of an answer of the inner service.
pub(crate) fn answer(pause: Pause, request: &HeaderMap) -> Response<ReplyBody> {
    let left = pause.until.saturating_duration_since(Instant::now());
    match pause.failed {
        Failed::Status(status) => failure(request, status, left),
        Failed::Response(made) => {
            let mut response = replay::followed(made);
            let fields = response.headers_mut();
            fields.entry(RETRY_AFTER).or_insert_with(|| seconds(left).into());
            response
        }
    }
}
