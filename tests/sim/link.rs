//! [`Link`]: the connection of one node to one database.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::Instant;

/// How the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The node knows at once.
    Refused,
    /// What is sent is lost.
    Silent,
}

pub(crate) struct Link {
    node: usize,
    is_dead: AtomicBool,
    epoch: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    last_arrival: Option<Instant>,
    last_answer: Option<Instant>,
    commands: u64,
    /// When an acquire ended in an error, in milliseconds, and where.
    refused: Vec<(u64, String)>,
}

impl Link {
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            is_dead: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    pub(crate) fn node(&self) -> usize {
        self.node
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// The node is connected anew.
    pub(crate) fn reconnect(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.is_dead.load(Ordering::Relaxed)
    }

    /// The node is gone.
    pub(crate) fn die(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_alive() && self.cut().is_none()
    }

    pub(crate) fn cut(&self) -> Option<Cut> {
        self.state.lock().unwrap().cut
    }

    pub(crate) fn set_cut(&self, cut: Option<Cut>) {
        self.state.lock().unwrap().cut = cut;
    }

    pub(crate) fn commands(&self) -> u64 {
        self.state.lock().unwrap().commands
    }

    pub(crate) fn count(&self) {
        self.state.lock().unwrap().commands += 1;
    }

    /// The same moment, or the one at which the command before arrives.
    pub(crate) fn arrival(&self, at: Instant) -> Instant {
        let last = &mut self.state.lock().unwrap().last_arrival;
        *last.insert(last.map_or(at, |last| last.max(at)))
    }

    /// As [`arrival`](Self::arrival), of an answer.
    pub(crate) fn answer(&self, at: Instant) -> Instant {
        let last = &mut self.state.lock().unwrap().last_answer;
        *last.insert(last.map_or(at, |last| last.max(at)))
    }

    pub(crate) fn refuse(&self, now: u64, address: &str) {
        self.state.lock().unwrap().refused.push((now, address.to_owned()));
    }

    /// Whether an acquire for such an address has ended in an error since then.
    pub(crate) fn was_refused_since(&self, then: u64, address: impl Fn(&str) -> bool) -> bool {
        let state = self.state.lock().unwrap();
        let mut refused = state.refused.iter();
        refused.any(|(at, name)| *at >= then && address(name))
    }
}
