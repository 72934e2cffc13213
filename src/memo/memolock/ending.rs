//! How a [`MemoLock`] comes to its end.

use std::time::Duration;

use tokio::time::timeout;

use super::MemoLock;
use crate::codec::Codec;
use crate::store::Store;

impl<C: Codec> MemoLock<C> {
    /// Lets computations under way finish within `grace`, and then gives back the leases that are left. Call it when
    /// the program is asked to stop: what it computes is then not computed again elsewhere, and no caller elsewhere
    /// waits for a program that is gone.
    ///
    /// Until the grace is over leases are kept and renewed, and results are stored and handed to all waiters anywhere.
    /// Callers that still come are served as ever, and the computations that they lead are shared and stored: until a
    /// server stops taking requests, its callers are better off with these than with a second computation elsewhere.
    /// Work without a caller, such as the refresh of a stale value, is not begun. A promise that other programs are to
    /// resolve keeps its lease as well. The grace ends as soon as no lease is held, so you can give a program all the
    /// grace that its supervisor has. A later call with less grace cuts it short; dropping the future leaves the leases
    /// as they are.
    ///
    /// After that, and at once with a grace of zero, the handle and its clones keep no lease. Stored values are still
    /// found, and callers that wait for another process go on waiting. Computations under way go on and answer the
    /// callers in this process, but their results are not stored, because a follower elsewhere takes over at once. Later
    /// callers share one computation in this process; its result is not stored either, and an
    /// [`invalidate`](Self::invalidate) elsewhere does not reach it. Callers that wait for a promise of
    /// [`get_or_request`](Self::get_or_request) go on waiting. If this process had started the work, another process
    /// takes over and starts it again.
    ///
    /// Resolves once all leases are given back, or as many as the store could be told of within its own timeouts (the
    /// others run out), and once the store has taken all pending invalidations, for which it has two seconds. An
    /// invalidation that it has not taken by then is logged as an error. A second call waits for the same. A shutdown
    /// cannot be undone.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_memolock::{MemoLock, MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let reports = MemoLock::new(MemoryStore::new(), "report");
    /// // At SIGTERM, while the server finishes its requests.
    /// reports.shutdown(Duration::from_secs(10)).await;
    /// # }
    /// ```
    pub async fn shutdown(&self, grace: Duration) {
        if !grace.is_zero() {
            let leases = self.shared.leases.leave();
            tracing::info!(
                tag = self.shared.tag.as_str(),
                leases,
                ?grace,
                "shutting down: waiting for what is computed"
            );
            // Pending invalidations are waited for either way.
            let _ = timeout(grace, self.shared.leases.close_when_idle()).await;
        }
        let leases = self.shared.leases.close();
        tracing::info!(
            tag = self.shared.tag.as_str(),
            leases,
            "shutting down: giving leases back"
        );
        self.shared.leases.given_back().await;
        let pending = self.shared.store.settle().await;
        if pending > 0 {
            tracing::error!(pending, "shutting down: the store has not taken all invalidations");
        }
    }

    /// Resolves once no computation is under way in this process and all results have reached the store.
    ///
    /// For the end of a program, once it takes no more requests. A program that exits right after its last response may
    /// leave a result behind, and callers elsewhere wait for the rest of its lease, unless there was a
    /// [`shutdown`](Self::shutdown). Bound it by a timeout, because computations may take any time. A
    /// promise that other programs are to resolve counts for as long as a caller here waits for it, and no longer than
    /// the wait timeout.
    pub async fn drained(&self) {
        self.shared.refreshes.idle().await;
        self.shared.solos.idle().await;
        self.shared.table.empty().await;
    }
}
