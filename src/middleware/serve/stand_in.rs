//! What stands in for an answer of the inner service that has failed: a stale response, or the failure of a moment ago.

use http::HeaderMap;
use tokio::time::Instant;

use super::hit;
use crate::memo;
use crate::middleware::cache::Cache;
use crate::middleware::lead::pause;
use crate::middleware::lookup::{Miss, is_variant};
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::reason::Reason;
use crate::middleware::respond::tally::Answer;

/// The stored response, where computing it anew has failed for this reason and it may stand in.
pub(crate) async fn stale(cache: &Cache, miss: &Miss, headers: &HeaderMap, reason: Reason) -> Option<Answer> {
    let stored = match miss.stale.clone() {
        Some(stale) => stale,
        // A request that joined a computation under way has not looked.
        None => {
            memo::lookup::stored(&cache.memo.shared, &miss.variant.address)
                .await?
                .value
        }
    };
    let now = Instant::now();
    let may_serve = stored.meets(miss.aim) && (stored.is_fresh_at(now) || stored.serves_on_error(now));
    let may_have = miss.credentials.may_have(stored.meta());
    (may_serve && may_have && is_variant(&stored, headers)).then(|| hit::replay(cache, stored, now, reason))
}

/// The answer to a request that found nothing fresh, where a pause stands.
pub(crate) async fn paused(cache: &Cache, miss: &Miss, request: &HeaderMap) -> Option<Answer> {
    let pause = cache.pauses.of(&miss.variant.address, Instant::now())?;
    // Boxed, or all requests would keep room for it.
    let stale = Box::pin(stale(cache, miss, request, Reason::Pause)).await;
    let or_failure = || Answer::new(pause::answer(pause, request), Decision::refused(Reason::Pause));
    Some(stale.unwrap_or_else(or_failure))
}
