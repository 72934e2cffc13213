//! Near copies: what Redis had a moment ago, in this process.
//!
//! # What is promised
//!
//! - A near hit was the value in Redis at some moment no longer ago than the lag.
//! - Once an invalidation has returned, on whichever node, no node serves a near copy from before it.
//! - The node that invalidates sees it itself at once.
//!
//! # How
//!
//! The connection for notifications [tracks](https://redis.io/docs/latest/reference/client-side-caching/) the prefixes of
//! the tag, so that it brings the name of every key that changes, in whichever way. [`NearCopies`] drops what is named, and a
//! placeholder keeps out an answer that was on its way. A [`NearLease`] says for how long all that has been heard: without a
//! sign of life the copies stay unused, and the store goes on to Redis.
//!
//! Copies begin once this process has *heard* the change of a key that it wrote by the connection for commands: then both
//! connections lead to one server, and it tells of changes. A server that forgets to, or a proxy in between, is found out.
//!
//! An invalidation is *published* as well. Each process with copies of the tag drops what it names and acknowledges it to the
//! process that waits. Those processes stand in a sorted set before they keep the first copy. One that does not answer cannot
//! have a lease for longer than its lag, so that is waited for instead. The set may be lost, in a `FLUSHALL` for
//! instance, and a connection too; a process that has the one or the other is waited for.

mod acks;
mod copies;
mod demand;
mod feed;
mod keeper;
mod lease;
mod settle;
mod tag;
mod words;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use self::acks::Acknowledgements;
use self::copies::{Currency, NearCopies, NearCopy, Placeholder};
use self::demand::NearDemand;
pub(crate) use self::keeper::{HasLink, keep};
use self::lease::NearLease;
pub(crate) use self::lease::{Probes, Sent};
pub(crate) use self::settle::{Evidence, NearCall, evidence};
pub(crate) use self::tag::NearStep;
use self::tag::{NearNames, NearTag};
use self::words::About;
use super::stats::NearCounters;
use crate::key::{Address, Tag};
use crate::store::{Token, Value};

/// The lag unless another one is set.
pub(crate) const LAG: Duration = Duration::from_millis(500);

/// The shortest and the longest lag: four times a round trip, and what an invalidation may have to wait.
const LAGS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));

/// How much longer a process waits than another one's lease may last, for clocks that do not go at the same rate.
const DRIFT: u32 = 100;

/// How many acknowledgements wait to be sent. More of them are not sent, and waited for.
const MOST_OWED: usize = 4096;

/// What a process knows of near copies: its own, if it keeps any, and that others do.
pub(crate) struct Near {
    process: Token,
    database: i64,
    own: Option<OwnCopies>,
    state: Mutex<NearState>,
    acks: Arc<Acknowledgements>,
    /// Acknowledgements to send.
    owed: mpsc::Sender<OwedAck>,
    /// Wakes the task that keeps the copies.
    wake: Notify,
    /// Wakes the task of the connection for notifications.
    prepare: Notify,
    /// Wakes those who wait for a step of the connection.
    progress: Notify,
    /// Whether another process is known to have had copies.
    known: AtomicBool,
    /// The longest lag that is known, in milliseconds.
    longest: AtomicU64,
    pub(crate) counters: Arc<NearCounters>,
}

/// The copies of this process.
struct OwnCopies {
    copies: Arc<NearCopies>,
    lease: NearLease,
    demand: NearDemand,
    /// Whether a lease was of use lately.
    wanted: AtomicBool,
}

#[derive(Default)]
struct NearState {
    /// The number of the connection for notifications.
    connection: Option<u64>,
    /// Since when it is that one, unless it is the first.
    reconnected: Option<Instant>,
    /// Whether there was one.
    was_connected: bool,
    tags: HashMap<String, NearTag>,
}

/// What [`keep`] is to send.
pub(crate) type NearOwed = mpsc::Receiver<OwedAck>;

/// An acknowledgement to be sent.
pub(crate) struct OwedAck {
    channel: String,
    nonce: Token,
}

/// A value that is being fetched for keeping.
pub(crate) struct Fetch {
    placeholder: Placeholder,
    generations: Arc<AtomicU64>,
    commands: u64,
    asked: Instant,
}

impl Near {
    /// With room for so many bytes of copies, or for none. What is returned besides is for [`keep`].
    pub(crate) fn new(database: i64, copies: Option<(usize, Duration)>) -> (Arc<Self>, NearOwed) {
        let (owed, receiver) = mpsc::channel(MOST_OWED);
        let longest = copies.map_or(LAG, |(_, lag)| lag.clamp(LAGS.0, LAGS.1));
        let counters = Arc::<NearCounters>::default();
        let near = Self {
            process: Token::random(),
            database,
            own: copies.map(|(bytes, _)| OwnCopies {
                copies: Arc::new(NearCopies::new(bytes, Arc::clone(&counters))),
                lease: NearLease::new(longest),
                demand: NearDemand::new(),
                wanted: AtomicBool::new(false),
            }),
            state: Mutex::default(),
            acks: Arc::default(),
            owed,
            wake: Notify::new(),
            prepare: Notify::new(),
            progress: Notify::new(),
            known: AtomicBool::new(false),
            longest: AtomicU64::new(longest.as_millis() as u64),
            counters,
        };
        (Arc::new(near), receiver)
    }

    /// Whether this process keeps copies.
    pub(crate) fn has_copies(&self) -> bool {
        self.own.is_some()
    }

    /// The copy at an address, if it may be served.
    pub(crate) fn get(&self, address: &Address, now: Instant, commands: u64) -> Option<Value> {
        let own = self.own.as_ref()?;
        if !own.lease.is_held(now) {
            own.is_late(&self.counters);
            return None;
        }
        let value = own.copies.get(address.as_str(), now, commands)?;
        // With the copy in hand: after a standstill it may be from before.
        if !own.lease.is_plausible(SystemTime::now()) {
            own.is_late(&self.counters);
            return None;
        }
        own.wanted.store(true, Ordering::Relaxed);
        self.counters.hits.add();
        Some(value)
    }

    /// Gets copies under way for a tag that is about to be used.
    pub(crate) fn expect(&self, tag: &Tag) {
        if self.own.is_some() {
            if let Some(tag) = self.tag(&mut self.state(), tag.as_str()) {
                tag.copies = true;
            }
            self.prepare.notify_one();
        }
    }

    /// Whether to fetch the value at an address for keeping. It has to be asked for after this.
    pub(crate) fn fetch(&self, address: &Address, commands: u64) -> Option<Fetch> {
        let own = self.own.as_ref()?;
        let is_again = own.demand.again(address.as_str());
        own.wanted.store(true, Ordering::Relaxed);
        let asked = Instant::now();
        // Held while the placeholder is put there: a connection that is lost then finds and removes it.
        let mut state = self.state();
        let tag = self.tag(&mut state, address.tag())?;
        if tag.proven != Some(commands) {
            let is_new = !std::mem::replace(&mut tag.copies, true);
            let is_due = is_new || (tag.is_prepared() && tag.tried != Some(commands));
            if is_due {
                tag.tried = tag.is_prepared().then_some(commands);
                drop(state);
                self.wake.notify_one();
            }
            return None;
        }
        if !is_again {
            return None;
        }
        Some(Fetch {
            generations: Arc::clone(&tag.generations),
            placeholder: own.copies.begin(address.as_str(), asked, commands)?,
            commands,
            asked,
        })
    }

    /// No copy from before this is served here, nor one of an answer that is on its way.
    pub(crate) fn forget(&self, address: &Address) {
        if let Some(own) = &self.own {
            own.copies.remove(address.as_str());
        }
    }

    /// The same of all copies of a tag that have a stamp.
    pub(crate) fn forget_stamped(&self, tag: &Tag) {
        if self.own.is_some()
            && let Some(tag) = self.state().tags.get(tag.as_str())
        {
            tag.outdate();
        }
    }

    /// The same of all copies.
    pub(crate) fn forget_all(&self) {
        if let Some(own) = &self.own {
            own.copies.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, NearState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tag<'a>(&self, state: &'a mut NearState, tag: &str) -> Option<&'a mut NearTag> {
        if !state.tags.contains_key(tag) {
            let names = NearNames::new(&Tag::new(tag).ok()?, self.database, self.process);
            state.tags.insert(tag.to_owned(), NearTag::new(names));
        }
        state.tags.get_mut(tag)
    }
}

impl OwnCopies {
    fn is_late(&self, counters: &NearCounters) {
        if !self.copies.is_empty() {
            self.wanted.store(true, Ordering::Relaxed);
            counters.late.add();
        }
    }
}

impl Fetch {
    /// The most bytes that are worth keeping.
    pub(crate) fn most(&self) -> usize {
        self.placeholder.most()
    }

    /// What has been heard of the generations so far.
    pub(crate) fn generations(&self) -> u64 {
        self.generations.load(Ordering::Acquire)
    }

    /// Keeps the value. `seen` is what had been heard of the generations when the stamp was asked about.
    pub(crate) fn keep(self, value: Value, lifetime: Duration, seen: Option<u64>) {
        let currency = seen.map(|seen| Currency {
            generations: self.generations,
            seen,
        });
        self.placeholder.fill(NearCopy {
            value,
            expires_at: self.asked + lifetime,
            commands: self.commands,
            currency,
        });
    }

    pub(crate) fn commands(&self) -> u64 {
        self.commands
    }
}
