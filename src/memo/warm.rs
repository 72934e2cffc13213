//! Computing values before callers ask for them, a few at a time.

use std::future::Future;

use tokio::task::JoinSet;

use crate::task::inherited;

/// How far [`MemoLock::warm`](crate::MemoLock::warm) or the `warm` of a layer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmed {
    /// How many are there, whether they were stored before or not.
    pub done: usize,
    /// How many have failed.
    pub failed: usize,
}

/// Runs all of them, so many at once. Each says whether it went well.
pub(crate) async fn warm<F>(work: impl Iterator<Item = F>, at_once: usize, mut progress: impl FnMut(Warmed)) -> Warmed
where
    F: Future<Output = bool> + Send + 'static,
{
    let (mut work, mut running, mut warmed) = (work.fuse(), JoinSet::new(), Warmed::default());
    loop {
        while running.len() < at_once.max(1)
            && let Some(next) = work.next()
        {
            running.spawn(inherited(next));
        }
        let Some(ended) = running.join_next().await else {
            return warmed;
        };
        match ended {
            Ok(true) => warmed.done += 1,
            Ok(false) | Err(_) => warmed.failed += 1,
        }
        progress(warmed);
    }
}
