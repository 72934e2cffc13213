//! [`Sim`]: what all nodes and stores of one run have in common.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::history::History;
use crate::net::Net;
use crate::plan::Knobs;
use crate::redis::RedisServer;
use crate::rng::Rng;
use crate::server::Server;
use crate::trace::{Trace, Tracing};

/// How many databases there are.
pub(crate) const DATABASES: usize = 2;

pub(crate) struct Sim {
    pub(crate) net: Net,
    pub(crate) trace: Trace,
    pub(crate) knobs: Mutex<Knobs>,
    pub(crate) begun: Instant,
    servers: [Mutex<Server>; DATABASES],
    redis: Mutex<RedisServer>,
    history: Mutex<History>,
    transitions: Mutex<BTreeMap<&'static str, u64>>,
    rng: Mutex<Rng>,
    moments: AtomicU64,
    wrong: Mutex<Option<String>>,
}

impl Sim {
    pub(crate) fn new(knobs: Knobs, rng: Rng, tracing: Tracing) -> Arc<Self> {
        let begun = Instant::now();
        Arc::new(Self {
            net: Net::default(),
            trace: Trace::new(tracing, begun),
            knobs: Mutex::new(knobs),
            begun,
            servers: [0, 1].map(|_| Mutex::default()),
            redis: Mutex::default(),
            history: Mutex::default(),
            transitions: Mutex::default(),
            rng: Mutex::new(rng),
            moments: AtomicU64::new(1),
            wrong: Mutex::default(),
        })
    }

    pub(crate) fn server(&self, database: usize) -> MutexGuard<'_, Server> {
        self.servers[database].lock().unwrap()
    }

    /// The Redis that the nodes of some runs have, in the place of those servers.
    pub(crate) fn redis(&self) -> MutexGuard<'_, RedisServer> {
        self.redis.lock().unwrap()
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    pub(crate) fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap()
    }

    pub(crate) fn knobs(&self) -> Knobs {
        *self.knobs.lock().unwrap()
    }

    /// A moment later than every one before: the order of all that matters to a check.
    pub(crate) fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::Relaxed)
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// One way, in time.
    pub(crate) fn way(&self) -> Duration {
        let most = self.knobs().latency;
        Duration::from_millis(self.rng().below(most + 1))
    }

    /// A transition of the protocol was made.
    pub(crate) fn made(&self, transition: &'static str) {
        *self.transitions.lock().unwrap().entry(transition).or_default() += 1;
    }

    /// So many times.
    pub(crate) fn made_times(&self, transition: &'static str, times: u64) {
        if times > 0 {
            *self.transitions.lock().unwrap().entry(transition).or_default() += times;
        }
    }

    pub(crate) fn transitions(&self) -> BTreeMap<&'static str, u64> {
        self.transitions.lock().unwrap().clone()
    }

    /// A check does not hold. The first failure counts.
    pub(crate) fn wrong(&self, what: impl FnOnce() -> String) {
        let mut wrong = self.wrong.lock().unwrap();
        if wrong.is_none() {
            let what = what();
            self.trace.say(format_args!("WRONG {what}"));
            *wrong = Some(what);
        }
    }

    pub(crate) fn first_wrong(&self) -> Option<String> {
        self.wrong.lock().unwrap().clone()
    }
}
