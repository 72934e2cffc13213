//! How a caller comes to a value that it can compute.

use std::future::Future;
use std::sync::Arc;

use super::{MemoLock, answer};
use crate::codec::Codec;
use crate::error::{BoxError, ErrorKind, Failure};
use crate::key::Address;
use crate::memo::compute::{compute_alone, compute_as_leader, run, run_alone};
use crate::memo::config::Config;
use crate::memo::join::{Caller, Obtained};
use crate::memo::limits::AtLimit;
use crate::memo::outcome::Outcome;
use crate::memo::path::Path;
use crate::memo::turn;
use crate::trace;

pub(super) async fn compute_at<C: Codec, F, Fut, E>(
    memo: &MemoLock<C>,
    address: &Address,
    compute: F,
) -> Result<C::Value, Failure>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let before = Path::current();
    let is_own = before.leads_over(&memo.shared.store, address);
    let path = before.to(&memo.shared.store, address);
    let config = Config {
        aim: answer::aim(memo, address).await,
        ..memo.config
    };
    let arrived = match answer::find(memo, address, config.aim).await {
        Ok(found) => {
            return Ok(answer::answered(memo, found, is_own, |soft| {
                answer::compute_anew(memo, address, soft, path, compute);
            }));
        }
        Err(arrived) => arrived,
    };
    if is_own {
        memo.shared.asks_for_itself(address);
        trace::outcome("bypassed");
        return run_alone(address, path, compute_alone(compute)).await;
    }
    // Values are not recorded.
    let has_room = || true;
    let mut patience = config.patience();
    let context = trace::computing_as(|| None);
    let mut caller = Caller { arrived, context };
    let obtained = turn::obtain(memo, address, &config, &mut patience, &mut caller, has_room).await;
    trace::waited(patience.waited());
    trace::outcome(obtained.outcome());
    compute_as(memo, obtained, address, path, &config, compute).await
}

/// The result for a caller that has obtained this: the value, or what the caller computes as a leader or by itself.
async fn compute_as<C: Codec, F, Fut, E>(
    memo: &MemoLock<C>,
    obtained: Obtained<C::Value>,
    address: &Address,
    path: Path,
    config: &Config,
    compute: F,
) -> Result<C::Value, Failure>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    match obtained {
        Obtained::Told(Outcome::Soft(found), _) => Ok(answer::answered(memo, found, false, |soft| {
            answer::compute_anew(memo, address, soft, path, compute);
        })),
        Obtained::Told(Outcome::Ready(value), by) => {
            trace::computed_by(by);
            Ok(value)
        }
        Obtained::Lead(mut lead) => {
            let (shared, of) = (Arc::clone(&memo.shared), address.clone());
            let (rules, config) = (Arc::clone(&memo.rules), *config);
            let (_client, stop) = lead.custody();
            let computation = async move {
                let lead = shared.started(lead, &of, &config).await;
                compute_as_leader(lead, &of, &rules, config.ttl, compute).await
            };
            run(address, path, stop, computation).await
        }
        Obtained::Told(Outcome::Limited(limit), _) => match config.limits.at_limit {
            AtLimit::Bypass => run_alone(address, path, compute_alone(compute)).await,
            AtLimit::Refuse { .. } | AtLimit::Queue(_) => Err(ErrorKind::AtLimit(limit).into()),
        },
        Obtained::Turn(turn) => {
            let in_turn = async move {
                let _turn = turn;
                compute_alone(compute).await
            };
            run_alone(address, path, in_turn).await
        }
        Obtained::Told(Outcome::Failed(failure), _) => Err(memo.rules.heard(address, failure)),
        Obtained::TimedOut if !config.wait_timeout.is_zero() => Err(ErrorKind::WaitTimeout.into()),
        Obtained::TimedOut => run_alone(address, path, compute_alone(compute)).await,
        // The others found nothing to share, or came to no end: the caller does not wait for them any more.
        Obtained::Told(Outcome::Pass | Outcome::Stale | Outcome::Part(_), _) | Obtained::GaveUp(_) => {
            run_alone(address, path, compute_alone(compute)).await
        }
    }
}
