//! [`AdminState`]: all that can be shown of all layers, at one moment.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

use super::json::JsonText;
use super::shadow::{Watched, watched};
use super::source::Source;
use super::verified::{Verified, verified};
use crate::key::{Address, Readable};
use crate::memo::{FailureNote, FlightRole, Glance, Hot, Stats};
#[cfg(feature = "redis")]
use crate::store::RedisStore;

/// How many flights are shown, the oldest ones.
const MOST_FLIGHTS: usize = 100;

/// How many hot keys, and how many kinds of failure.
const MOST_HOT: usize = 20;
const MOST_FAILURES: usize = 32;

/// What is under way for one key.
pub(super) struct InFlight {
    pub(super) address: Address,
    pub(super) role: &'static str,
    pub(super) waiters: usize,
    pub(super) age: Duration,
    /// How long the lock lasts unless it is renewed.
    pub(super) lease: Option<Duration>,
}

/// The figures of one tag.
pub(super) struct TagFigures {
    pub(super) tag: String,
    pub(super) stats: Stats,
}

pub(super) struct AdminState {
    pub(super) tags: Vec<TagFigures>,
    /// The state of each Redis.
    pub(super) stores: Vec<RedisHealth>,
    pub(super) in_flight: Vec<InFlight>,
    pub(super) hottest: Vec<Hot>,
    /// Each with how long ago it was.
    pub(super) failures: Vec<(FailureNote, Duration)>,
    pub(super) shadows: Vec<Watched>,
    pub(super) verified: Vec<Verified>,
}

/// The state of a Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RedisHealth {
    pub(super) connected: bool,
    pub(super) pending_invalidations: u64,
}

impl TagFigures {
    /// The share of requests that a stored response answered, among all that a shareable response answered.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        let Stats {
            hits,
            stale,
            led,
            followed,
            ..
        } = self.stats;
        ratio(hits + stale, hits + stale + led + followed)
    }

    /// The share of requests that another's computation answered, among those that found nothing.
    pub(super) fn collapse_ratio(&self) -> Option<f64> {
        let Stats { led, followed, .. } = self.stats;
        ratio(followed, led + followed)
    }
}

fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

impl AdminState {
    pub(super) fn of<B>(sources: &[Arc<dyn Source<B>>]) -> Self {
        let now = Instant::now();
        let mut state = Self {
            tags: Vec::new(),
            stores: Vec::new(),
            in_flight: Vec::new(),
            hottest: Vec::new(),
            failures: Vec::new(),
            shadows: watched(sources),
            verified: verified(sources),
        };
        for source in distinct(sources) {
            state.tags.push(TagFigures {
                tag: source.tag().to_owned(),
                stats: source.stats(),
            });
            let oldest = source.oldest(MOST_FLIGHTS).into_iter();
            state
                .in_flight
                .extend(oldest.map(|(address, seen)| InFlight::new(address, seen, now)));
            state.hottest.extend(source.hottest());
            let since = |note: &FailureNote| crate::system::now().duration_since(note.last).unwrap_or_default();
            let failures = source.failures().into_iter();
            state.failures.extend(
                failures
                    .map(|note| (since(&note), note))
                    .map(|(since, note)| (note, since)),
            );
        }
        state.stores = links(sources);
        state.in_flight.sort_by_key(|flight| std::cmp::Reverse(flight.age));
        state.in_flight.truncate(MOST_FLIGHTS);
        state.hottest.sort_by_key(|hot| std::cmp::Reverse(hot.requests));
        state.hottest.truncate(MOST_HOT);
        state.failures.sort_by_key(|(_, since)| *since);
        state.failures.truncate(MOST_FAILURES);
        state
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let mut json = JsonText::default();
        json.object(|json| {
            json.name("tags")
                .array(&self.tags, |json, tag| json.object(|json| tag.write(json)));
            json.name("in_flight")
                .array(&self.in_flight, |json, flight| json.object(|json| flight.write(json)));
            json.name("hottest").array(&self.hottest, |json, hot| {
                json.object(|json| {
                    json.name("key").text(&Readable(&hot.address).to_string());
                    json.name("requests").plain(hot.requests);
                });
            });
            json.name("failures").array(&self.failures, |json, (note, since)| {
                json.object(|json| {
                    json.name("what").text(&note.what);
                    json.name("key").text(&note.key);
                    json.name("count").plain(note.count);
                    json.name("last_seconds_ago").decimal(Some(since.as_secs_f64()));
                    let at = note.last.duration_since(UNIX_EPOCH).unwrap_or_default();
                    json.name("last").decimal(Some(at.as_secs_f64()));
                });
            });
            json.name("shadow")
                .array(&self.shadows, |json, watched| json.object(|json| watched.write(json)));
            json.name("verify").array(&self.verified, |json, verified| {
                json.object(|json| verified.write(json));
            });
            json.name("redis").array(&self.stores, |json, link| {
                json.object(|json| {
                    json.name("connected").plain(link.connected);
                    json.name("pending_invalidations").plain(link.pending_invalidations);
                });
            });
        });
        json.into_text()
    }
}

impl TagFigures {
    fn write(&self, json: &mut JsonText) {
        json.name("tag").text(&self.tag);
        json.name("hit_ratio").decimal(self.hit_ratio());
        json.name("collapse_ratio").decimal(self.collapse_ratio());
        self.stats.each(|name, value| json.name(name).plain(value));
    }
}

impl InFlight {
    fn new(address: Address, seen: Glance, now: Instant) -> Self {
        Self {
            address,
            role: match seen.role {
                FlightRole::Leader => "leader",
                FlightRole::Follower => "follower",
                FlightRole::Asking => "asking",
            },
            waiters: seen.waiters,
            age: now.saturating_duration_since(seen.began),
            lease: seen.lease.map(|end| end.saturating_duration_since(now)),
        }
    }

    fn write(&self, json: &mut JsonText) {
        json.name("key").text(&self.address.readable().to_string());
        json.name("role").text(self.role);
        json.name("waiters").plain(self.waiters);
        json.name("age_seconds").decimal(Some(self.age.as_secs_f64()));
        json.name("lease_seconds")
            .decimal(self.lease.map(|lease| lease.as_secs_f64()));
    }
}

/// Each of them once.
pub(super) fn distinct<B>(sources: &[Arc<dyn Source<B>>]) -> impl Iterator<Item = &Arc<dyn Source<B>>> {
    let mut seen = HashSet::new();
    sources.iter().filter(move |source| seen.insert(source.identity()))
}

#[cfg(feature = "redis")]
fn links<B>(sources: &[Arc<dyn Source<B>>]) -> Vec<RedisHealth> {
    let stores = redis_stores(sources).into_iter();
    let stats = stores.map(RedisStore::stats);
    let links = stats.map(|stats| RedisHealth {
        connected: stats.commands.connected && stats.notifications.connected,
        pending_invalidations: stats.pending_invalidations,
    });
    links.collect()
}

#[cfg(not(feature = "redis"))]
fn links<B>(_: &[Arc<dyn Source<B>>]) -> Vec<RedisHealth> {
    Vec::new()
}

/// Each Redis once, however many layers use it.
#[cfg(feature = "redis")]
pub(super) fn redis_stores<B>(sources: &[Arc<dyn Source<B>>]) -> Vec<&RedisStore> {
    let mut stores: Vec<&RedisStore> = Vec::new();
    for store in sources.iter().filter_map(|source| source.redis()) {
        if !stores.iter().any(|known| known.is_clone_of(store)) {
            stores.push(store);
        }
    }
    stores
}
