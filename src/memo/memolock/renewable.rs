//! Computations that extend their leases themselves.

use std::future::Future;

use super::MemoLock;
use crate::codec::Codec;
use crate::error::{BoxError, Error};
use crate::key::{Key, KeyError};
use crate::memo::computed::Computed;
use crate::memo::config::Config;
use crate::memo::leases::lease::Lease;

impl<C: Codec> MemoLock<C> {
    /// Like [`MemoLock::get_or_compute`], for a computation that knows itself how long it is going to take: it gets its
    /// [`Lease`], which only the computation renews.
    ///
    /// The lease lasts as long as [`MemoLock::lease`] says, and the computation [extends](Lease::extend) it. Once it
    /// has ended, another caller takes over, here or elsewhere. Nothing of the computation is stored or shared then;
    /// its result goes to its own caller alone. So a computation that stands still keeps others waiting no longer than
    /// it asked for.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_memolock::{LeaseError, MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = MemoLock::new(MemoryStore::new(), "report").lease(Duration::from_secs(5));
    /// let report = reports
    ///     .get_or_compute_renewable("42", |lease| async move {
    ///         let mut pages = Vec::new();
    ///         for page in 1..=3 {
    ///             // Five more seconds for each page, or the followers stop waiting.
    ///             lease.extend(Duration::from_secs(5)).await?;
    ///             pages.push(format!("page {page}"));
    ///         }
    ///         Ok::<_, LeaseError>(pages.join(", ").into())
    ///     })
    ///     .await
    ///     .unwrap();
    /// assert_eq!(report, "page 1, page 2, page 3");
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`MemoLock::get_or_compute`].
    ///
    /// # Panics
    ///
    /// As [`MemoLock::get_or_compute`].
    pub async fn get_or_compute_renewable<K, F, Fut, E>(&self, id: K, compute: F) -> Result<C::Value, Error>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: FnOnce(Lease) -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let plain = move |lease| {
            let computation = compute(lease);
            async move { computation.await.map(Computed::new) }
        };
        let config = Config {
            by_hand: true,
            ..self.config
        };
        self.memoize(id, config, plain).await
    }
}
