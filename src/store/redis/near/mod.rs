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
//! The connection for notifications [tracks](https://redis.io/docs/latest/reference/client-side-caching/) the prefixes
//! of the tag, so that it brings the name of every key that changes, in whichever way. [`NearCopies`] drops the copy of
//! such a key, and a placeholder keeps out an answer that was on its way. A [`NearLease`] says up to when this process
//! has heard of all changes: without a sign of life from the server the copies stay unused, and the store goes on to
//! Redis.
//!
//! Copies begin once this process has *heard* the change of a key that it wrote by the connection for commands. This
//! proves that both connections lead to one server, and that the server tells of changes.
//!
//! An invalidation is *published* as well. Each process with copies of the tag drops the copies that the notice names,
//! and acknowledges it to the process that waits. A process enters itself in a sorted set before it keeps the first
//! copy. A process that does not answer cannot have a lease for longer than its lag, so the sender waits for the lag
//! instead. The set may be lost, in a `FLUSHALL` for instance, and so may a connection; the sender waits for every
//! process that is in the set or has a connection.
//!
//! # In a Redis Cluster
//!
//! Each node tells of the keys that it has, and of no others. So each has a [`NearFeed`]: a connection that tracks, a proof, a
//! lease. The node that has the slot of the tag's own name, its *home*, has the generations, the set and the channels.
//!
//! - A copy relies on two nodes: the one that its value came from, and the home of its tag. It is served under the
//!   leases of both. Without the first lease a change could be missed. Without the second a process could serve copies
//!   that is no longer in the set and hears no notices, because the home has failed over.
//! - A value is kept only if the node with the proven feed gave the answer, and a stamp counts only if the home gave
//!   it: the node to which a slot is on its way does not track its keys yet.
//! - A node tells of a key that leaves it, because its slot moves, as of a change. A node that loses a slot at once
//!   need not tell. So each sign of life says which map of the cluster the node has, and a new map drops all copies
//!   from that node.
//! - A node that has become a replica, or that is not in touch with most of the masters, gives no lease.
//! - The channels of a tag are sharded: a slot that leaves its home ends the subscription, before the home gives another sign
//!   of life. The process then joins again where the slot is.
//! - An invalidation has two steps. The change is made where the key is, and then the home is told of it. A process
//!   that acknowledges the notice has dropped the copy, whichever node it came from, and whatever it asks for after
//!   that, it asks for after the change. Where the home does not answer, the sender waits for the lag: nodes that
//!   cannot reach the home have no lease by then, and all others have heard of the change where it was made. Where the
//!   home has moved lately, its set may be lost, and the sender waits for the lag as well.

mod acks;
mod copies;
mod copy;
mod demand;
mod feed;
mod keeper;
mod lease;
mod settle;
mod tag;
mod words;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use self::acks::Acknowledgements;
use self::copies::{NearCopies, NearFound, Placeholder};
use self::copy::{Currency, NearCopy};
use self::demand::NearDemand;
pub(crate) use self::feed::NearFeed;
pub(crate) use self::keeper::{HasLink, keep};
use self::lease::Backing;
pub(crate) use self::lease::{Probes, Sent};
pub(crate) use self::settle::{Evidence, NearCall, call_tags, call_value, evidence, settle};
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

/// How many acknowledgements wait to be sent. Further ones are not sent, and the sender of the notice waits for the
/// lag.
const MOST_OWED: usize = 4096;

/// What a process knows of near copies: its own, if it keeps any, and whether others do.
pub(crate) struct Near {
    process: Token,
    database: i64,
    /// How long a lease may last.
    lag: Duration,
    own: Option<OwnCopies>,
    tags: Mutex<Vec<Arc<NearTag>>>,
    /// One for each server.
    feeds: Mutex<Vec<Weak<NearFeed>>>,
    acks: Arc<Acknowledgements>,
    /// Acknowledgements to send.
    owed: mpsc::Sender<OwedAck>,
    /// Wakes the task that keeps the copies.
    wake: Notify,
    /// Wakes the tasks that wait for a step of a connection.
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
    demand: NearDemand,
}

/// What [`keep`] is to send.
pub(crate) type NearOwed = mpsc::Receiver<OwedAck>;

/// An acknowledgement to be sent.
pub(crate) struct OwedAck {
    tag: Arc<NearTag>,
    channel: String,
    nonce: Token,
}

/// A value that is being fetched for keeping.
pub(crate) struct Fetch {
    placeholder: Placeholder,
    tag: Arc<NearTag>,
    /// Where the value is.
    from: Backing,
    /// Where invalidations are told of.
    home: Backing,
    asked: Instant,
}

impl Near {
    /// With room for so many bytes of copies, or for none. What is returned besides is for [`keep`].
    pub(crate) fn new(database: i64, copies: Option<(usize, Duration)>) -> (Arc<Self>, NearOwed) {
        let (owed, receiver) = mpsc::channel(MOST_OWED);
        let lag = copies.map_or(LAG, |(_, lag)| lag.clamp(LAGS.0, LAGS.1));
        let counters = Arc::<NearCounters>::default();
        let near = Self {
            process: Token::random(),
            database,
            lag,
            own: copies.map(|(bytes, _)| OwnCopies {
                copies: Arc::new(NearCopies::new(bytes, Arc::clone(&counters))),
                demand: NearDemand::new(),
            }),
            tags: Mutex::default(),
            feeds: Mutex::default(),
            acks: Arc::default(),
            owed,
            wake: Notify::new(),
            progress: Notify::new(),
            known: AtomicBool::new(false),
            longest: AtomicU64::new(lag.as_millis() as u64),
            counters,
        };
        (Arc::new(near), receiver)
    }

    /// For one more server.
    pub(crate) fn feed(self: &Arc<Self>) -> Arc<NearFeed> {
        let feed = Arc::new(NearFeed::new(Arc::clone(self), self.lag));
        let mut feeds = lock(&self.feeds);
        feeds.retain(|feed| feed.strong_count() > 0);
        feeds.push(Arc::downgrade(&feed));
        feed
    }

    fn feeds(&self) -> Vec<Arc<NearFeed>> {
        lock(&self.feeds).iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether this process keeps copies.
    pub(crate) fn has_copies(&self) -> bool {
        self.own.is_some()
    }

    /// The copy at an address, if it may be served.
    pub(crate) fn get(&self, address: &Address, now: Instant) -> Option<Value> {
        match self.own.as_ref()?.copies.get(address.as_str(), now) {
            NearFound::Value(value) => {
                self.counters.hits.add();
                return Some(value);
            }
            NearFound::Late => self.counters.late.add(),
            NearFound::Nothing => {}
        }
        None
    }

    /// Gets copies under way for a tag that is about to be used.
    pub(crate) fn expect(&self, tag: &Tag) {
        if self.own.is_some()
            && let Some(tag) = self.tag(tag.as_str())
        {
            tag.copies.store(true, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }

    /// Whether to fetch the value at an address for keeping. It has to be asked for after this, from the server that this is
    /// the feed of.
    pub(crate) fn fetch(&self, address: &Address, feed: &NearFeed) -> Option<Fetch> {
        let own = self.own.as_ref()?;
        let is_again = own.demand.again(address.as_str());
        feed.lease().want();
        let asked = Instant::now();
        let tag = self.tag(address.tag())?;
        // Before the placeholder and the question: a copy is of no use once one of the terms is over.
        let (from, home) = (Backing::of(feed.lease()), tag.joined());
        let is_proven = feed.is_proven(address.tag(), from.term());
        let Some(home) = home.filter(|_| is_proven) else {
            let is_new = !tag.copies.swap(true, Ordering::Relaxed);
            if feed.expect(&tag, address) || is_new {
                self.wake.notify_one();
            }
            return None;
        };
        if !is_again {
            return None;
        }
        Some(Fetch {
            placeholder: own.copies.begin(address.as_str(), asked, &from)?,
            tag,
            from,
            home,
            asked,
        })
    }

    /// No copy from before this is served here, and no answer on its way is kept.
    pub(crate) fn forget(&self, address: &Address) {
        if let Some(own) = &self.own {
            own.copies.remove(address.as_str());
        }
    }

    /// The same for all copies of a tag that have a stamp.
    pub(crate) fn forget_stamped(&self, tag: &Tag) {
        if self.own.is_some()
            && let Some(tag) = lock(&self.tags).iter().find(|known| known.name() == tag.as_str())
        {
            tag.outdate();
        }
    }

    /// The same for all copies.
    pub(crate) fn forget_all(&self) {
        if let Some(own) = &self.own {
            own.copies.clear();
        }
    }

    /// The map of a cluster has changed: sets and channels may be elsewhere.
    pub(crate) fn map_changed(&self) {
        self.wake.notify_one();
    }

    fn has_moved_on(&self) {
        self.progress.notify_waiters();
        self.wake.notify_one();
    }

    /// Whether other processes had copies, or are likely to have some. Otherwise a client that hears a notice only
    /// looks on.
    fn is_believed(&self) -> bool {
        self.own.is_some() || self.known.load(Ordering::Relaxed)
    }

    /// The longest that a lease may last, by any clock.
    fn longest_lag(&self) -> Duration {
        let lag = Duration::from_millis(self.longest.load(Ordering::Relaxed));
        lag + lag / DRIFT + Duration::from_millis(1)
    }

    fn tag(&self, name: &str) -> Option<Arc<NearTag>> {
        let mut tags = lock(&self.tags);
        if let Some(tag) = tags.iter().find(|tag| tag.name() == name) {
            return Some(Arc::clone(tag));
        }
        let names = NearNames::new(&Tag::new(name).ok()?, self.database, self.process);
        let tag = Arc::new(NearTag::new(names));
        tags.push(Arc::clone(&tag));
        Some(tag)
    }
}

impl Fetch {
    /// The most bytes that are worth keeping.
    pub(crate) fn most(&self) -> usize {
        self.placeholder.most()
    }

    /// The count of news of the generations so far.
    pub(crate) fn generations(&self) -> u64 {
        self.tag.generations.load(Ordering::Acquire)
    }

    /// Whether the value came from where its changes are heard.
    pub(crate) fn is_from(&self, feed: Option<&Arc<NearFeed>>) -> bool {
        self.from.holds() && feed.is_some_and(|feed| self.from.is_of(feed.lease()))
    }

    /// Whether what is known of a stamp came from where changes of generations are heard.
    pub(crate) fn is_judged_by(&self, feed: Option<&Arc<NearFeed>>) -> bool {
        self.home.holds() && feed.is_some_and(|feed| self.home.is_of(feed.lease()))
    }

    /// Keeps the value. `seen` is the count of news of the generations from when the stamp was asked about.
    pub(crate) fn keep(self, value: Value, lifetime: Duration, seen: Option<u64>) {
        let currency = seen.map(|seen| Currency {
            generations: Arc::clone(&self.tag.generations),
            seen,
        });
        let is_one = self.from.is_of(self.home.lease()) && self.from.term() == self.home.term();
        self.placeholder.fill(NearCopy {
            value,
            expires_at: self.asked + lifetime,
            from: self.from,
            home: (!is_one).then_some(self.home),
            currency,
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
