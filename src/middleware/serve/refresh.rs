//! Stored responses that answer while they are computed anew, or where that fails (RFC 5861).
//!
//! Its age, which every hit says anyway, tells how long a response has been stale. The age is by this process's own
//! clock where the process stored the response or has read it before, otherwise by
//! [`Meta::stored_at`](crate::middleware::stored_response::Meta). So where clocks disagree, the windows shift by as
//! much, within the time for which the store keeps the response.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;
use tracing::Instrument;

use crate::middleware::inner::InnerCall;
use crate::middleware::lead::begin::{self, computing_as};
use crate::middleware::lead::task;
use crate::middleware::lookup::Miss;
use crate::middleware::lookup::VariantAddress;
use crate::middleware::policy::cache_status::Forward;
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::reason::Reason;

use crate::memo::{self, Aim, Caller};
use crate::middleware::cache::Cache;
use crate::middleware::stored_response::StoredResponse;
use crate::task::spawn;
use crate::trace;

/// Has the stored response computed anew by this request, unless another one does so already. Returns why the stale
/// response answers meanwhile.
///
/// The request goes to the inner service as it came. Its client has its answer already, so the rest of its body
/// must not be needed.
pub(crate) fn start(
    cache: &Arc<Cache>,
    call: InnerCall,
    variant: VariantAddress,
    seen: &Arc<StoredResponse>,
    credentials: Credentials,
) -> Reason {
    if cache.pauses.of(&variant.address, Instant::now()).is_some() {
        return Reason::Pause;
    }
    let address = variant.address.clone();
    let (stored_at, generation) = (seen.meta().stored_at, seen.meta().generation);
    let is_same = move |found: &Arc<StoredResponse>| {
        let found = found.meta();
        found.stored_at == stored_at && found.generation == generation
    };
    let caller = Caller {
        arrived: cache.memo.shared.clock.tick(),
        context: computing_as(call.headers()),
    };
    let own = Arc::clone(cache);
    let stale = Some(Arc::clone(seen));
    let start = || {
        // The request's own span closes with its answer.
        let span = trace::refreshing(&address);
        move |lead| {
            let (first, why) = (variant.address.clone(), Forward::Stale);
            let miss = Miss {
                first,
                variant,
                stale,
                why,
                credentials,
                can_lead: true,
                aim: Aim::Fresh,
                caller,
            };
            let mut call = call;
            let computation = span.in_scope(|| begin::computation(&own, lead, &mut call.head, miss));
            let run = async move { drop(task::run(computation, call).await) };
            spawn(Box::pin(run.instrument(span)));
        }
    };
    let since = stored_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let version = since.as_nanos() as u64;
    let (shared, config) = (&cache.memo.shared, &cache.memo.config);
    memo::background::refresh::start(shared, &address, config, version, caller.context, is_same, start);
    Reason::StaleWhileRevalidate
}

#[cfg(test)]
mod tests;
