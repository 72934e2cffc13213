//! What the connection for notifications brings, and what is to be asked for on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::tag::{NearNames, Switch};
use super::words::{About, NearNotice, parse_acknowledgement};
use super::{Near, NearStep, NearTag, OwedAck, Sent};

impl Near {
    /// Another connection, on which nothing was asked for, takes over.
    pub(crate) fn connected(&self, connection: u64) {
        let mut state = self.state();
        state.connection = Some(connection);
        let is_first = !std::mem::replace(&mut state.was_connected, true);
        state.reconnected = (!is_first).then(Instant::now);
        state.tags.values_mut().for_each(NearTag::reset);
        drop(state);
        self.forget_all();
        self.prepare.notify_one();
    }

    /// The connection is gone: nothing is heard any more.
    pub(crate) fn disconnected(&self, connection: u64) {
        let mut state = self.state();
        if state.connection != Some(connection) {
            return;
        }
        state.connection = None;
        state.tags.values_mut().for_each(NearTag::reset);
        if let Some(own) = &self.own {
            own.lease.revoke();
        }
        drop(state);
        // Outside of the lock, because values may do anything when they are dropped. None begins without a connection.
        self.forget_all();
        self.progress.notify_waiters();
    }

    /// What to send on this connection. It goes in this order, and nothing is asked for twice.
    pub(crate) fn steps(&self, connection: u64) -> Vec<NearStep> {
        let (mut state, mut steps) = (self.state(), Vec::new());
        if state.connection == Some(connection) {
            for tag in state.tags.values_mut() {
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
            && let Some(tag) = state.tags.get_mut(tag)
        {
            tag.tracking = if on { Switch::On } else { Switch::Refused };
        }
        drop(state);
        self.has_moved_on();
    }

    /// A subscription is confirmed, or gone. Whether it was one of these.
    pub(crate) fn confirmed(&self, connection: u64, channel: &str, on: bool) -> bool {
        if !is_near(channel) {
            return false;
        }
        let mut state = self.state();
        if state.connection == Some(connection) {
            for tag in state.tags.values_mut() {
                let step = match channel {
                    _ if channel == tag.names.notices => &mut tag.notices,
                    _ if channel == tag.names.replies => &mut tag.replies,
                    _ => continue,
                };
                *step = if on { Switch::On } else { Switch::Refused };
            }
        }
        drop(state);
        self.has_moved_on();
        true
    }

    fn has_moved_on(&self) {
        self.progress.notify_waiters();
        self.wake.notify_one();
    }

    /// These keys have changed.
    pub(crate) fn changed<'k>(&self, connection: u64, keys: impl Iterator<Item = &'k [u8]>) {
        let Some(own) = &self.own else { return };
        if self.state().connection != Some(connection) {
            return;
        }
        let mut is_to_wake = false;
        for key in keys {
            self.counters.messages.add();
            // No value of ours has another name.
            let Ok(key) = std::str::from_utf8(key) else { continue };
            if own.copies.remove(key) {
                self.counters.dropped.add();
            }
            if key.contains("/gen:") {
                is_to_wake |= self.state().tags.values_mut().any(|tag| tag.hears_of(key));
            }
        }
        if is_to_wake {
            self.has_moved_on();
        }
    }

    /// All keys have, or nothing is known of which.
    pub(crate) fn changed_all(&self, connection: u64) {
        let Some(own) = &self.own else { return };
        let mut state = self.state();
        if state.connection != Some(connection) {
            return;
        }
        for tag in state.tags.values_mut() {
            tag.outdate();
            tag.recheck = true;
        }
        drop(state);
        own.copies.clear();
        self.counters.flushes.add();
        self.has_moved_on();
    }

    /// A message. Whether it was on one of the channels of near copies.
    pub(crate) fn heard(&self, connection: u64, channel: &str, payload: &[u8]) -> bool {
        if !is_near(channel) {
            return false;
        }
        let state = self.state();
        if state.connection != Some(connection) {
            return true;
        }
        if let Some(tag) = state.tags.values().find(|tag| channel == tag.names.notices) {
            let (names, notice) = (Arc::clone(&tag.names), NearNotice::parse(payload));
            if let Some(About::Tags) = notice.map(|notice| notice.about) {
                tag.outdate();
            }
            drop(state);
            if let Some(notice) = notice {
                self.obey(&names, notice);
            }
        } else if state.tags.values().any(|tag| channel == tag.names.replies)
            && let Some((nonce, process)) = parse_acknowledgement(payload)
        {
            self.acks.hear(nonce, process);
        }
        true
    }

    fn obey(&self, names: &NearNames, notice: NearNotice<'_>) {
        let Some(own) = &self.own else { return };
        if let About::Value(name) = notice.about {
            own.copies.remove(name);
        }
        self.counters.notices.add();
        // One that finds no room is waited for, until no lease can be left.
        let _ = self.owed.try_send(OwedAck {
            channel: names.replies_of(notice.from),
            nonce: notice.nonce,
        });
    }

    /// Whether a lease is of use, and is to be asked for now.
    pub(crate) fn needs_lease(&self) -> bool {
        let Some(own) = &self.own else { return false };
        let is_wanted = !own.copies.is_empty() || own.wanted.swap(false, Ordering::Relaxed);
        is_wanted && self.state().tags.values().any(|tag| tag.proven.is_some())
    }

    /// How often to ask for it: often enough that one late answer does not end it.
    pub(crate) fn lease_period(&self) -> Option<Duration> {
        self.own.as_ref().map(|own| own.lease.lag() / 4)
    }

    /// All that was changed before this `PING` was sent has been heard on this connection.
    pub(crate) fn grant(&self, connection: u64, sent: Sent) {
        let state = self.state();
        if let Some(own) = &self.own
            && state.connection == Some(connection)
        {
            own.lease.grant(sent);
        }
    }
}

impl NearTag {
    /// One of its own keys has changed. Whether that has to be looked into.
    fn hears_of(&mut self, key: &str) -> bool {
        let names = &self.names;
        if key == names.canary {
            self.canaries += 1;
        } else if key == names.members {
            self.recheck = true;
        } else {
            if key == names.generations {
                self.outdate();
            }
            return false;
        }
        true
    }
}

/// No id that is derived from parts ends like this, so most messages need no closer look.
fn is_near(channel: &str) -> bool {
    channel.contains("}/near")
}
