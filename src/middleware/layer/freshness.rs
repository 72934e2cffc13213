//! How long responses are stored.

use std::sync::Arc;
use std::time::Duration;

use super::MemoLockLayer;
use crate::middleware::known::demand::Demand;
use crate::middleware::settings::Freshness;

/// # Freshness
///
/// How long a response is stored, and what becomes of it once it is stale.
impl<K> MemoLockLayer<K> {
    /// How long to keep a response that says nothing of its own freshness. Defaults to not at all: only its followers
    /// get such a response.
    ///
    /// A response that does say (`Cache-Control: max-age`, `s-maxage`, `Expires`) is kept as long as it says. The ttl
    /// does not apply to a response in which any field about caching says `private` or `no-store`, be it
    /// `Cache-Control` or a [targeted](Freshness::targeted) field, for this cache or for another.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.cache.responses.ttl = (!ttl.is_zero()).then_some(ttl);
        self
    }

    /// The other settings of freshness: stale responses, single statuses, when nothing is stored. What `freshness` does
    /// not set stays as it is.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        if let Some(requests) = freshness.requests_before_storing() {
            self.cache.demand = (requests > 1).then(|| Arc::new(Demand::new(requests)));
        }
        if let Some(stamped) = freshness.stamps_all() {
            self.cache.memo = self.cache.memo.stamped(stamped);
        }
        freshness.apply(&mut self.cache.requests, &mut self.cache.responses);
        self
    }

    #[cfg(test)]
    pub(crate) fn random(mut self, random: crate::random::Random) -> Self {
        self.cache.responses.random = random;
        self
    }
}
