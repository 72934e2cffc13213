//! How a [`MemoLock`] comes to its end.

use std::time::Duration;

use tokio::time::timeout;

use super::MemoLock;
use crate::codec::Codec;
use crate::store::Store;

impl<St: Store, C: Codec> MemoLock<St, C> {
    /// Lets computations under way come to their ends, for as long as `grace`, and gives back what leases there are then: for
    /// the moment a program is asked to stop, so that what it computes is not computed elsewhere once more, and nobody
    /// elsewhere waits for a program that is gone.
    ///
    /// Until then leases are kept and renewed, and results stored and handed to those who wait anywhere. Callers who still
    /// come are served as ever, and what they lead counts: until a server stops taking requests, they are better off
    /// here than with a second computation elsewhere. Nothing is begun that nobody waits for, such as a refresh of what is
    /// stale. A promise that others are to resolve keeps its lease as well.
    ///
    /// Resolves as soon as no lease is held, so it is cheap to give a program all the grace that its supervisor has for it. Once
    /// it has, or grace is over, all is as after a [`shutdown`](Self::shutdown), which also cuts a grace short.
    /// Dropping the future before that leaves leases as they are.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_memolock::{MemoLock, MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let reports = MemoLock::new(MemoryStore::new(), "report");
    /// // At SIGTERM, while the server finishes its requests.
    /// reports.shutdown_within(Duration::from_secs(10)).await;
    /// # }
    /// ```
    pub async fn shutdown_within(&self, grace: Duration) {
        let leases = self.shared.leases.leave();
        tracing::info!(
            tag = self.shared.tag.as_str(),
            leases,
            ?grace,
            "shutting down: waiting for what is computed"
        );
        // What is pending in the store is waited for either way.
        let _ = timeout(grace, self.shared.leases.close_when_idle()).await;
        self.shutdown().await;
    }

    /// Gives every lease back, now: for a program that cannot wait for what it computes. One that can is better off with
    /// [`shutdown_within`](Self::shutdown_within), which lets it come to its end.
    ///
    /// From the call on this handle and its clones keep no lease any more. What is stored is still found, and who waits
    /// for another process goes on waiting. Computations under way go on, and answer those who wait in this process; but
    /// their results are not stored, because one of those who wait elsewhere takes over at once. Whoever comes later is computed for in this process, once for all
    /// who ask together, and nothing of that is stored either, nor undone by an [`invalidate`](Self::invalidate)
    /// elsewhere.
    ///
    /// Who waits for a promise that others are to resolve, of [`get_or_request`](Self::get_or_request), goes on waiting; of
    /// one whose work this process had started, another process takes over and has it started again.
    ///
    /// Resolves once all leases are given back, or as many as the store could be told of within its own timeouts; the
    /// others run out; and once the store has taken all invalidations that were pending, or has not within two seconds, which
    /// is logged as an error. Calling it again waits for the same. There is no way back.
    pub async fn shutdown(&self) {
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
    /// For the end of a program, once it takes no more requests: one that exits right after its last response may
    /// leave a result behind, and whoever waits for it elsewhere waits for the rest of the lease, unless there was a
    /// [`shutdown_within`](Self::shutdown_within). Bound it by a timeout, as computations may take any time. A promise that others are to
    /// resolve counts for as long as somebody here waits for it, and no longer than the wait timeout.
    pub async fn drained(&self) {
        #[cfg(feature = "http")]
        self.shared.refreshes.idle().await;
        #[cfg(feature = "http")]
        self.shared.solos.idle().await;
        self.shared.table.empty().await;
    }
}
