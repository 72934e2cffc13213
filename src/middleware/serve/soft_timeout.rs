//! A stale response answers requests that have waited for a new one for long enough, while that goes on being computed.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::hit;
use crate::memo::Aim;
use crate::middleware::cache::Cache;
use crate::middleware::lookup::Miss;
use crate::middleware::policy::reason::Reason;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::StoredResponse;
use crate::task::{AbortOnDrop, BoxFuture, spawn};

/// The stale response that answers a request that has waited for so long, if one may.
pub(super) fn stand_by(cache: &Cache, miss: &Miss) -> Option<(Arc<StoredResponse>, Duration)> {
    let time = cache.responses.soft_timeout?;
    let stale = miss.stale.as_ref().filter(|_| miss.aim == Aim::Fresh)?;
    let may_wait = stale.serves_on_error(Instant::now()) && stale.apart_body().is_none();
    may_wait.then(|| (Arc::clone(stale), time))
}

/// Waits for the `work` of a request for so long, which follows or leads; then gives it the stale response, if that may still be served. The work
/// goes on.
pub(super) fn answer_or_stale(
    cache: Arc<Cache>,
    work: impl Future<Output = Step<Answer>> + Send + 'static,
    stale: Arc<StoredResponse>,
    time: Duration,
) -> BoxFuture<'static, Step<Answer>> {
    Box::pin(async move {
        let (answers, mut answer) = oneshot::channel();
        let work = async move {
            // A client that has left needs no answer.
            let _ = answers.send(work.await.finish().await);
        };
        let task = spawn(Box::pin(work.in_current_span()));
        // A client that leaves before that leaves as any other.
        let mut present = AbortOnDrop::new(task.abort_handle());
        let answer = match timeout(time, &mut answer).await {
            Err(_) if stale.serves_on_error(Instant::now()) => {
                present.disarm();
                spawn(Box::pin(async move {
                    if let Ok(answer) = answer.await {
                        read_out(answer).await;
                    }
                }));
                return Step::Done(hit::replay(&cache, stale, Instant::now(), Reason::StaleWhileRevalidate));
            }
            Err(_) => answer.await,
            Ok(answer) => answer,
        };
        match answer {
            Ok(answer) => Step::Done(answer),
            Err(_) => match task.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime ends.
                _ => Step::then(std::future::pending()),
            },
        }
    })
}

/// Reads a response as its client would have, so that it counts as wanted.
async fn read_out(answer: Answer) {
    let Ok(response) = answer.result else { return };
    let mut body = response.into_body();
    while let Some(Ok(_)) = poll_fn(|cx| body.poll_frame(cx)).await {}
}
