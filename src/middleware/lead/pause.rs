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
use http::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;

use super::admission::Admission;
use crate::middleware::cache::Cache;
use crate::middleware::known::pauses::{Failed, Pause};
use crate::middleware::lookup::Miss;
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::decision::Decision;
use crate::middleware::policy::reason::Reason;
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::refusal::{failure, seconds};
use crate::middleware::respond::replay;
use crate::middleware::respond::tally::Answer;

impl Admission {
    /// The computation failed.
    pub(crate) fn pause(&self, failed: impl FnOnce() -> Failed) {
        // The failure of a request that may be unlike others says nothing of those.
        if !self.rules.fail_pause.is_zero() && !matches!(self.credentials, Credentials::Unknown(_)) {
            let time = self.rules.fail_pause;
            self.pauses.begin(&self.address, Instant::now(), time, failed());
        }
    }

    /// The inner service has answered with this status.
    pub(crate) fn pause_by(&self, status: StatusCode) {
        match status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            true => self.pause(|| Failed::Status(status)),
            false => self.pauses.end(&self.address),
        }
    }
}

/// The answer to a request that found nothing fresh, where a pause stands.
pub(crate) async fn paused(cache: &Cache, miss: &Miss, request: &HeaderMap) -> Option<Answer> {
    let pause = cache.pauses.of(&miss.variant.address, Instant::now())?;
    // Boxed, or all requests would keep room for it.
    let stale = Box::pin(cache.stand_in(miss, request, Reason::Pause)).await;
    let or_failure = || Answer::new(pause.answer(request), Decision::refused(Reason::Pause));
    Some(stale.unwrap_or_else(or_failure))
}

impl Pause {
    /// The answer to a request in place of an answer of the inner service.
    pub(crate) fn answer(self, request: &HeaderMap) -> Response<ReplyBody> {
        let left = self.until.saturating_duration_since(Instant::now());
        match self.failed {
            Failed::Status(status) => failure(request, status, left),
            Failed::Response(made) => {
                let mut response = replay::followed(made);
                let fields = response.headers_mut();
                fields.entry(RETRY_AFTER).or_insert_with(|| seconds(left).into());
                response
            }
        }
    }
}
