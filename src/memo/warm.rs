//! Computing values before callers ask for them, a few at a time.

use std::future::Future;

use tokio::task::JoinSet;

use super::memolock::MemoLock;
use crate::codec::Codec;
use crate::error::BoxError;
use crate::key::{Key, KeyError};
use crate::task::inherited;

/// How far [`MemoLock::warm`] or the `warm` of a layer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmed {
    /// How many are there, whether they were stored before or not.
    pub done: usize,
    /// How many have failed.
    pub failed: usize,
}

impl<C: Codec> MemoLock<C> {
    /// Obtains the values under these ids, as [`get_or_compute`](Self::get_or_compute) does, `at_once` at a time: a
    /// stored value is left alone, and of all programs that warm up at once in the cluster, one computes each value.
    /// `progress` is called after each value. 0 counts as 1.
    ///
    /// Where this future is dropped, no further computation begins; those under way go on.
    ///
    /// ```
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = MemoLock::new(MemoryStore::new(), "report");
    /// let work = (1..=100_u32).map(|id| (id, move || async move { Ok::<_, std::io::Error>(format!("report {id}").into()) }));
    /// let warmed = reports.warm(work, 8, |so_far| println!("{} of 100", so_far.done)).await;
    /// assert_eq!((warmed.done, warmed.failed), (100, 0));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn warm<K, F, Fut, E>(
        &self,
        work: impl IntoIterator<Item = (K, F)>,
        at_once: usize,
        progress: impl FnMut(Warmed),
    ) -> Warmed
    where
        K: TryInto<Key> + Send + 'static,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let one = |(id, compute): (K, F)| {
            let (memo, key) = (self.clone(), id.try_into().map_err(Into::into));
            async move {
                match key {
                    Ok(key) => memo.get_or_compute::<Key, _, _, _>(key, compute).await.is_ok(),
                    Err(_) => false,
                }
            }
        };
        warm(work.into_iter().map(one), at_once, progress).await
    }
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
