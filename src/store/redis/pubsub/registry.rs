//! Which watcher watches what, and how far the subscriber connection has got with it.
//!
//! The registry says what is wanted; the subscriptions that the server keeps follow it. Every transition is a
//! synchronous method on one locked struct. A channel has at most one command under way, so that a confirmation can
//! only mean that command; changes that are wanted meanwhile are settled when the confirmation arrives.
//!
//! A watcher is deaf until each of its channels is subscribed to and the server has answered a command that was sent
//! after the watcher came. Messages from before that answer may be older than the watcher, which must not take them for
//! news. The confirmation of a subscription is such an answer. Where a channel is subscribed to already, a *fence* is
//! sent: a command that changes nothing, and whose answer arrives among the messages, in order. One fence is for all
//! watchers of the connection.
//!
//! Subscriptions that are asked for again and again linger: the last watcher leaves, and the server is told so some time
//! later, unless another one comes (`lingering.rs`).

mod refusal;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;
use tokio::time::Instant;

use super::fences::{Fence, Fences};
use super::lingering::Lingering;
use super::mailbox::Mailbox;
use super::topic::{Channel, ChannelKind, ChannelState, Topic, Watcher};
use crate::key::Readable;
use crate::store::notice::Notice;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::stats::RedisCounters;

/// A change of the server's subscriptions, or a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubscriptionChange {
    Subscribe(Arc<str>),
    Unsubscribe(Arc<str>),
    Fence,
}

/// One watcher of one topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatcherId {
    topic: usize,
    watcher: usize,
}

/// All topics with a watcher, and topics without one of which the server has not been told yet.
#[derive(Default)]
pub(crate) struct Registry {
    /// The number of the connection in use.
    connection: Option<u64>,
    topics: Slab<Topic>,
    channels: HashMap<Arc<str>, (usize, ChannelKind)>,
    changes: Vec<SubscriptionChange>,
    /// How many changes there were.
    sequence: u64,
    /// How many of them were taken to be sent.
    taken: u64,
    fences: Fences,
    lingering: Lingering,
    stats: Arc<RedisCounters>,
}

impl Registry {
    pub(crate) fn new(stats: Arc<RedisCounters>) -> Self {
        Self {
            stats,
            ..Self::default()
        }
    }

    /// Adds a watcher. It hears [`Notice::Reread`] once its channels are confirmed, or refused.
    pub(crate) fn attach(&mut self, keys: Keyspace<'_>, mailbox: Arc<Mailbox>) -> WatcherId {
        let id = self.topic(keys);
        let topic = &mut self.topics[id];
        let watcher = topic.watchers.insert(Watcher {
            mailbox,
            since: self.taken,
            hears: false,
        });
        topic.listen();
        self.settle(id);
        WatcherId { topic: id, watcher }
    }

    /// Removes a watcher.
    pub(crate) fn detach(&mut self, id: WatcherId, now: Instant) {
        if let Some(topic) = self.topics.get_mut(id.topic) {
            let left = topic.watchers.try_remove(id.watcher);
            if left.is_some() && topic.watchers.is_empty() && topic.is_on() {
                topic.lingers_until = self.lingering.begin(&topic.channels[0].name, now);
            }
            self.settle(id.topic);
        }
    }

    /// A new connection, without subscriptions, takes over.
    pub(crate) fn connect(&mut self, connection: u64) {
        self.connection = Some(connection);
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.settle(id);
        }
    }

    /// The connection is gone, and all subscriptions with it: every watcher reads for itself.
    pub(crate) fn disconnect(&mut self, connection: u64) {
        if self.connection != Some(connection) {
            return;
        }
        if self.topics.iter().any(|(_, topic)| !topic.watchers.is_empty()) {
            self.stats.interruptions.add();
        }
        self.connection = None;
        self.changes.clear();
        self.fences.clear();
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            let topic = &mut self.topics[id];
            for channel in &mut topic.channels {
                channel.silence(ChannelState::Off);
            }
            topic.fence = 0;
            topic.interrupt();
            for (_, watcher) in &topic.watchers {
                watcher.mailbox.push(Notice::Reread);
            }
            self.settle(id);
        }
    }

    /// Whether this is the connection in use.
    pub(crate) fn is_connected(&self, connection: u64) -> bool {
        self.connection == Some(connection)
    }

    /// Takes the changes to tell the server, in order, and a mark for [`refuse`](Self::refuse).
    pub(crate) fn take_changes(&mut self) -> (Vec<SubscriptionChange>, u64) {
        self.taken = self.sequence;
        (std::mem::take(&mut self.changes), self.sequence)
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whether the server has been told to unsubscribe.
    pub(crate) fn is_leaving(&self, channel: &str) -> bool {
        let at = self.channels.get(channel);
        at.is_some_and(|&(id, kind)| {
            let channel = &self.topics[id].channels[kind as usize];
            matches!(channel.state, ChannelState::Unsubscribing(_))
        })
    }

    /// The server confirmed a change.
    pub(crate) fn confirm(&mut self, channel: &str, subscribed: bool) {
        let Some(&(id, kind)) = self.channels.get(channel) else {
            return;
        };
        let topic = &mut self.topics[id];
        let channel = &mut topic.channels[kind as usize];
        match (subscribed, channel.state) {
            (true, ChannelState::Subscribing(at)) => {
                channel.state = ChannelState::On;
                channel.confirmed = at;
                topic.listen();
            }
            // Also without a request of ours: then it is subscribed to again.
            (false, _) => {
                channel.silence(ChannelState::Off);
                topic.interrupt();
            }
            (true, _) => return,
        }
        self.settle(id);
    }

    /// The server has answered the first of the unanswered fences.
    pub(crate) fn pass_fence(&mut self) {
        let Some(Fence { at, topics }) = self.fences.pass() else {
            return;
        };
        for id in topics {
            let Some(topic) = self.topics.get_mut(id) else { continue };
            for channel in topic.channels.iter_mut().filter(|c| c.state == ChannelState::On) {
                channel.confirmed = channel.confirmed.max(at);
            }
            topic.listen();
            self.settle(id);
        }
    }

    /// Ends the subscriptions that have lingered for long enough.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let due = |(id, topic): (usize, &Topic)| topic.lingers_until.is_some_and(|end| end <= now).then_some(id);
        let ended: Vec<_> = self.topics.iter().filter_map(due).collect();
        for id in ended {
            self.topics[id].lingers_until = None;
            self.lingering.count -= 1;
            self.settle(id);
        }
        self.lingering.sweep(now);
    }

    /// Passes on what was published.
    pub(crate) fn deliver(&self, channel: &str, payload: Vec<u8>) {
        let Some(&(id, kind)) = self.channels.get(channel) else {
            return;
        };
        let payload = Bytes::from(payload);
        let notice = match kind {
            // Whatever database it is about.
            ChannelKind::Promise => Notice::Announced,
            ChannelKind::Control => match Notice::from_payload(&payload) {
                Some(notice) => notice,
                None => {
                    self.stats.unknown_words.add();
                    tracing::debug!(channel = %Readable(channel), bytes = payload.len(), "not a control word: ignored");
                    return;
                }
            },
        };
        self.topics[id].tell(&notice);
    }

    /// The topic of `keys`, old or new.
    fn topic(&mut self, keys: Keyspace<'_>) -> usize {
        let promise = keys.promise();
        if let Some((id, _)) = self.channels.get(promise.as_str()) {
            return *id;
        }
        let names: [Arc<str>; 2] = [promise.into(), keys.control().into()];
        let id = self.topics.insert(Topic {
            channels: names.clone().map(Channel::new),
            watchers: Slab::new(),
            fence: 0,
            lingers_until: None,
        });
        let [promise, control] = names;
        self.channels.insert(promise, (id, ChannelKind::Promise));
        self.channels.insert(control, (id, ChannelKind::Control));
        id
    }

    /// Asks for the changes that bring the channels of a topic to where its watchers want them. Forgets the topic once
    /// neither the watchers nor the server need it.
    fn settle(&mut self, id: usize) {
        let topic = &mut self.topics[id];
        let wanted = !topic.watchers.is_empty();
        if (wanted || !topic.is_on()) && topic.lingers_until.take().is_some() {
            self.lingering.count -= 1;
        }
        if self.connection.is_some() {
            for channel in &mut topic.channels {
                let (name, number) = (Arc::clone(&channel.name), self.sequence + 1);
                let (change, state) = match (channel.state, wanted) {
                    (ChannelState::Off, true) => {
                        (SubscriptionChange::Subscribe(name), ChannelState::Subscribing(number))
                    }
                    (ChannelState::On, false) if topic.lingers_until.is_none() => (
                        SubscriptionChange::Unsubscribe(name),
                        ChannelState::Unsubscribing(number),
                    ),
                    _ => continue,
                };
                self.sequence = number;
                channel.state = state;
                self.changes.push(change);
            }
            if topic.needs_fence() {
                if !self.fences.join(id, self.taken) {
                    self.sequence += 1;
                    self.changes.push(SubscriptionChange::Fence);
                    self.fences.begin(id, self.sequence);
                }
                topic.fence = self.sequence;
            }
        }
        let topic = &mut self.topics[id];
        let idle = |c: &Channel| matches!(c.state, ChannelState::Off | ChannelState::Refused);
        if !wanted && topic.channels.iter().all(idle) {
            for channel in self.topics.remove(id).channels {
                self.channels.remove(&channel.name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
