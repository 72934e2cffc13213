//! [`Board`]: the [`State`] that nodes, clients and browsers share, and news of its changes.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::BoxError;

use super::errand::{Errand, Way};
use super::node::Told;
use super::outcome::Outcome;
use super::state::{Seen, State};
use super::switches::Switches;

/// How long nodes may take to start.
const START: Duration = Duration::from_secs(30);

/// What is known.
pub(crate) struct Board {
    with_redis: bool,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Board {
    pub(crate) fn new(with_redis: bool) -> Self {
        Self {
            with_redis,
            state: Mutex::new(State::new()),
            changed: watch::Sender::new(0),
        }
    }

    /// Changes something, and tells the watchers.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.send_modify(|changes| *changes += 1);
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns of changes, the first of which is now.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        let mut watch = self.changed.subscribe();
        watch.mark_changed();
        watch
    }

    /// Waits until all nodes are up for the first time.
    ///
    /// # Errors
    ///
    /// If they do not start.
    pub(crate) async fn all_up(&self) -> Result<(), BoxError> {
        let mut watch = self.watch();
        let all = watch.wait_for(|_| self.state().all_up());
        match timeout(START, all).await {
            Ok(_) => Ok(()),
            Err(_) => Err("the nodes do not start".into()),
        }
    }

    /// Waits until one of the waiters leads, or for so long.
    pub(crate) async fn call_begins(&self, most: Duration) {
        let mut watch = self.watch();
        let begun = watch.wait_for(|_| !self.state().wants_leader());
        // Without one, there is none to wait for.
        let _ = timeout(most, begun).await;
    }

    /// Requests by this way, all at once; none where there would be too many.
    pub(crate) fn herd(&self, way: Way, size: u64) -> Vec<Errand> {
        self.change(|state| state.herd(way, size))
    }

    /// One request of the steady load, unless it is off or too many are under way.
    pub(crate) fn steady(&self) -> Option<Errand> {
        let wanted = self.state().wants_load();
        wanted.then(|| self.change(|state| state.start(Way::Shared, None)))
    }

    /// The node that a request goes to, other than one that has died on it.
    pub(crate) fn node_for(&self, lane: u64, died: Option<usize>) -> Option<(usize, SocketAddr)> {
        self.change(|state| state.node_for(lane, died))
    }

    /// A request has its answer.
    pub(crate) fn answered(&self, lane: u64, outcome: Outcome, status: Option<u16>) {
        self.change(|state| state.answered(lane, outcome, status));
    }

    /// The handler of a node told something.
    pub(crate) fn told(&self, node: usize, told: Told) {
        self.change(|state| match told {
            Told::Called(lane) => state.called(node, lane),
            Told::Answered { lane, ok } => state.handled(node, lane, ok),
        });
    }

    pub(crate) fn is_up(&self, node: usize, address: SocketAddr, pid: Option<u32>) {
        self.change(|state| state.is_up(node, address, pid));
    }

    /// A node has ended, by a button's or another program's hand.
    pub(crate) fn is_down(&self, node: usize) {
        self.change(|state| state.is_down(node));
    }

    /// The node that computes, or the one that did last, if it is up.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.change(State::leader)
    }

    pub(crate) fn switches(&self) -> Switches {
        self.state().switches()
    }

    /// Sets switches, and says `text`.
    pub(crate) fn switch(&self, set: impl FnOnce(&mut Switches), text: &str) {
        self.change(|state| state.switch(set, text));
    }

    /// Redis itself is away, or back.
    pub(crate) fn redis(&self, is_there: bool) {
        self.change(|state| state.redis(is_there));
    }

    pub(crate) fn say(&self, text: &str) {
        self.change(|state| state.say(text));
    }

    /// The id of the report that all ask for.
    pub(crate) fn id(&self) -> String {
        self.state().id()
    }

    /// An invalidation begins.
    pub(crate) fn invalidate(&self) -> Instant {
        self.change(State::invalidate)
    }

    /// The invalidation that began then has come through, but for other nodes than this one where it is pending.
    pub(crate) fn invalidated(&self, since: Instant, pending_on: Option<usize>) {
        self.change(|state| state.invalidated(since, pending_on));
    }

    /// Forgets everything, and asks for another report from now on.
    pub(crate) fn reset(&self) {
        self.change(State::reset);
    }

    pub(crate) fn to_json(&self) -> Value {
        self.state().to_json(self.with_redis)
    }

    /// What a browser is told that has seen this much.
    pub(crate) fn event(&self, seen: &mut Seen) -> Value {
        let state = self.state();
        let (lanes, anew) = state.lanes_since(seen);
        json!({"state": state.to_json(self.with_redis), "lanes": lanes, "anew": anew})
    }
}
