//! Which responses are shared, and what becomes of failures.

use super::MemoLockLayer;
use crate::middleware::settings::{Failures, Privacy};

/// # Privacy
///
/// Which responses are shared, and with which clients.
impl<K> MemoLockLayer<K> {
    /// Which requests have credentials, and what responses they share; what becomes of cookies. What `privacy` does not
    /// set stays as it is.
    #[must_use]
    pub fn privacy(mut self, privacy: Privacy) -> Self {
        privacy.apply(&mut self.cache.requests, &mut self.cache.responses);
        self
    }

    /// What becomes of followers where the inner service fails. What `failures` does not set stays as it is.
    #[must_use]
    pub fn failures(mut self, failures: Failures) -> Self {
        failures.apply(&mut self.cache.responses);
        self
    }
}
