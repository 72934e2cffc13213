//! What a running layer tells, and the handle on it.

use std::sync::Arc;

use super::MemoLockLayer;
use crate::middleware::handle::Handle;
#[cfg(feature = "admin")]
use crate::middleware::settings::Audit;
use crate::middleware::settings::CacheStatus;
#[cfg(feature = "admin")]
use crate::middleware::shadow::Verify;

/// # Operating
///
/// What a running layer tells, and the handle on it.
impl<K> MemoLockLayer<K> {
    /// What responses say in `Cache-Status` (RFC 9211). Defaults to [`CacheStatus::Silent`].
    #[must_use]
    pub fn cache_status(mut self, cache_status: CacheStatus) -> Self {
        (self.cache.cache_status, self.cache.cache_status_key) = match cache_status {
            CacheStatus::Silent => (false, false),
            CacheStatus::Outcome => (true, false),
            CacheStatus::OutcomeAndKey => (true, true),
        };
        self
    }

    /// Whether the layer only watches, and which hits it computes anew to compare them. Defaults to [`Audit::Off`].
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn audit(mut self, audit: Audit) -> Self {
        (self.cache.shadow, self.cache.verify) = match audit {
            Audit::Off => (None, None),
            Audit::Shadow => (Some(Arc::default()), None),
            Audit::Verify(fraction) => (None, Verify::fraction(fraction)),
        };
        self
    }

    /// A handle on this layer, its clones and their services: for invalidation, figures and the end of the program. Call
    /// it once everything is set, because the handle finds keys as the layer does at this moment.
    #[must_use]
    pub fn handle(&self) -> Handle<K>
    where
        K: Clone,
    {
        Handle::new(self.key.clone(), Arc::new(self.cache.clone()))
    }
}
