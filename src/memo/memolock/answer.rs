//! Values that answer a caller at once, and their refresh where they were softly invalidated.

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::MemoLock;
use crate::codec::Codec;
use crate::error::BoxError;
use crate::key::Address;
use crate::memo::background::refresh;
use crate::memo::compute::{compute_as_leader, run};
use crate::memo::flights::clock::Tick;
use crate::memo::found::Found;
use crate::memo::lookup;
use crate::memo::path::Path;
use crate::memo::permit::Lead;
use crate::memo::receipt::Aim;
use crate::task::spawn;
use crate::trace;

/// The value that answers, unless it is being computed here: a hit, or a value that was softly invalidated.
/// Otherwise the moment at which the caller began to look.
pub(super) async fn find<C: Codec>(memo: &MemoLock<C>, address: &Address, aim: Aim) -> Result<Found<C::Value>, Tick> {
    let shared = &memo.shared;
    if aim == Aim::Now {
        return Err(shared.clock.tick());
    }
    let answers = |found: &Found<_>| (shared.is_fresh(found) || shared.is_soft(found)) && shared.meets(aim, found);
    if let Some(found) = lookup::peek(shared, address, Instant::now()).filter(answers) {
        return Ok(found);
    }
    let arrived = shared.clock.tick();
    lookup::unless_computing(shared, address)
        .await
        .filter(answers)
        .ok_or(arrived)
}

/// What a caller wants. Asks the store where the stored value does not meet a receipt.
pub(super) async fn aim<C: Codec>(memo: &MemoLock<C>, address: &Address) -> Aim {
    let (shared, aim) = (&memo.shared, memo.config.aim);
    if !matches!(aim, Aim::Since(_)) {
        return aim;
    }
    let found = lookup::stored(shared, address).await;
    match found.is_some_and(|found| shared.is_fresh(&found) && shared.meets(aim, &found)) {
        true => aim,
        false => shared.settled(aim, std::iter::empty()).await,
    }
}

/// What was found, if it is a hit.
pub(super) fn fresh<C: Codec>(memo: &MemoLock<C>, found: Option<Found<C::Value>>) -> Option<C::Value> {
    let found = found.filter(|found| memo.shared.is_fresh(found) && memo.shared.meets(memo.config.aim, found))?;
    memo.shared.counters.hits.add();
    Some(found.value)
}

/// The value that answers. A value that was softly invalidated is computed `anew` meanwhile, unless its own computation
/// asks for it.
pub(super) fn answered<C: Codec>(
    memo: &MemoLock<C>,
    found: Found<C::Value>,
    is_own: bool,
    anew: impl FnOnce(SystemTime),
) -> C::Value {
    let counters = &memo.shared.counters;
    match found.soft_since {
        None => {
            trace::outcome("hit");
            counters.hits.add();
        }
        Some(since) => {
            trace::outcome("stale");
            counters.stale.add();
            if !is_own {
                anew(since);
            }
        }
    }
    found.value
}

/// Has a value that was softly invalidated at that time computed in the background, by one caller of the cluster.
pub(super) fn compute_anew<C: Codec, F, Fut, E>(
    memo: &MemoLock<C>,
    address: &Address,
    soft_since: SystemTime,
    path: Path,
    compute: F,
) where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let (shared, rules) = (Arc::clone(&memo.shared), Arc::clone(&memo.rules));
    let (config, of) = (memo.config, address.clone());
    let begin = move |mut lead: Lead<C::Value>, span: Span| {
        let ((_, stop), address) = (lead.custody(), of.clone());
        let computation = async move {
            let lead = shared.started(lead, &of, &config).await;
            compute_as_leader(lead, &of, &rules, config.ttl, compute).await
        };
        // The result is for later callers.
        let run = async move { drop(run(&address, path, stop, computation).await) };
        spawn(Box::pin(run.instrument(span)));
    };
    anew(memo, address, soft_since, begin);
}

/// Has one caller of the cluster lead in the background.
pub(super) fn anew<C: Codec>(
    memo: &MemoLock<C>,
    address: &Address,
    soft_since: SystemTime,
    begin: impl FnOnce(Lead<C::Value>, Span) + Send + 'static,
) {
    let since = soft_since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (version, caller) = (since.as_millis() as u64, trace::computing_as(|| None));
    let start = || {
        let span = trace::refreshing(address);
        move |lead| begin(lead, span)
    };
    // A value that is fresh by now is another one.
    let is_same = |_: &_| false;
    refresh::start(&memo.shared, address, &memo.config, version, caller, is_same, start);
}
