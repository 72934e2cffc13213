//! [`Books`]: what would have been stored, and what was under way.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::HeaderName;
use tokio::time::Instant;

use super::asked::{RequestStanding, RequestTraits};
use super::evidence::{Names, PartDigests};
use super::flight::{EarlyFollower, ShadowFlight, ShadowLanding, ShadowVariant, Sighting, lock, variant};
use super::pages::Pages;
use super::route::RouteFigures;

/// How many routes are told apart. Routes that come later count as [`OTHERS`].
const MOST_ROUTES: usize = 64;
const OTHERS: &str = "other routes";

/// How many responses are remembered.
const MOST_KNOWN: usize = 4096;

/// What would become of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Fresh for so long.
    Stored(Duration),
    Shared,
    /// For its own client alone, for this reason.
    Alone(&'static str),
}

/// A whole response.
pub(super) struct WatchedResponse {
    pub(super) digest: [u8; 16],
    pub(super) fate: Fate,
    /// What it varies by.
    pub(super) vary: Vec<HeaderName>,
}

/// What would have become of a request.
pub(super) enum ShadowPlan {
    Alone(&'static str),
    /// It has credentials. With the outcome for a request without them, if there is one.
    OnItsOwn(Option<Arc<Sighting>>),
    /// A part of what is stored, or its head.
    Part,
    Hit(Arc<Sighting>),
    Follow(Arc<Mutex<ShadowFlight>>),
    Lead(Arc<Mutex<ShadowFlight>>, VariantId),
}

/// A key, and a variant of it; zero where it has none.
type VariantId = (u64, u64);

#[derive(Default)]
struct KnownVariant {
    stored: Option<(Arc<Sighting>, Instant)>,
    flight: Option<Arc<Mutex<ShadowFlight>>>,
}

/// A request under way.
pub(super) struct WatchedRequest {
    pub(super) route: usize,
    pub(super) fields: PartDigests,
    pub(super) parameters: PartDigests,
    pub(super) plan: ShadowPlan,
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) seed: RandomState,
    pub(super) routes: Vec<(String, RouteFigures)>,
    by_name: HashMap<String, usize>,
    pub(super) field_names: Names,
    pub(super) parameter_names: Names,
    vary: HashMap<u64, Vec<HeaderName>>,
    known: HashMap<VariantId, KnownVariant>,
    pages: Pages,
}

impl Books {
    /// A request comes.
    pub(super) fn begin(&mut self, asked: &RequestTraits, now: Instant) -> WatchedRequest {
        let route = self.route(&asked.route);
        let figures = &mut self.routes[route].1;
        figures.requests += 1;
        for name in &asked.credentials {
            if figures.credentials.len() < 16 || figures.credentials.contains_key(name.as_str()) {
                *figures.credentials.entry(name.as_str().to_owned()).or_default() += 1;
            }
        }
        let Self {
            seed,
            field_names,
            parameter_names,
            ..
        } = self;
        let fields = field_names.number(asked.field_digests(seed));
        let parameters = parameter_names.number(asked.parameter_digests(seed));
        let plan = self.plan(asked, now);
        WatchedRequest {
            route,
            fields,
            parameters,
            plan,
        }
    }

    fn route(&mut self, name: &str) -> usize {
        let name = match self.by_name.contains_key(name) || self.routes.len() < MOST_ROUTES {
            true => name,
            false => OTHERS,
        };
        *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            self.routes.push((name.to_owned(), RouteFigures::default()));
            self.routes.len() - 1
        })
    }

    fn plan(&mut self, asked: &RequestTraits, now: Instant) -> ShadowPlan {
        let (key, constraints) = match &asked.standing {
            RequestStanding::Keyed(key, constraints) => (self.seed.hash_one(key.as_str()), constraints),
            RequestStanding::Alone(reason) => return ShadowPlan::Alone(reason),
            RequestStanding::Changes(key) => {
                let changed = key.as_ref().map(|key| self.seed.hash_one(key.as_str()));
                self.known.retain(|(key, _), _| Some(*key) != changed);
                return ShadowPlan::Alone("method");
            }
        };
        let names = self.vary.get(&key).map_or(&[][..], Vec::as_slice);
        let id = (key, variant(names, &asked.headers));
        let known = self.known.get(&id);
        let stored = known
            .and_then(|known| known.stored.as_ref())
            .filter(|(_, until)| *until > now);
        let stored = stored.map(|(sighting, _)| Arc::clone(sighting));
        if constraints.has_credentials() {
            return ShadowPlan::OnItsOwn(stored);
        }
        match (stored, constraints.is_for_all_of_it()) {
            (Some(stored), true) => return ShadowPlan::Hit(stored),
            (Some(_), false) => return ShadowPlan::Part,
            (None, false) => return ShadowPlan::Alone("partial"),
            (None, true) => {}
        }
        if let Some(flight) = known.and_then(|known| known.flight.clone()) {
            return ShadowPlan::Follow(flight);
        }
        self.make_room();
        let flight: Arc<Mutex<ShadowFlight>> = Arc::default();
        self.known.entry(id).or_default().flight = Some(Arc::clone(&flight));
        ShadowPlan::Lead(flight, id)
    }

    /// Forgets entries that are of no use any more, or some others.
    fn make_room(&mut self) {
        if self.known.len() < MOST_KNOWN {
            return;
        }
        let now = Instant::now();
        self.known
            .retain(|_, known| known.flight.is_some() || known.stored.as_ref().is_some_and(|(_, until)| *until > now));
        if self.known.len() > MOST_KNOWN / 2 {
            // A flight whose entry is forgotten while it is under way has no leader any more.
            self.known.retain(|(key, _), _| key & 1 == 0);
        }
        self.vary.retain(|key, _| key & 1 == 0);
    }

    /// It came to no end.
    pub(super) fn broken(&mut self, entry: &WatchedRequest) {
        self.routes[entry.route].1.broken += 1;
        if let ShadowPlan::Lead(flight, id) = &entry.plan {
            self.land(flight, *id, &ShadowLanding::Alone("broken"));
        }
    }

    /// Its response has gone by.
    pub(super) fn finish(
        &mut self,
        asked: &RequestTraits,
        entry: WatchedRequest,
        seen: WatchedResponse,
        took: Duration,
        now: Instant,
    ) {
        let WatchedRequest {
            route,
            fields,
            parameters,
            plan,
        } = entry;
        self.routes[route].1.spent += took;
        if !matches!(plan, ShadowPlan::Alone(_) | ShadowPlan::Part) {
            let page = self.seed.hash_one(&asked.page);
            let evidence = &mut self.routes[route].1.parameters;
            self.pages.learn(page, parameters, seen.digest, evidence);
        }
        let sighting = Sighting {
            digest: seen.digest,
            fields,
        };
        let figures = &mut self.routes[route].1;
        match plan {
            ShadowPlan::Alone(reason) => count(&mut figures.alone, reason),
            ShadowPlan::Part => figures.spare(true, took),
            ShadowPlan::OnItsOwn(stored) => {
                if let Some(stored) = stored {
                    figures.pair(&sighting, &stored);
                }
                match seen.fate {
                    Fate::Alone(reason) => count(&mut figures.alone, reason),
                    Fate::Stored(_) | Fate::Shared => figures.led += 1,
                }
            }
            ShadowPlan::Hit(stored) => {
                figures.spare(true, took);
                figures.compare(&sighting, &stored);
            }
            ShadowPlan::Follow(flight) => {
                let early = EarlyFollower {
                    sighting,
                    headers: asked.headers.clone(),
                    route,
                    took,
                };
                let landed = lock(&flight).join(early);
                if let Some((landed, early)) = landed {
                    self.followed(&landed, &early);
                }
            }
            ShadowPlan::Lead(flight, id) => self.led(asked, (route, sighting), (&flight, id), seen, now),
        }
    }

    fn led(
        &mut self,
        asked: &RequestTraits,
        (route, sighting): (usize, Sighting),
        (flight, id): (&Arc<Mutex<ShadowFlight>>, VariantId),
        seen: WatchedResponse,
        now: Instant,
    ) {
        let WatchedResponse { fate, vary, .. } = seen;
        let figures = &mut self.routes[route].1;
        if let Fate::Alone(reason) = fate {
            count(&mut figures.alone, reason);
            return self.land(flight, id, &ShadowLanding::Alone(reason));
        }
        figures.led += 1;
        let sighting = Arc::new(sighting);
        let variant = ShadowVariant {
            fingerprint: variant(&vary, &asked.headers),
            names: vary,
        };
        if let Fate::Stored(fresh_for) = fate {
            let id = (id.0, variant.fingerprint);
            let stored = (Arc::clone(&sighting), now + fresh_for.min(Duration::from_secs(86_400)));
            self.known.entry(id).or_default().stored = Some(stored);
        }
        if !variant.names.is_empty() {
            self.vary.insert(id.0, variant.names.clone());
        }
        self.land(flight, id, &ShadowLanding::Shared(sighting, Arc::new(variant)));
    }

    /// Tells the requests that would have waited.
    fn land(&mut self, flight: &Arc<Mutex<ShadowFlight>>, id: VariantId, landing: &ShadowLanding) {
        if let Some(known) = self.known.get_mut(&id)
            && known.flight.as_ref().is_some_and(|known| Arc::ptr_eq(known, flight))
        {
            known.flight = None;
            if known.stored.is_none() {
                self.known.remove(&id);
            }
        }
        let early = lock(flight).land(landing.clone());
        early.iter().for_each(|early| self.followed(landing, early));
    }

    fn followed(&mut self, landing: &ShadowLanding, early: &EarlyFollower) {
        let figures = &mut self.routes[early.route].1;
        match landing {
            ShadowLanding::Alone(reason) => count(&mut figures.alone, reason),
            ShadowLanding::Shared(_, of) if variant(&of.names, &early.headers) != of.fingerprint => figures.led += 1,
            ShadowLanding::Shared(sighting, _) => {
                figures.spare(false, early.took);
                figures.compare(&early.sighting, sighting);
            }
        }
    }
}

fn count(counts: &mut BTreeMap<&'static str, u64>, reason: &'static str) {
    *counts.entry(reason).or_default() += 1;
}
