//! The answer to a request that has waited and does not lead: the response of another request, or a stale one.

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;

use super::After;
use crate::memo::Past;
use crate::middleware::cache::Cache;
use crate::middleware::lookup::{self, Miss, is_variant, missed};
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::reason::Reason;
use crate::middleware::respond::replay;
use crate::middleware::respond::tally::Answer;
use crate::middleware::serve::parts;
use crate::middleware::serve::stand_in;
use crate::middleware::stored_response::StoredResponse;
use crate::trace::{self, TraceContext};

/// The next step of a request whose leader has failed: the stale response, where that may stand in.
pub(super) async fn or_stale(
    cache: &Cache,
    miss: &Miss,
    headers: &HeaderMap,
    or: fn(Reason) -> After,
    reason: Reason,
) -> After {
    // Boxed, or all requests would keep room for it.
    let stale = Box::pin(stand_in::stale(cache, miss, headers, Reason::StaleIfError)).await;
    stale.map_or_else(|| or(reason), After::Answer)
}

/// The next step of a follower that was given this response.
pub(super) async fn follow(
    cache: &Cache,
    stored: Arc<StoredResponse>,
    by: Option<TraceContext>,
    miss: &mut Miss,
    headers: &HeaderMap,
) -> After {
    // The body broke off just before the follower was told. There is nothing to read any more, but a turn to wait for.
    if stored.has_broken_off() {
        return After::Again(Reason::LeaderFailed);
    }
    if !is_variant(&stored, headers) {
        // Whether other requests with credentials may have that variant is not known.
        if miss.credentials.has_credentials() {
            return After::Direct(Reason::Credentials);
        }
        let variant = lookup::other_variant(cache, &miss.first, &stored, headers);
        let Some(variant) = variant.filter(|variant| variant.address != miss.variant.address) else {
            return After::Direct(Reason::Unsettled);
        };
        (miss.variant, miss.stale, miss.why) = (variant, None, Forward::VaryMiss);
        return After::Again(Reason::Unsettled);
    }
    if !miss.credentials.may_have(stored.meta()) {
        return After::Direct(Reason::Credentials);
    }
    if !stored.is_fresh_at(Instant::now()) {
        return match stored.is_soft() {
            true => After::Refresh(stored),
            false => After::Direct(Reason::Expired),
        };
    }
    trace::computed_by(stored.meta().computed_by.or(by));
    cache.credential_history.learn(stored.meta());
    let stored = parts::make_room(cache, &miss.variant.address, stored).await;
    let reason = missed(&cache.memo.shared.store, miss.why, &miss.variant.address);
    let decision = Forwarded::because(miss.why).collapsed(true).followed(reason);
    After::Answer(Answer::new(replay::followed(stored), decision))
}

/// Why a request that has waited for these attempts in vain goes its own way.
pub(super) fn gave_up(past: Past) -> Reason {
    match past {
        Past { failures: 1.., .. } => Reason::LeaderFailed,
        Past { attempts: 1.., .. } => Reason::LeaderPassed,
        Past { .. } => Reason::Invalidated,
    }
}
