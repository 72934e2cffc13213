//! [`NearFeed`]: what the connection for notifications to one server brings, and what the store asks for on it.

mod tasks;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::lease::NearLease;
use super::tag::{FeedTag, NearTag, Switch};
use super::words::{About, NearNotice, parse_acknowledgement};
use super::{Near, NearStep, OwedAck, Sent};
use crate::simulation::{Planted, planted};

/// What one server tells.
pub(crate) struct NearFeed {
    near: Arc<Near>,
    lease: Arc<NearLease>,
    state: Mutex<FeedState>,
    /// Wakes the task of the connection for notifications.
    prepare: Notify,
}

#[derive(Default)]
struct FeedState {
    /// The number of the connection for notifications.
    connection: Option<u64>,
    /// When it took over from another connection, unless it is the first.
    reconnected: Option<Instant>,
    /// Whether there was a connection before.
    was_connected: bool,
    /// The age of the map of the cluster that the server has.
    map: Option<u64>,
    tags: Vec<FeedTag>,
}

impl NearFeed {
    pub(super) fn new(near: Arc<Near>, lag: Duration) -> Self {
        Self {
            near,
            lease: Arc::new(NearLease::new(lag)),
            state: Mutex::default(),
            prepare: Notify::new(),
        }
    }

    pub(super) fn lease(&self) -> &Arc<NearLease> {
        &self.lease
    }

    fn state(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another connection takes over, on which nothing was asked for yet.
    pub(crate) fn connected(&self, connection: u64) {
        let mut state = self.state();
        state.connection = Some(connection);
        let is_first = !std::mem::replace(&mut state.was_connected, true);
        state.reconnected = (!is_first).then(Instant::now);
        state.map = None;
        state.tags.iter_mut().for_each(FeedTag::reset);
        self.lease.end_term();
        drop(state);
        self.forget_all();
        self.prepare.notify_one();
    }

    /// The connection is gone: nothing is heard any more.
    pub(crate) fn disconnected(&self, connection: u64) {
        if self.state().connection == Some(connection) {
            self.lost();
        }
    }

    /// The same, whichever connection it was.
    pub(crate) fn lost(&self) {
        let mut state = self.state();
        state.connection = None;
        state.tags.iter_mut().for_each(FeedTag::reset);
        self.lease.end_term();
        self.lease.revoke();
        drop(state);
        // Outside of the lock, because values may do anything when they are dropped.
        self.forget_all();
        self.near.progress.notify_waiters();
    }

    /// Commands go by another connection from here on, perhaps to another server.
    pub(crate) fn commands_replaced(&self) {
        self.lease.end_term();
        self.near.has_moved_on();
    }

    /// No copy that relies on this server is served any more, and no value on its way from there is kept.
    pub(crate) fn forget_all(&self) {
        if let Some(own) = &self.near.own
            && !planted(Planted::NearOutlasting)
        {
            own.copies.clear_of(&self.lease);
        }
    }

    /// The steps to send on this connection, in this order. Each is returned once.
    pub(crate) fn steps(&self, connection: u64) -> Vec<NearStep> {
        let (mut state, mut steps) = (self.state(), Vec::new());
        if state.connection == Some(connection) {
            for tag in state.tags.iter_mut() {
                tag.next_steps(&mut steps);
            }
        }
        steps
    }

    /// Resolves when there may be something to send.
    pub(crate) async fn to_prepare(&self) {
        self.prepare.notified().await;
    }

    /// Whether the server tells of changes under a tag.
    pub(crate) fn tracked(&self, connection: u64, tag: &str, on: bool) {
        let mut state = self.state();
        if state.connection == Some(connection)
            && let Some(tag) = state.find(tag)
        {
            tag.tracking = if on { Switch::On } else { Switch::Refused };
        }
        drop(state);
        self.near.has_moved_on();
    }

    /// A subscription is confirmed, or gone. Returns whether it was one for near copies.
    pub(crate) fn confirmed(&self, connection: u64, channel: &str, on: bool) -> bool {
        if !is_near(channel) {
            return false;
        }
        let mut state = self.state();
        if state.connection == Some(connection) {
            for tag in state.tags.iter_mut() {
                let (names, was_on) = (&tag.tag.names, tag.notices == Switch::On);
                let step = match channel {
                    _ if channel == names.notices => &mut tag.notices,
                    _ if channel == names.replies => &mut tag.replies,
                    _ => continue,
                };
                *step = if on { Switch::On } else { Switch::Refused };
                if was_on && tag.notices != Switch::On {
                    // The slot has left this node of a cluster: no invalidation is heard here any more.
                    tag.tag.outdate();
                    self.lease.end_term();
                }
            }
        }
        drop(state);
        self.near.has_moved_on();
        true
    }

    /// Every step that was asked for and is not confirmed by now has been refused. Returns whether there was one.
    pub(crate) fn refuse(&self, connection: u64) -> bool {
        let mut state = self.state();
        if state.connection != Some(connection) {
            return false;
        }
        let mut refused = false;
        for tag in state.tags.iter_mut() {
            for channel in [&mut tag.notices, &mut tag.replies] {
                if *channel == Switch::Asked {
                    (*channel, refused) = (Switch::Refused, true);
                }
            }
        }
        refused
    }

    /// These keys have changed.
    pub(crate) fn changed<'k>(&self, connection: u64, keys: impl Iterator<Item = &'k [u8]>) {
        let near = &*self.near;
        let Some(own) = &near.own else { return };
        if self.state().connection != Some(connection) {
            return;
        }
        let mut is_to_wake = false;
        for key in keys {
            near.counters.messages.add();
            // All values of ours have names like this.
            let Ok(key) = std::str::from_utf8(key) else { continue };
            if own.copies.remove(key) {
                near.counters.dropped.add();
            }
            if key.contains("/gen:") {
                is_to_wake |= self.state().tags.iter_mut().any(|tag| tag.hears_of(key));
            }
        }
        if is_to_wake {
            near.has_moved_on();
        }
    }

    /// All keys have changed, or it is not known which.
    pub(crate) fn changed_all(&self, connection: u64) {
        let state = self.state();
        if self.near.own.is_none() || state.connection != Some(connection) {
            return;
        }
        for tag in state.tags.iter().filter(|tag| tag.is_home) {
            tag.tag.outdate();
            tag.tag.recheck.store(true, Ordering::Relaxed);
        }
        drop(state);
        if !planted(Planted::NearUnflushed) {
            self.forget_all();
        }
        self.near.counters.flushes.add();
        self.near.has_moved_on();
    }

    /// The server has a map of the cluster of this age. If the map has changed, slots may have left the server, and the
    /// server need not have told of the keys in them.
    pub(crate) fn has_map(&self, connection: u64, epoch: u64) {
        let mut state = self.state();
        if state.connection != Some(connection) || state.map.replace(epoch) == Some(epoch) {
            return;
        }
        for tag in state.tags.iter().filter(|tag| tag.is_home) {
            tag.tag.outdate();
        }
        drop(state);
        self.forget_all();
    }

    /// A message was published. Returns whether it was on one of the channels of near copies.
    pub(crate) fn heard(&self, connection: u64, channel: &str, payload: &[u8]) -> bool {
        if !is_near(channel) {
            return false;
        }
        let state = self.state();
        if state.connection != Some(connection) {
            return true;
        }
        if let Some(tag) = state.tags.iter().find(|tag| channel == tag.tag.names.notices) {
            let tag = Arc::clone(&tag.tag);
            drop(state);
            if let Some(notice) = NearNotice::parse(payload) {
                self.obey(&tag, notice);
            }
        } else if state.tags.iter().any(|tag| channel == tag.tag.names.replies)
            && let Some((nonce, process)) = parse_acknowledgement(payload)
        {
            self.near.acks.hear(nonce, process);
        }
        true
    }

    fn obey(&self, tag: &Arc<NearTag>, notice: NearNotice<'_>) {
        let near = &*self.near;
        let Some(own) = &near.own else { return };
        match notice.about {
            _ if planted(Planted::NearUnheeded) => {}
            About::Value(name) => {
                own.copies.remove(name);
            }
            About::Tags => tag.outdate(),
        }
        near.counters.notices.add();
        // An acknowledgement that finds no room is not sent: the process that waits for it waits until no lease can be
        // left.
        let _ = near.owed.try_send(OwedAck {
            tag: Arc::clone(tag),
            channel: tag.names.replies_of(notice.from),
            nonce: notice.nonce,
        });
    }

    /// Whether a lease would be of use, and is to be asked for now.
    pub(crate) fn needs_lease(&self) -> bool {
        let Some(own) = &self.near.own else { return false };
        let is_wanted = self.lease.take_wanted() || !own.copies.is_empty();
        let term = self.lease.term();
        is_wanted && self.state().tags.iter().any(|tag| tag.proven == Some(term))
    }

    /// How often to ask for it: often enough that one late answer does not end it.
    pub(crate) fn lease_period(&self) -> Option<Duration> {
        self.near.has_copies().then(|| self.lease.lag() / 4)
    }

    /// All that was changed before this `PING` was sent has been heard on this connection.
    pub(crate) fn grant(&self, connection: u64, sent: Sent) {
        let state = self.state();
        if self.near.has_copies() && state.connection == Some(connection) {
            self.lease.grant(sent);
        }
    }
}

impl FeedState {
    fn find(&mut self, tag: &str) -> Option<&mut FeedTag> {
        self.tags.iter_mut().find(|at| at.tag.name() == tag)
    }

    fn tag(&mut self, tag: &Arc<NearTag>) -> &mut FeedTag {
        let known = self.tags.iter().position(|at| at.tag.name() == tag.name());
        let at = known.unwrap_or_else(|| {
            self.tags.push(FeedTag::new(Arc::clone(tag)));
            self.tags.len() - 1
        });
        &mut self.tags[at]
    }
}

/// No id that is derived from parts ends like this channel, so most messages need no closer look.
fn is_near(channel: &str) -> bool {
    channel.contains("}/near")
}

#[cfg(test)]
mod tests;
