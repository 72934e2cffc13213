//! Running what a caller computes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};

use super::computed::Computed;
use super::flights::custody::Stop;
use super::path::Path;
use super::permit::Lead;
use crate::attached::attached;
use crate::error::{BoxError, ErrorKind, Failure};
use crate::key::Label;

/// Runs a computation, the end of `path`, in a task of its own, so that a caller that leaves stops nothing.
pub(crate) fn run<V>(
    path: Path,
    stop: Stop,
    computation: impl Future<Output = Result<V, Failure>> + Send + 'static,
) -> impl Future<Output = Result<V, Failure>>
where
    V: Send + 'static,
{
    // Boxed, or whatever holds it on the way would keep room for it once more.
    let computation = Box::pin(computation);
    async move {
        let (computation, _attachment) = attached(path.run(stop.or(computation)));
        let stopped = Err(ErrorKind::Abandoned.into());
        conclude(tokio::spawn(async { computation.await.unwrap_or(stopped) })).await
    }
}

/// The same for a computation of which no other caller will have anything: a caller that leaves stops it.
pub(crate) fn run_alone<V>(
    path: Path,
    computation: impl Future<Output = Result<V, Failure>> + Send + 'static,
) -> impl Future<Output = Result<V, Failure>>
where
    V: Send + 'static,
{
    let computation = Box::pin(computation);
    async move {
        let (computation, _attachment) = attached(path.run(computation));
        let task = tokio::spawn(computation);
        let _abort = AbortOnDrop(task.abort_handle());
        conclude(task).await
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
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
    Fut: Future<Output = Result<Computed<V>, E>>,
    E: Into<BoxError>,
{
    let computed = compute().await.map_err(Failure::of)?;
    Ok(computed.value)
}

/// Computes, and settles the lead whatever happens. `ttl` is for a value that says nothing of its own, and `failed` says
/// what an error is to those who wait.
pub(crate) async fn compute_as_leader<V, F, Fut, E>(
    lead: Lead<V>,
    ttl: Duration,
    failed: impl FnOnce(E) -> Failure,
    compute: F,
) -> Result<V, Failure>
where
    V: Clone,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<Computed<V>, E>>,
{
    let mut guard = FailOnPanic(Some(lead));
    let result = compute().await.map_err(failed);
    let Some(lead) = guard.0.take() else {
        return Err(ErrorKind::Abandoned.into());
    };
    let computed = match result {
        Ok(computed) => computed,
        Err(failure) => {
            lead.fail(failure.clone());
            return Err(failure);
        }
    };
    let labels = match Label::all(&computed.tags) {
        Ok(labels) => labels,
        Err(error) => {
            let failure = Failure::caused(ErrorKind::Tags, error);
            lead.fail(failure.clone());
            return Err(failure);
        }
    };
    let value = computed.value;
    match computed.ttl.unwrap_or(ttl) {
        Duration::ZERO => lead.share(value.clone(), labels).wait().await,
        ttl => lead.store(value.clone(), ttl, labels).wait().await,
    }
    Ok(value)
}

/// Has work started whose result others are going to resolve, and settles the lead whatever happens.
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
