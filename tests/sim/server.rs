//! [`Server`]: the simulated store itself, one database of it. Each step happens at once, where nothing comes between.

mod labels;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;
use tower_memolock::store::{Acquire, Lock, Notice, Release, Renewed, Token, Value};

use self::labels::Labels;
use crate::checks;
use crate::ears::Ears;
use crate::plan::Knobs;
use crate::sim::Sim;
use crate::world::EPOCH;

#[derive(Default)]
pub(crate) struct Server {
    values: BTreeMap<String, Stored>,
    locks: BTreeMap<String, Held>,
    generations: BTreeMap<String, Labels>,
    kept: BTreeMap<(String, String), Bytes>,
    pub(crate) ears: Ears,
    pub(crate) is_down: bool,
    pub(crate) stands_still_until: Option<Instant>,
}

struct Stored {
    bytes: Bytes,
    soft_since: Option<SystemTime>,
    expires: Instant,
}

impl Stored {
    fn value(&self) -> Value {
        softened(Value::encoded(self.bytes.clone()), self.soft_since)
    }
}

fn softened(value: Value, since: Option<SystemTime>) -> Value {
    match since {
        Some(since) => value.softened(since),
        None => value,
    }
}

pub(crate) struct Held {
    pub(crate) token: Token,
    pub(crate) node: usize,
    /// When it was granted first.
    pub(crate) since: u64,
    /// Since when its value is softly invalidated, if it was meanwhile.
    soft_since: Option<SystemTime>,
    expires: Instant,
}

/// The sender of a command, and where things are written down.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) sim: Arc<Sim>,
    pub(crate) database: usize,
    pub(crate) node: usize,
    pub(crate) address: String,
}

fn after(time: Duration, knobs: &Knobs) -> Instant {
    let rate = if knobs.store_rate == 0 { 100 } else { knobs.store_rate };
    let time = time.min(Duration::from_secs(86_400 * 400)) * 100 / rate as u32;
    Instant::now() + time
}

impl Server {
    fn read(&self, address: &str) -> Option<Value> {
        let stored = self.values.get(address)?;
        (stored.expires > Instant::now()).then(|| stored.value())
    }

    pub(crate) fn holder(&self, address: &str) -> Option<&Held> {
        self.locks.get(address).filter(|held| held.expires > Instant::now())
    }

    fn held_with(&mut self, address: &str, token: Token) -> Option<&mut Held> {
        let held = self.locks.get_mut(address)?;
        (held.expires > Instant::now() && held.token == token).then_some(held)
    }

    pub(crate) fn lookup(&self, from: &Sender) -> Option<Value> {
        let knobs = from.sim.knobs();
        if from.address.starts_with("page:") && from.sim.rng().chance(knobs.mixups) {
            from.sim.made("an answer was that of another address");
            let other = self.values.iter().find(|(address, _)| **address != from.address);
            return other.map(|(_, stored)| stored.value());
        }
        self.read(&from.address)
    }

    pub(crate) fn acquire(&mut self, from: &Sender, token: Token, lease: Duration) -> Acquire {
        let expires = after(lease, &from.sim.knobs());
        let (sim, address) = (&from.sim, &from.address);
        let value = self.read(address);
        if let Some(held) = self.holder(address).filter(|held| held.token != token) {
            let remaining = Some(held.expires - Instant::now());
            sim.made("acquire: held by another");
            return Acquire {
                lock: Lock::Held { remaining },
                value,
                holder: held.token.trace_context(),
            };
        }
        sim.made(match (value.is_some(), self.locks.contains_key(address)) {
            (true, _) => "acquire: granted, with a value",
            (false, true) => "acquire: granted after a lease ended",
            (false, false) => "acquire: granted",
        });
        let since = match self.held_with(address, token) {
            Some(held) if held.node == from.node => held.since,
            Some(_) => {
                sim.wrong(|| format!("two nodes hold the lock of {address} with one token"));
                0
            }
            None => sim.moment(),
        };
        let soft_since = self.held_with(address, token).and_then(|held| held.soft_since);
        let held = Held {
            token,
            node: from.node,
            since,
            soft_since,
            expires,
        };
        self.locks.insert(address.clone(), held);
        Acquire {
            lock: Lock::Granted,
            value,
            holder: None,
        }
    }

    pub(crate) fn renew(&mut self, from: &Sender, token: Token, lease: Duration) -> Renewed {
        let expires = after(lease, &from.sim.knobs());
        let held = self.held_with(&from.address, token);
        let Some(held) = held else {
            from.sim.made("renew: refused");
            return Renewed::Lost;
        };
        held.expires = expires;
        match held.soft_since {
            Some(_) => {
                from.sim.made("renew: extended, of what is soft");
                Renewed::Soft
            }
            None => {
                from.sim.made("renew: extended");
                Renewed::Held
            }
        }
    }

    pub(crate) fn commit(&mut self, from: &Sender, token: Token, value: &Bytes, ttl: Duration) -> bool {
        let (sim, address) = (&from.sim, &from.address);
        let Some(held) = self.held_with(address, token) else {
            sim.made("commit: refused");
            return false;
        };
        checks::committed(sim, address, (held.since, held.node), value);
        let soft_since = held.soft_since;
        sim.made(match soft_since {
            Some(_) => "commit: stored, as soft",
            None => "commit: stored",
        });
        self.put(from, value, soft_since, ttl);
        self.locks.remove(address);
        let value = softened(Value::encoded(value.clone()), soft_since);
        let announced = sim.rng().chance(sim.knobs().announced);
        let notice = match announced {
            true => Notice::Announced,
            false => Notice::Stored(value),
        };
        self.tell(from, &notice);
        soft_since.is_none()
    }

    fn put(&mut self, from: &Sender, value: &Bytes, soft_since: Option<SystemTime>, ttl: Duration) {
        let stored = Stored {
            bytes: value.clone(),
            soft_since,
            expires: after(ttl, &from.sim.knobs()),
        };
        self.values.insert(from.address.clone(), stored);
    }

    pub(crate) fn release(&mut self, from: &Sender, token: Token, reason: Release) -> bool {
        let (sim, address) = (&from.sim, &from.address);
        let Some(held) = self.held_with(address, token) else {
            sim.made("release: refused");
            return false;
        };
        let is_soft = held.soft_since.is_some();
        let reason = if is_soft { Release::Abandoned } else { reason };
        sim.made(match &reason {
            Release::Abandoned => "release: abandoned",
            Release::Broken { .. } => "release: broken",
            Release::Declined { .. } => "release: declined",
            Release::Stale => "release: stale",
            Release::Pass => "release: pass",
            Release::Shared(_) => "release: shared",
            Release::Failed(_) => "release: failed",
            _ => "release: for a reason of its own",
        });
        self.locks.remove(address);
        let notice = match reason {
            Release::Shared(value) if sim.rng().chance(sim.knobs().announced) => {
                let bytes = value.bytes().unwrap_or_default();
                self.kept.insert((address.clone(), token.to_string()), bytes);
                Notice::Kept(token)
            }
            reason => Notice::Released(reason),
        };
        self.tell(from, &notice);
        !is_soft
    }

    pub(crate) fn mark(&mut self, from: &Sender, token: Token, marker: &Bytes, ttl: Duration) -> bool {
        let Some(held) = self.held_with(&from.address, token) else {
            from.sim.made("mark: refused");
            return false;
        };
        if held.soft_since.is_some() {
            return self.release(from, token, Release::Abandoned);
        }
        from.sim.made("mark: left");
        self.put(from, marker, None, ttl);
        self.locks.remove(&from.address);
        self.tell(from, &Notice::Released(Release::Pass));
        true
    }

    pub(crate) fn unmark(&mut self, from: &Sender, marker: &Bytes) {
        if self
            .values
            .get(&from.address)
            .is_some_and(|stored| stored.bytes == *marker)
        {
            from.sim.made("unmark: removed");
            self.values.remove(&from.address);
        }
    }

    pub(crate) fn kept(&self, from: &Sender, token: Token) -> Option<Value> {
        let bytes = self.kept.get(&(from.address.clone(), token.to_string()))?;
        Some(Value::encoded(bytes.clone()))
    }

    pub(crate) fn resolve(&mut self, from: &Sender, value: &Bytes, ttl: Duration) {
        if !ttl.is_zero() {
            self.put(from, value, None, ttl);
        }
        self.tell(from, &Notice::Stored(Value::encoded(value.clone())));
    }

    pub(crate) fn defer(&mut self, from: &Sender, token: Token, lease: Duration, starts: u32) -> bool {
        let is_held = self.renew(from, token, lease) != Renewed::Lost;
        if is_held {
            self.tell(from, &Notice::Deferred { starts });
        }
        is_held
    }

    pub(crate) fn invalidate(&mut self, from: &Sender) {
        let had_value = self.values.remove(&from.address).is_some();
        let had_lock = self.locks.remove(&from.address).is_some();
        from.sim.made(match (had_value, had_lock) {
            (_, true) => "invalidate: a computation under way",
            (true, false) => "invalidate: a value",
            (false, false) => "invalidate: nothing",
        });
        self.tell(from, &Notice::Invalidated);
    }

    pub(crate) fn soften(&mut self, from: &Sender) {
        let since = time_of_day(from);
        let value = self.values.get_mut(&from.address);
        let lock = self
            .locks
            .get_mut(&from.address)
            .filter(|held| held.expires > Instant::now());
        from.sim.made(match (&value, &lock) {
            (_, Some(_)) => "soften: a computation under way",
            (Some(_), None) => "soften: a value",
            (None, None) => "soften: nothing",
        });
        if let Some(stored) = value {
            stored.soft_since.get_or_insert(since);
        }
        if let Some(held) = lock {
            held.soft_since.get_or_insert(since);
        }
    }

    fn tell(&mut self, from: &Sender, notice: &Notice) {
        self.ears.tell(from, notice);
    }

    /// Everything is gone but what listens.
    pub(crate) fn forget(&mut self) {
        self.values.clear();
        self.locks.clear();
        self.generations.clear();
        self.kept.clear();
    }

    pub(crate) fn evict(&mut self, address: impl Fn(&str) -> bool) {
        self.values.retain(|name, _| !address(name));
    }

    pub(crate) fn evict_lock(&mut self, address: impl Fn(&str) -> bool) {
        self.locks.retain(|name, _| !address(name));
    }

    /// The locks that have not ended.
    pub(crate) fn held(&self) -> usize {
        self.locks.values().filter(|held| held.expires > Instant::now()).count()
    }
}

/// The store's.
fn time_of_day(from: &Sender) -> SystemTime {
    SystemTime::UNIX_EPOCH + EPOCH + Duration::from_millis(from.sim.now())
}
