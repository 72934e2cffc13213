//! [`ShadowFlight`]: a response under way that others would wait for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;

use super::evidence::PartDigests;
use crate::middleware::policy::vary::fingerprint;

/// How many requests are remembered that were answered before the leader for which they would have waited.
const MOST_EARLY: usize = 64;

/// A response, and the request that led to it.
pub(super) struct Sighting {
    pub(super) digest: [u8; 16],
    pub(super) fields: PartDigests,
}

/// A response under way, and what has become of it.
#[derive(Default)]
pub(super) struct ShadowFlight {
    landed: Option<ShadowLanding>,
    /// Requests that would have waited and have had their own response before.
    early: Vec<EarlyFollower>,
}

#[derive(Clone)]
pub(super) enum ShadowLanding {
    Shared(Arc<Sighting>, Arc<ShadowVariant>),
    Alone(&'static str),
}

pub(super) struct ShadowVariant {
    pub(super) names: Vec<HeaderName>,
    pub(super) fingerprint: u64,
}

/// A request that would have waited, with its own response.
pub(super) struct EarlyFollower {
    pub(super) sighting: Sighting,
    pub(super) headers: HeaderMap,
    pub(super) route: usize,
    pub(super) took: Duration,
}

pub(super) fn lock(flight: &Mutex<ShadowFlight>) -> MutexGuard<'_, ShadowFlight> {
    flight.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ShadowFlight {
    /// A follower has had its own response. Returns what the leader's was, if that is known already.
    pub(super) fn join(&mut self, early: EarlyFollower) -> Option<(ShadowLanding, EarlyFollower)> {
        if let Some(landed) = self.landed.clone() {
            return Some((landed, early));
        }
        if self.early.len() < MOST_EARLY {
            self.early.push(early);
        }
        None
    }

    /// The leader's response has gone by. Returns the followers that have had their own before.
    pub(super) fn land(&mut self, landing: ShadowLanding) -> Vec<EarlyFollower> {
        self.landed = Some(landing);
        std::mem::take(&mut self.early)
    }
}

/// The variant for these fields.
pub(super) fn variant(names: &[HeaderName], headers: &HeaderMap) -> u64 {
    if names.is_empty() {
        return 0;
    }
    let fingerprint = fingerprint(names, headers);
    let mut short = [0; 8];
    short.copy_from_slice(&fingerprint[..8]);
    u64::from_be_bytes(short) | 1
}
