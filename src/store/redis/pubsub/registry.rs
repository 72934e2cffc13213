//! Who watches what, and how far the subscriber connection has got with it.
//!
//! This is the truth; the subscriptions that the server keeps follow it. Every transition is a synchronous method on
//! one locked struct. A channel has at most one command under way, so that a confirmation can only mean that
//! command; whatever was wanted meanwhile is settled when it arrives.
//!
//! A watcher is deaf until a subscription of each of its channels is confirmed that was asked for after it came. What
//! the server sent before may be older than the watcher, and it must not take that for news. So a channel that is
//! subscribed to already is subscribed to once more: to Redis this changes nothing, and its confirmation parts what
//! was published before from what was published after.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::mailbox::Mailbox;
use super::topic::{Channel, ChannelKind, ChannelState, Topic, Watcher};
use crate::key::Readable;
use crate::store::notice::Notice;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::stats::RedisCounters;

/// A change of the server's subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubscriptionChange {
    Subscribe(Arc<str>),
    Unsubscribe(Arc<str>),
}

/// One watcher of one topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatcherId {
    topic: usize,
    watcher: usize,
}

/// All topics with a watcher, and those the server still has to be told have none.
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
    pub(crate) fn detach(&mut self, id: WatcherId) {
        if let Some(topic) = self.topics.get_mut(id.topic) {
            topic.watchers.try_remove(id.watcher);
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
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            let topic = &mut self.topics[id];
            for channel in &mut topic.channels {
                channel.silence(ChannelState::Off);
            }
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

    /// The server has answered a command that came after the changes up to `mark`; those it has not confirmed it
    /// has refused. Returns the name of one such channel.
    pub(crate) fn refuse(&mut self, mark: u64) -> Option<Arc<str>> {
        let mut refused = None;
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            let topic = &mut self.topics[id];
            let mut changed = false;
            for channel in &mut topic.channels {
                if matches!(channel.state, ChannelState::Subscribing(at) if at <= mark) {
                    self.stats.refused_subscriptions.add();
                }
                channel.silence(match channel.state {
                    ChannelState::Subscribing(at) if at <= mark => ChannelState::Refused,
                    ChannelState::Unsubscribing(at) if at <= mark => ChannelState::Off,
                    _ => continue,
                });
                changed = true;
                refused = Some(Arc::clone(&channel.name));
            }
            if changed {
                topic.interrupt();
                topic.listen();
                self.settle(id);
            }
        }
        refused
    }

    /// Whether the server would not let us subscribe to something.
    pub(crate) fn has_refused(&self) -> bool {
        self.topics
            .iter()
            .any(|(_, topic)| topic.channels.iter().any(|c| c.state == ChannelState::Refused))
    }

    /// Tries once more what was refused.
    pub(crate) fn retry(&mut self) {
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            let topic = &mut self.topics[id];
            let mut changed = false;
            for channel in topic.channels.iter_mut().filter(|c| c.state == ChannelState::Refused) {
                channel.silence(ChannelState::Off);
                changed = true;
            }
            if changed {
                topic.interrupt();
                self.settle(id);
            }
        }
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
        });
        let [promise, control] = names;
        self.channels.insert(promise, (id, ChannelKind::Promise));
        self.channels.insert(control, (id, ChannelKind::Control));
        id
    }

    /// Asks for whatever brings the channels of a topic to where its watchers want them; forgets the topic once
    /// neither they nor the server need it.
    fn settle(&mut self, id: usize) {
        let topic = &mut self.topics[id];
        let wanted = !topic.watchers.is_empty();
        if self.connection.is_some() {
            for channel in &mut topic.channels {
                let name = Arc::clone(&channel.name);
                let all_hear = topic.watchers.iter().all(|(_, w)| channel.is_news_to(w));
                let change = match (channel.state, wanted) {
                    (ChannelState::Off, true) => SubscriptionChange::Subscribe(name),
                    (ChannelState::On, true) if !all_hear => SubscriptionChange::Subscribe(name),
                    (ChannelState::On, false) => SubscriptionChange::Unsubscribe(name),
                    _ => continue,
                };
                self.sequence += 1;
                channel.state = match change {
                    SubscriptionChange::Subscribe(_) => ChannelState::Subscribing(self.sequence),
                    SubscriptionChange::Unsubscribe(_) => ChannelState::Unsubscribing(self.sequence),
                };
                self.changes.push(change);
            }
        }
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
