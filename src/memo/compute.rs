//! Running what a caller computes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::flights::custody::Stop;
use super::path::Path;
use super::permit::Lead;
use super::rules::ValueRules;
use crate::attached::attached;
use crate::error::{BoxError, ErrorKind, Failure};
use crate::key::{Address, Label};
use crate::task::{AbortOnDrop, spawn_of};

/// Runs the computation of what belongs at `address`, the end of `path`, in a task of its own, so that a caller that leaves stops
/// nothing.
pub(crate) fn run<V>(
    address: &Address,
    path: Path,
    stop: Stop,
    computation: impl Future<Output = Result<V, Failure>> + Send + 'static,
) -> impl Future<Output = Result<V, Failure>>
where
    V: Send + 'static,
{
    // Boxed, or each future that holds it on the way would keep room for it once more.
    let computation = Box::pin(computation);
    async move {
        let (computation, _attachment) = attached(address, path.run(stop.or(computation)));
        let stopped = Err(ErrorKind::Abandoned.into());
        conclude(spawn_of(async { computation.await.unwrap_or(stopped) })).await
    }
}

/// The same for a computation whose result no other caller gets: the caller stops it by leaving.
pub(crate) fn run_alone<V>(
    address: &Address,
    path: Path,
    computation: impl Future<Output = Result<V, Failure>> + Send + 'static,
) -> impl Future<Output = Result<V, Failure>>
where
    V: Send + 'static,
{
    let computation = Box::pin(computation);
    async move {
        let (computation, _attachment) = attached(address, path.run(computation));
        let task = spawn_of(computation);
        let _abort = AbortOnDrop::new(task.abort_handle());
        conclude(task).await
    }
}

async fn conclude<V>(task: JoinHandle<Result<V, Failure>>) -> Result<V, Failure> {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(ErrorKind::Panicked.into()),
        Err(_) => Err(ErrorKind::Abandoned.into()),
    }
}

/// Computes for this caller alone.
pub(crate) async fn compute_alone<V, F, Fut, E>(compute: F) -> Result<V, Failure>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    E: Into<BoxError>,
{
    compute().await.map_err(Failure::of)
}

/// Computes the value of `address`, and settles the lead whatever happens. `ttl` is how long values are kept unless the
/// rules know better.
pub(crate) async fn compute_as_leader<V, F, Fut, E>(
    mut lead: Lead<V>,
    address: &Address,
    rules: &ValueRules<V>,
    ttl: Duration,
    compute: F,
) -> Result<V, Failure>
where
    V: Clone,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<V, E>>,
    E: Into<BoxError>,
{
    let lease = lead.lease();
    let mut guard = FailOnPanic(Some(lead));
    // The rules may panic as well.
    let result = match lease.run(compute()).await {
        Ok(value) => marked(address, rules, ttl, value),
        Err(error) => Err(rules.failed(address, error)),
    };
    let Some(lead) = guard.0.take() else {
        return Err(ErrorKind::Abandoned.into());
    };
    let (value, ttl, labels) = match result {
        Ok(marked) => marked,
        Err(failure) => {
            lead.fail(failure.clone());
            return Err(failure);
        }
    };
    match ttl {
        Duration::ZERO => lead.share(value.clone(), labels).wait().await,
        ttl => lead.store(value.clone(), ttl, labels).wait().await,
    }
    Ok(value)
}

fn marked<V>(
    address: &Address,
    rules: &ValueRules<V>,
    ttl: Duration,
    value: V,
) -> Result<(V, Duration, Vec<Label>), Failure> {
    let ttl = rules.ttl(&value, ttl);
    let labels = Label::all(&rules.tags(address, &value));
    let labels = labels.map_err(|error| Failure::caused(ErrorKind::Tags, error))?;
    Ok((value, ttl, labels))
}

/// Starts work that another program is going to resolve, and settles the lead whatever happens.
pub(crate) async fn start_work<V, F, Fut, E>(mut lead: Lead<V>, failed: impl FnOnce(E) -> Failure, request: Arc<F>)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    // The caller is one of the waiters.
    let (_, stop) = lead.custody();
    let starting = async move {
        lead.listen().await;
        let mut guard = FailOnPanic(Some(lead));
        let started = request().await.map_err(failed);
        if let Some(lead) = guard.0.take() {
            match started {
                Ok(()) => lead.defer(),
                Err(failure) => lead.fail(failure),
            };
        }
    };
    stop.or(starting).await;
}

/// Tells the waiters that the computation panicked.
struct FailOnPanic<V>(Option<Lead<V>>);

impl<V> Drop for FailOnPanic<V> {
    fn drop(&mut self) {
        if let Some(lead) = self.0.take()
            && std::thread::panicking()
        {
            lead.fail(ErrorKind::Panicked.into());
        }
    }
}
