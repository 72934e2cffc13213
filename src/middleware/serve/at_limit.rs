//! What becomes of a request at a limit.

use std::time::Duration;

use http::HeaderMap;

use crate::memo::{AtLimit, Limit};
use crate::middleware::cache::Cache;
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::reason::Reason;
use crate::middleware::respond::refusal::refusal;
use crate::middleware::respond::tally::Answer;

/// When a request may try again that has waited for its turn in vain.
const MIN_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// The answer to a request at a limit, where it is not to go to the inner service.
pub(super) fn refuse(cache: &Cache, headers: &HeaderMap, reason: Reason) -> Option<Answer> {
    let retry_after = match cache.memo.config.limits.at_limit {
        AtLimit::Bypass => return None,
        AtLimit::Refuse { retry_after } => retry_after,
        // No sooner than by then is the line likely to have moved on.
        AtLimit::Queue(_) => cache.memo.config.wait_timeout.clamp(MIN_RETRY, MAX_RETRY),
    };
    Some(Answer::new(refusal(headers, retry_after), Decision::refused(reason)))
}

/// Why a request at this limit goes its own way, or is refused.
pub(super) fn reached(limit: Limit) -> Reason {
    match limit {
        Limit::Waiters => Reason::TooManyWaiters,
        Limit::InFlight => Reason::TooManyKeys,
        Limit::Recording => Reason::NoRoom,
    }
}
