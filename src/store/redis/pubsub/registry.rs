//! Who watches what, and how far the subscriber connection has got with it.
//!
//! This is the truth; the subscriptions that the server keeps follow it. Every transition is a synchronous method on
//! one locked struct. A channel has at most one command under way, so that a confirmation can only mean that
//! command; whatever was wanted meanwhile is settled when it arrives.
//!
//! A watcher is deaf until the server has answered something on each of its channels that was asked for after it came.
//! What the server sent before may be older than the watcher, and it must not take that for news. For a channel that is
//! subscribed to already a *fence* does: a `PING`, whose answer parts what was published before from what was published
//! after, on all channels at once.
//!
//! A topic whose last watcher leaves lingers: a stampede on a hot key is seldom the last. How many linger, and for how long,
//! is bounded.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::mailbox::Mailbox;
use super::topic::{Channel, ChannelKind, ChannelState, Stay, Topic, Watcher};
use crate::key::Readable;
use crate::store::notice::Notice;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::stats::RedisCounters;

/// How many topics linger at most.
const MOST_LINGERING: usize = 256;

/// For how many [beats](Registry::beat) a topic lingers.
const LINGER: u64 = 10;

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
    /// The topics that need a fence.
    unfenced: Vec<usize>,
    /// The topics whose fence was taken to be sent.
    fencing: Vec<usize>,
    /// The topics that linger, in the order of [`Stay::Lingers`], each with the beat that is its last.
    lingering: BTreeMap<u64, (usize, u64)>,
    beats: u64,
    /// How many topics have lingered.
    lingered: u64,
    /// How many changes and fences there were.
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
        if let Stay::Lingers(number) = std::mem::replace(&mut topic.stay, Stay::Watched) {
            self.lingering.remove(&number);
        }
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
        self.unfenced.clear();
        self.fencing.clear();
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
        self.fencing.append(&mut self.unfenced);
        (std::mem::take(&mut self.changes), self.sequence)
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty() || !self.unfenced.is_empty()
    }

    /// Whether watchers wait for the answer to a command that is sent after the changes that were taken.
    pub(crate) fn needs_fence(&self) -> bool {
        !self.fencing.is_empty()
    }

    /// The server has answered a command that was sent after the changes up to `mark`, and all that it had published before
    /// has arrived. Watchers that waited for this miss what has arrived since: they are told to read.
    pub(crate) fn fenced(&mut self, mark: u64) {
        for id in std::mem::take(&mut self.fencing) {
            let Some(topic) = self.topics.get_mut(id) else {
                continue;
            };
            topic.channels.iter_mut().for_each(|channel| channel.fenced(mark));
            topic.listen();
            self.settle(id);
        }
    }

    /// Time passes: what has lingered long enough is unsubscribed from.
    pub(crate) fn beat(&mut self) {
        self.beats += 1;
        while let Some(oldest) = self.lingering.first_entry() {
            if oldest.get().1 > self.beats {
                break;
            }
            let (id, _) = oldest.remove();
            self.leave(id);
        }
    }

    fn leave(&mut self, id: usize) {
        if let Some(topic) = self.topics.get_mut(id) {
            topic.stay = Stay::Leaves;
            self.settle(id);
        }
    }

    /// Has a topic that is subscribed to and has no watchers linger.
    fn linger(&mut self, id: usize) {
        self.lingered += 1;
        self.topics[id].stay = Stay::Lingers(self.lingered);
        self.lingering.insert(self.lingered, (id, self.beats + LINGER));
        if self.lingering.len() > MOST_LINGERING
            && let Some((_, (oldest, _))) = self.lingering.pop_first()
        {
            self.leave(oldest);
        }
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
            stay: Stay::Watched,
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
        let is_on = topic.channels.iter().all(|c| c.state == ChannelState::On);
        match topic.stay {
            Stay::Watched if !wanted && is_on && self.connection.is_some() => return self.linger(id),
            Stay::Lingers(_) if is_on => return,
            // The server has ended it.
            Stay::Lingers(number) => {
                topic.stay = Stay::Leaves;
                self.lingering.remove(&number);
            }
            Stay::Watched | Stay::Leaves => {}
        }
        // It may linger, once it is known whether all of it is subscribed to.
        let is_underway = |c: &Channel| matches!(c.state, ChannelState::Subscribing(_));
        let may_linger = topic.stay == Stay::Watched && topic.channels.iter().any(is_underway);
        if self.connection.is_some() {
            let mut fence = false;
            for channel in &mut topic.channels {
                let name = Arc::clone(&channel.name);
                let all_hear = topic.watchers.iter().all(|(_, w)| channel.is_news_to(w));
                let change = match (channel.state, wanted) {
                    (ChannelState::Off, true) => SubscriptionChange::Subscribe(name),
                    (ChannelState::On, true) if !all_hear => {
                        fence = true;
                        continue;
                    }
                    (ChannelState::On, false) if !may_linger => SubscriptionChange::Unsubscribe(name),
                    _ => continue,
                };
                self.sequence += 1;
                channel.state = match change {
                    SubscriptionChange::Subscribe(_) => ChannelState::Subscribing(self.sequence),
                    SubscriptionChange::Unsubscribe(_) => ChannelState::Unsubscribing(self.sequence),
                };
                self.changes.push(change);
            }
            if fence && !self.unfenced.contains(&id) {
                self.sequence += 1;
                self.unfenced.push(id);
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
