//! Promises that other programs resolve.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::Instrument;

use super::{MemoLock, answer};
use crate::attached::{Attachment, attached};
use crate::codec::Codec;
use crate::error::{BoxError, ErrorKind, Failure, StoreError};
use crate::key::{Address, Key, KeyError, Readable, Tag};
use crate::memo::compute::start_work;
use crate::memo::config::Config;
use crate::memo::join::{self, Caller, Obtained, Role};
use crate::memo::outcome::Outcome;
use crate::memo::path::Path;
use crate::memo::permit::Lead;
use crate::store::{Stamp, Store, Value};
use crate::task::{spawn, spawn_of};
use crate::trace;

pub(super) async fn request_at<C: Codec, F, Fut, E>(
    memo: &MemoLock<C>,
    address: &Address,
    request: F,
) -> Result<C::Value, Failure>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let aim = answer::aim(memo, address).await;
    let found = answer::find(memo, address, aim).await;
    let shared = &memo.shared;
    let before = Path::current();
    let is_own = before.leads_over(&memo.shared.store, address);
    let path = before.to(&memo.shared.store, address);
    let request = Arc::new(request);
    let anew = |soft| request_anew(memo, address, soft, path.clone(), Arc::clone(&request));
    let arrived = match found {
        Ok(found) => return Ok(answer::answered(memo, found, is_own, anew)),
        Err(arrived) => arrived,
    };
    if is_own {
        shared.asks_for_itself(address);
        return Err(ErrorKind::WaitTimeout.into());
    }
    let config = &Config {
        requests: true,
        aim,
        ..memo.config
    };
    let mut patience = config.patience();
    let context = trace::computing_as(|| None);
    let caller = Caller { arrived, context };
    let mut obtained = join::obtain(shared, address, config, &mut patience, &caller).await;
    loop {
        trace::waited(patience.waited());
        trace::outcome(obtained.outcome());
        let lead = match obtained {
            Obtained::Told(Outcome::Ready(value), by) => {
                trace::computed_by(by);
                return Ok(value);
            }
            Obtained::Told(Outcome::Soft(found), _) => return Ok(answer::answered(memo, found, false, anew)),
            Obtained::Lead(lead) => lead,
            Obtained::Told(Outcome::Limited(limit), _) => return Err(ErrorKind::AtLimit(limit).into()),
            Obtained::Told(Outcome::Failed(failure), _) => return Err(memo.rules.heard(address, failure)),
            Obtained::TimedOut => return Err(ErrorKind::WaitTimeout.into()),
            Obtained::Told(Outcome::Pass | Outcome::Stale | Outcome::Part(_), _)
            | Obtained::GaveUp(_)
            | Obtained::Turn(_) => return Err(ErrorKind::Abandoned.into()),
        };
        let mut attachment = None;
        let start = |lead| attachment = Some(begin(memo, lead, address, path.clone(), Arc::clone(&request)));
        obtained = join::step_down(shared, lead, address, config, &mut patience, Role::Candidate, start).await;
    }
}

/// Runs `request` in a task of its own, which is in the present span for as long as the attachment is kept.
fn begin<C: Codec, F, Fut, E>(
    memo: &MemoLock<C>,
    lead: Lead<C::Value>,
    address: &Address,
    path: Path,
    request: Arc<F>,
) -> Attachment
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let (of, rules) = (address.clone(), Arc::clone(&memo.rules));
    let failed = move |error| rules.failed::<E>(&of, error);
    let (work, attachment) = attached(address, path.run(start_work(lead, failed, request)));
    drop(spawn_of(work));
    attachment
}

/// Has a value that was softly invalidated at that time requested in the background, by one caller of the cluster.
fn request_anew<C: Codec, F, Fut, E>(
    memo: &MemoLock<C>,
    address: &Address,
    soft_since: SystemTime,
    path: Path,
    request: Arc<F>,
) where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    let (of, rules) = (address.clone(), Arc::clone(&memo.rules));
    let failed = move |error| rules.failed::<E>(&of, error);
    answer::anew(memo, address, soft_since, move |lead, span| {
        spawn(Box::pin(path.run(start_work(lead, failed, request)).instrument(span)));
    });
}

/// Stores the value, and gives it to all waiters.
pub(super) async fn resolve<C: Codec>(
    memo: &MemoLock<C>,
    key: Result<Key, KeyError>,
    value: C::Value,
    ttl: Duration,
) -> Result<(), ResolveError> {
    let shared = &memo.shared;
    let key = key.map_err(|error| ResolveError::key(&shared.tag, error))?;
    let address = Address::new(&shared.tag, &key);
    let refused = |error| ResolveError::store(&address, error);
    let mut value = Value::native(&address, &shared.codec, value);
    if shared.stamps_all() {
        let generation = shared.store.generation(&shared.tag).await;
        value = value.stamped(Stamp::new(generation.map_err(refused)?, Vec::new()));
    }
    let resolved = shared.store.resolve(&address, &value, ttl).await;
    resolved.map_err(refused)?;
    shared.counters.stored.size(value.weight());
    Ok(())
}

/// Why [`MemoLock::resolve`] did not do it.
///
/// Says what was to be resolved: `TAG:ID`, or `TAG` alone where the id cannot be a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The id cannot be a key.
    #[error("{}: the id cannot be a key", Readable(.what))]
    Key {
        /// What was to be resolved.
        what: String,
        /// Why not.
        source: KeyError,
    },
    /// Whether the value was stored and published is unknown, unless the kind says that nothing was sent. Resolving
    /// once more is safe.
    #[error("{}: the store could not be told of the value", Readable(.what))]
    Store {
        /// What was to be resolved.
        what: String,
        /// Why not.
        source: StoreError,
    },
}

impl ResolveError {
    pub(crate) fn key(tag: &Tag, source: KeyError) -> Self {
        let what = tag.as_str().to_owned();
        Self::Key { what, source }
    }

    pub(crate) fn store(address: &Address, source: StoreError) -> Self {
        let what = address.as_str().to_owned();
        Self::Store { what, source }
    }
}
