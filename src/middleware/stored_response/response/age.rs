//! How old a response is, and whether it is fresh.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AGE, DATE, HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::StoredResponse;
use crate::memo::Aim;
use crate::middleware::policy::cache_status::CACHE_STATUS;
use crate::middleware::policy::date;
use crate::middleware::policy::fields;
use crate::middleware::policy::meta::Meta;

/// How many fields a hit adds at most.
pub(super) const ADDED: usize = 3;

/// The header fields with room for what a hit adds to them.
#[derive(Clone)]
pub(super) struct Aged {
    headers: HeaderMap,
    cache_status: bool,
}

/// How old the response was at some moment. Counting from there saves a look at the calendar.
#[derive(Clone, Copy)]
pub(super) struct AgeClock {
    age: Duration,
    at: Instant,
    is_fresh: Fresh,
}

/// How long from that moment on it is fresh.
#[derive(Clone, Copy)]
enum Fresh {
    /// Stale even to a request whose own moment is an earlier one.
    Never,
    Until(Instant),
    /// For longer than the clock counts.
    Always,
}

impl AgeClock {
    fn new(meta: &Meta, age: Duration, at: Instant) -> Self {
        let lifetime = meta.age.saturating_add(meta.fresh_for);
        let left = lifetime.saturating_sub(age);
        let is_fresh = match at.checked_add(left) {
            _ if left.is_zero() => Fresh::Never,
            Some(end) => Fresh::Until(end),
            None => Fresh::Always,
        };
        Self { age, at, is_fresh }
    }
}

impl StoredResponse {
    /// The same, with the moment that [`Meta::stored_at`] names on this process's own clock.
    pub(crate) fn stored(self, at: Instant) -> Self {
        // The age has not been asked for yet.
        let _ = self.clock.set(AgeClock::new(&self.meta, self.meta.age, at));
        self
    }

    /// The same, softly invalidated at that time: stale from then on, whatever clocks say. `None` where it may not be served
    /// stale.
    pub(crate) fn softened(&self, since: SystemTime) -> Option<Self> {
        let Meta {
            stored_at,
            fresh_for,
            stale_while_revalidate: meanwhile,
            stale_if_error: on_error,
            ..
        } = self.meta;
        if self.meta.is_marker || self.meta.must_revalidate || meanwhile.max(on_error).is_zero() {
            return None;
        }
        let mut soft = self.clone();
        let fresh = since.duration_since(stored_at).unwrap_or_default();
        soft.meta.fresh_for = fresh_for.min(fresh);
        soft.soft_since = self.soft_since.or(Some(since));
        Some(soft)
    }

    /// Whether it was softly invalidated.
    pub(crate) fn is_soft(&self) -> bool {
        self.soft_since.is_some()
    }

    /// Whether it is what a request wants that has this aim.
    pub(crate) fn meets(&self, aim: Aim) -> bool {
        match aim {
            Aim::Fresh => true,
            Aim::Since(receipt) => self
                .meta
                .began
                .map_or_else(|| !self.is_soft(), |began| receipt.is_met_by(began)),
            Aim::Now => false,
        }
    }

    /// The same, softly invalidated if the other one was. `None` where it may not be served stale then.
    pub(crate) fn as_soft_as(self: Arc<Self>, first: &Self) -> Option<Arc<Self>> {
        match first.soft_since {
            Some(since) if !self.is_soft() => self.softened(since).map(Arc::new),
            _ => Some(self),
        }
    }

    /// How old the response is (RFC 9111, section 4.2.3).
    #[inline]
    pub(crate) fn age_at(&self, now: Instant) -> Duration {
        let clock = self.clock(now);
        clock.age.saturating_add(now.saturating_duration_since(clock.at))
    }

    #[inline]
    fn clock(&self, now: Instant) -> &AgeClock {
        self.clock
            .get_or_init(|| AgeClock::new(&self.meta, self.meta.age_now(), now))
    }

    /// How long the response stays fresh; `None` once it is stale.
    pub(crate) fn fresh_at(&self, now: Instant) -> Option<Duration> {
        let lifetime = self.meta.age.saturating_add(self.meta.fresh_for);
        let left = lifetime.saturating_sub(self.age_at(now));
        let is_fresh = !left.is_zero() || self.ends_with_its_freshness();
        (is_fresh && !self.is_soft()).then_some(left)
    }

    /// Whether the response is fresh.
    #[inline]
    pub(crate) fn is_fresh_at(&self, now: Instant) -> bool {
        let is_fresh = || match self.clock(now).is_fresh {
            Fresh::Never => false,
            Fresh::Until(end) => now < end,
            Fresh::Always => true,
        };
        !self.is_soft() && (is_fresh() || self.ends_with_its_freshness())
    }

    /// The store forgets a response in time that is kept only as long as it is fresh: no clock but the store's counts.
    fn ends_with_its_freshness(&self) -> bool {
        self.meta.kept().is_zero() && !self.meta.is_marker
    }

    /// How long the response has been stale: zero where it is fresh.
    pub(crate) fn stale_at(&self, now: Instant) -> Duration {
        let lifetime = self.meta.age.saturating_add(self.meta.fresh_for);
        match self.fresh_at(now) {
            Some(_) => Duration::ZERO,
            None => self.age_at(now).saturating_sub(lifetime),
        }
    }

    /// Whether it may be replayed while a new one is computed (RFC 5861, section 3).
    pub(crate) fn serves_meanwhile(&self, now: Instant) -> bool {
        self.stale_at(now) < self.meta.stale_while_revalidate
    }

    /// Whether it may be replayed where computing a new one fails (RFC 5861, section 4).
    pub(crate) fn serves_on_error(&self, now: Instant) -> bool {
        self.stale_at(now) < self.meta.stale_if_error
    }

    /// The header fields with an `Age`, and, if there is to be one, an empty `Cache-Status` where there is none. Made
    /// for the first hit: later hits only change the values, which saves them the growth of the map.
    #[inline]
    pub(crate) fn aged_headers(&self, cache_status: bool) -> HeaderMap {
        let aged = self.aged.get_or_init(|| {
            let mut headers = HeaderMap::with_capacity(self.headers.keys_len() + ADDED);
            // First, where a hit finds it at once.
            fields::set(&mut headers, AGE, HeaderValue::from_static("0"));
            let mut stored = self.headers.clone();
            stored.remove(AGE);
            headers.extend(stored);
            self.add_missing_date(&mut headers);
            if cache_status && !headers.contains_key(CACHE_STATUS) {
                fields::set(&mut headers, CACHE_STATUS, HeaderValue::from_static(""));
            }
            Box::new(Aged { headers, cache_status })
        });
        // Layers with different settings may share a store.
        if aged.cache_status == cache_status {
            return aged.headers.clone();
        }
        let mut headers = self.headers.clone();
        self.add_missing_date(&mut headers);
        headers
    }

    fn add_missing_date(&self, headers: &mut HeaderMap) {
        if let Some(date) = self.missing_date() {
            fields::set(headers, DATE, date);
        }
    }

    /// When the response was received, as the `Date` of a response that came without one, which it must have (RFC 9110,
    /// section 6.6.1).
    ///
    /// `None` for gRPC, whose clients would take it for metadata, and where it is not known.
    pub(crate) fn missing_date(&self) -> Option<HeaderValue> {
        if self.is_grpc || self.headers.contains_key(DATE) {
            return None;
        }
        let since = self.meta.stored_at.duration_since(UNIX_EPOCH).ok()?;
        match since.as_secs() {
            0 => None,
            _ => date::field_value(self.meta.stored_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    /// A response that a store keeps for longer than it is fresh, which it is for this long.
    fn fresh_for(fresh_for: Duration, at: Instant) -> StoredResponse {
        let meta = Meta {
            fresh_for,
            stale_if_error: Duration::from_secs(60),
            ..Meta::default()
        };
        StoredResponse::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, meta).stored(at)
    }

    #[test]
    fn what_was_never_fresh_is_stale_to_a_request_from_before_it_was_stored() {
        let at = Instant::now() + Duration::from_secs(10);
        for (lifetime, moments) in [(0, [false, false, false]), (5, [true, true, false])] {
            let response = fresh_for(Duration::from_secs(lifetime), at);
            let seen = [
                at - Duration::from_secs(1),
                at + Duration::from_secs(lifetime / 2),
                at + Duration::from_secs(5),
            ];
            let is_fresh = seen.map(|now| response.is_fresh_at(now));
            assert_eq!(is_fresh, moments, "{lifetime}");
            assert_eq!(is_fresh, seen.map(|now| response.fresh_at(now).is_some()));
        }
        assert!(fresh_for(Duration::MAX, at).is_fresh_at(at + Duration::from_secs(1 << 30)));
    }
}
