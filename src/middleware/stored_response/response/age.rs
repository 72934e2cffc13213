//! How old a response is, and whether it is fresh.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{AGE, DATE, HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::StoredResponse;
use crate::middleware::policy::cache_status::CACHE_STATUS;
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
    /// When it is no longer fresh: not before the clock ends, if `None`.
    stale_from: Option<Instant>,
}

impl AgeClock {
    fn new(meta: &Meta, age: Duration, at: Instant) -> Self {
        let lifetime = meta.age.saturating_add(meta.fresh_for);
        let stale_from = at.checked_add(lifetime.saturating_sub(age));
        Self { age, at, stale_from }
    }
}

impl StoredResponse {
    /// The same, with the moment that [`Meta::stored_at`] names on this process's own clock.
    pub(crate) fn stored(self, at: Instant) -> Self {
        // The age has not been asked for yet.
        let _ = self.clock.set(AgeClock::new(&self.meta, self.meta.age, at));
        self
    }

    /// How old the response is (RFC 9111, section 4.2.3).
    pub(crate) fn age_at(&self, now: Instant) -> Duration {
        let clock = self.clock(now);
        clock.age.saturating_add(now.saturating_duration_since(clock.at))
    }

    fn clock(&self, now: Instant) -> &AgeClock {
        self.clock
            .get_or_init(|| AgeClock::new(&self.meta, self.meta.age_now(), now))
    }

    /// How long the response stays fresh; `None` once it is stale.
    pub(crate) fn fresh_at(&self, now: Instant) -> Option<Duration> {
        let lifetime = self.meta.age.saturating_add(self.meta.fresh_for);
        let left = lifetime.saturating_sub(self.age_at(now));
        (!left.is_zero() || self.ends_with_its_freshness()).then_some(left)
    }

    /// Whether the response is fresh.
    pub(crate) fn is_fresh_at(&self, now: Instant) -> bool {
        self.ends_with_its_freshness() || self.clock(now).stale_from.is_none_or(|end| now < end)
    }

    /// What is not kept any longer than it is fresh, the store forgets in time: no clock but its own counts.
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

    /// The header fields with an `Age`, and, if there is to be one, an empty `Cache-Status` where there is none. Made for
    /// the first hit: those that follow only change the values, which saves them the growth of the map.
    pub(crate) fn aged_headers(&self, cache_status: bool) -> HeaderMap {
        let aged = self.aged.get_or_init(|| {
            let mut headers = HeaderMap::with_capacity(self.headers.keys_len() + ADDED);
            // First, where a hit finds it at once.
            headers.insert(AGE, HeaderValue::from_static("0"));
            let mut stored = self.headers.clone();
            stored.remove(AGE);
            headers.extend(stored);
            headers.extend(self.missing_date().map(|date| (DATE, date)));
            if cache_status && !headers.contains_key(CACHE_STATUS) {
                headers.insert(CACHE_STATUS, HeaderValue::from_static(""));
            }
            Box::new(Aged { headers, cache_status })
        });
        // Layers with different settings may share a store.
        if aged.cache_status == cache_status {
            return aged.headers.clone();
        }
        let mut headers = self.headers.clone();
        headers.extend(self.missing_date().map(|date| (DATE, date)));
        headers
    }

    /// When it was received, as the `Date` that a response must have which came without one (RFC 9110, section 6.6.1).
    ///
    /// `None` for gRPC, whose clients would take it for metadata, and where it is not known.
    pub(crate) fn missing_date(&self) -> Option<HeaderValue> {
        const YEAR_10000: u64 = 253_402_300_800;
        if self.is_grpc || self.headers.contains_key(DATE) {
            return None;
        }
        let since = self.meta.stored_at.duration_since(UNIX_EPOCH).ok()?;
        if !(1..YEAR_10000).contains(&since.as_secs()) {
            return None;
        }
        HeaderValue::try_from(httpdate::fmt_http_date(self.meta.stored_at)).ok()
    }
}
