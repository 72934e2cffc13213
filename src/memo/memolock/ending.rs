//! How a [`MemoLock`] comes to its end.

use super::MemoLock;
use crate::codec::Codec;
use crate::store::Store;

impl<St: Store, C: Codec> MemoLock<St, C> {
    /// Gives every lease back, now: for the moment a program is asked to stop, so that nobody elsewhere waits for it.
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
    /// others run out. Calling it again waits for the same. There is no way back.
    pub async fn shutdown(&self) {
        let leases = self.shared.leases.close();
        tracing::info!(
            tag = self.shared.tag.as_str(),
            leases,
            "shutting down: giving leases back"
        );
        self.shared.leases.given_back().await;
    }

    /// Resolves once no computation is under way in this process and all results have reached the store.
    ///
    /// For the end of a program, once it takes no more requests: one that exits right after its last response may
    /// leave a result behind, and whoever waits for it elsewhere waits for the rest of the lease, unless there was a
    /// [`shutdown`](Self::shutdown). Bound it by a timeout, as computations may take any time. A promise that others are to
    /// resolve counts for as long as somebody here waits for it, and no longer than the wait timeout.
    pub async fn drained(&self) {
        #[cfg(feature = "http")]
        self.shared.refreshes.idle().await;
        #[cfg(feature = "http")]
        self.shared.solos.idle().await;
        self.shared.table.empty().await;
    }
}
