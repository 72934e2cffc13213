//! Who watches what, and how far the subscriber connection has got with it.
//!
//! This is the truth; the subscriptions that the server keeps follow it. Every transition is a synchronous method on
//! one locked struct. A channel has at most one command under way, so that a confirmation can only mean that
//! command; whatever was wanted meanwhile is settled when it arrives.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::keyspace::Keyspace;
use super::mailbox::Mailbox;
use super::message;
use crate::store::{Notice, Value};

/// A change of the server's subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Subscribe(Arc<str>),
    Unsubscribe(Arc<str>),
}

/// One watcher of one topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatcherId {
    topic: usize,
    watcher: usize,
}

/// All topics that somebody watches, or that the server still has to be told nobody does.
#[derive(Default)]
pub(super) struct Registry {
    /// The number of the connection in use.
    connection: Option<u64>,
    topics: Slab<Topic>,
    channels: HashMap<Arc<str>, (usize, Kind)>,
    changes: Vec<Change>,
    /// How many changes there were.
    sequence: u64,
}

/// One address: its promise and its control channel.
struct Topic {
    channels: [Channel; 2],
    watchers: Slab<Arc<Mailbox>>,
}

struct Channel {
    name: Arc<str>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Promise,
    Control,
}

/// What the server knows of a channel. The numbers are those of the change under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    Subscribing(u64),
    On,
    Unsubscribing(u64),
    /// The server does not let us subscribe.
    Refused,
}

impl Topic {
    fn tell(&self, notice: &Notice) {
        for (_, mailbox) in &self.watchers {
            mailbox.push(notice.clone());
        }
    }

    fn in_effect(&self) -> bool {
        self.channels.iter().all(|c| c.state == State::On)
    }

    fn refused(&self) -> bool {
        self.channels.iter().any(|c| c.state == State::Refused)
    }
}

impl Registry {
    /// Adds a watcher. It hears [`Notice::Reread`] now if its channels are confirmed, otherwise once they are.
    pub(super) fn attach(&mut self, keys: Keyspace<'_>, mailbox: Arc<Mailbox>) -> WatcherId {
        let id = self.topic(keys);
        let topic = &mut self.topics[id];
        if topic.in_effect() || topic.refused() {
            mailbox.push(Notice::Reread);
        }
        let watcher = topic.watchers.insert(mailbox);
        self.settle(id);
        WatcherId { topic: id, watcher }
    }

    /// Removes a watcher.
    pub(super) fn detach(&mut self, id: WatcherId) {
        if let Some(topic) = self.topics.get_mut(id.topic) {
            topic.watchers.try_remove(id.watcher);
            self.settle(id.topic);
        }
    }

    /// A new connection, without subscriptions, takes over.
    pub(super) fn connect(&mut self, connection: u64) {
        self.connection = Some(connection);
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.settle(id);
        }
    }

    /// The connection is gone, and all subscriptions with it: every watcher reads for itself.
    pub(super) fn disconnect(&mut self, connection: u64) {
        if self.connection != Some(connection) {
            return;
        }
        self.connection = None;
        self.changes.clear();
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            let topic = &mut self.topics[id];
            for channel in &mut topic.channels {
                channel.state = State::Off;
            }
            topic.tell(&Notice::Reread);
            self.settle(id);
        }
    }

    /// Whether this is the connection in use.
    pub(super) fn is_connected(&self, connection: u64) -> bool {
        self.connection == Some(connection)
    }

    /// Takes the changes to tell the server, in order, and a mark for [`refuse`](Self::refuse).
    pub(super) fn take_changes(&mut self) -> (Vec<Change>, u64) {
        (std::mem::take(&mut self.changes), self.sequence)
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The server confirmed a change.
    pub(super) fn confirm(&mut self, channel: &str, subscribed: bool) {
        let Some(&(id, kind)) = self.channels.get(channel) else {
            return;
        };
        let topic = &mut self.topics[id];
        let state = &mut topic.channels[kind as usize].state;
        *state = match (subscribed, *state) {
            (true, State::Subscribing(_)) => State::On,
            // Also without a request of ours: then it is subscribed to again.
            (false, _) => State::Off,
            (true, _) => return,
        };
        if subscribed && topic.in_effect() {
            topic.tell(&Notice::Reread);
        }
        self.settle(id);
    }

    /// The server has answered a command that came after the changes up to `mark`; those it has not confirmed it
    /// has refused. Returns the name of one such channel.
    pub(super) fn refuse(&mut self, mark: u64) -> Option<Arc<str>> {
        let mut refused = None;
        let ids: Vec<_> = self.topics.iter().map(|(id, _)| id).collect();
        for id in ids {
            let topic = &mut self.topics[id];
            let mut changed = false;
            for channel in &mut topic.channels {
                channel.state = match channel.state {
                    State::Subscribing(at) if at <= mark => State::Refused,
                    State::Unsubscribing(at) if at <= mark => State::Off,
                    _ => continue,
                };
                changed = true;
                refused = Some(Arc::clone(&channel.name));
            }
            if changed {
                topic.tell(&Notice::Reread);
                self.settle(id);
            }
        }
        refused
    }

    /// Passes on what was published.
    pub(super) fn deliver(&self, channel: &str, payload: Vec<u8>) {
        let Some(&(id, kind)) = self.channels.get(channel) else {
            return;
        };
        let payload = Bytes::from(payload);
        let notice = match kind {
            Kind::Promise => Notice::Stored(Value::encoded(payload)),
            Kind::Control => match message::parse(&payload) {
                Some(notice) => notice,
                None => {
                    tracing::debug!(channel, bytes = payload.len(), "not a control word: ignored");
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
            channels: names.clone().map(|name| Channel {
                name,
                state: State::Off,
            }),
            watchers: Slab::new(),
        });
        let [promise, control] = names;
        self.channels.insert(promise, (id, Kind::Promise));
        self.channels.insert(control, (id, Kind::Control));
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
                let change = match (channel.state, wanted) {
                    (State::Off, true) => Change::Subscribe(name),
                    (State::On, false) => Change::Unsubscribe(name),
                    _ => continue,
                };
                self.sequence += 1;
                channel.state = match change {
                    Change::Subscribe(_) => State::Subscribing(self.sequence),
                    Change::Unsubscribe(_) => State::Unsubscribing(self.sequence),
                };
                self.changes.push(change);
            }
        }
        let idle = |c: &Channel| matches!(c.state, State::Off | State::Refused);
        if !wanted && topic.channels.iter().all(idle) {
            for channel in self.topics.remove(id).channels {
                self.channels.remove(&channel.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Address, Key, Tag};

    struct Bench {
        registry: Registry,
        address: Address,
    }

    impl Bench {
        fn connected() -> Self {
            let mut registry = Registry::default();
            registry.connect(1);
            let address = Address::new(&Tag::new("t").unwrap(), &Key::new("id").unwrap());
            Self { registry, address }
        }

        fn attach(&mut self) -> (WatcherId, Arc<Mailbox>) {
            let mailbox = Arc::new(Mailbox::default());
            let keys = Keyspace::new(&self.address);
            let id = self.registry.attach(keys, Arc::clone(&mailbox));
            (id, mailbox)
        }

        /// The changes as `+channel` and `-channel`.
        fn changes(&mut self) -> Vec<String> {
            let name = |change| match change {
                Change::Subscribe(name) => format!("+{name}"),
                Change::Unsubscribe(name) => format!("-{name}"),
            };
            self.registry.take_changes().0.into_iter().map(name).collect()
        }

        fn confirm(&mut self, subscribed: bool) {
            self.registry.confirm("t/notif:id", subscribed);
            self.registry.confirm("t/ctl:id", subscribed);
        }

        fn is_empty(&self) -> bool {
            self.registry.topics.is_empty() && self.registry.channels.is_empty()
        }
    }

    fn heard(mailbox: &Mailbox) -> Vec<Notice> {
        std::iter::from_fn(|| mailbox.try_next()).collect()
    }

    fn rereads(mailbox: &Mailbox) -> usize {
        let heard = heard(mailbox);
        assert!(heard.iter().all(|n| matches!(n, Notice::Reread)), "{heard:?}");
        heard.len()
    }

    #[test]
    fn the_first_notice_needs_both_confirmations() {
        let mut bench = Bench::connected();
        let (_, mailbox) = bench.attach();
        assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
        bench.registry.confirm("t/ctl:id", true);
        assert_eq!(rereads(&mailbox), 0);
        bench.registry.confirm("t/notif:id", true);
        assert_eq!(rereads(&mailbox), 1);
    }

    #[test]
    fn a_second_watcher_shares_the_subscription() {
        let mut bench = Bench::connected();
        let (first, _) = bench.attach();
        bench.confirm(true);
        bench.changes();
        let (second, mailbox) = bench.attach();
        assert_eq!(rereads(&mailbox), 1);
        bench.registry.detach(first);
        assert!(bench.changes().is_empty());
        bench.registry.detach(second);
        assert_eq!(bench.changes(), ["-t/notif:id", "-t/ctl:id"]);
        bench.confirm(false);
        assert!(bench.is_empty());
    }

    #[test]
    fn a_watcher_that_comes_while_unsubscribing_waits_for_the_next_subscription() {
        let mut bench = Bench::connected();
        let (first, _) = bench.attach();
        bench.confirm(true);
        bench.registry.detach(first);
        bench.changes();
        let (_, mailbox) = bench.attach();
        assert!(bench.changes().is_empty());
        bench.confirm(false);
        assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
        assert_eq!(rereads(&mailbox), 0);
        bench.confirm(true);
        assert_eq!(rereads(&mailbox), 1);
    }

    #[test]
    fn a_watcher_that_goes_while_subscribing_is_unsubscribed_afterwards() {
        let mut bench = Bench::connected();
        let (id, _) = bench.attach();
        bench.changes();
        bench.registry.detach(id);
        assert!(bench.changes().is_empty());
        bench.confirm(true);
        assert_eq!(bench.changes(), ["-t/notif:id", "-t/ctl:id"]);
    }

    #[test]
    fn a_lost_connection_is_heard_at_once_and_again_when_repaired() {
        let mut bench = Bench::connected();
        let (_, mailbox) = bench.attach();
        bench.confirm(true);
        bench.changes();
        assert_eq!(rereads(&mailbox), 1);
        bench.registry.disconnect(1);
        assert_eq!(rereads(&mailbox), 1);
        bench.registry.disconnect(1);
        assert_eq!(rereads(&mailbox), 0);
        bench.registry.connect(2);
        assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
        bench.confirm(true);
        assert_eq!(rereads(&mailbox), 1);
    }

    #[test]
    fn a_topic_without_watchers_does_not_outlive_its_connection() {
        let mut bench = Bench::connected();
        let (id, _) = bench.attach();
        bench.registry.detach(id);
        bench.registry.disconnect(1);
        assert!(bench.is_empty());
    }

    #[test]
    fn watchers_of_a_refused_channel_read_for_themselves() {
        let mut bench = Bench::connected();
        let (id, mailbox) = bench.attach();
        let (_, mark) = bench.registry.take_changes();
        bench.registry.confirm("t/notif:id", true);
        assert_eq!(bench.registry.refuse(mark - 2), None);
        assert_eq!(bench.registry.refuse(mark).as_deref(), Some("t/ctl:id"));
        assert_eq!(rereads(&mailbox), 1);
        let (other, mailbox) = bench.attach();
        assert_eq!(rereads(&mailbox), 1);
        bench.registry.detach(id);
        bench.registry.detach(other);
        assert_eq!(bench.changes(), ["-t/notif:id"]);
        bench.registry.confirm("t/notif:id", false);
        assert!(bench.is_empty());
    }

    #[test]
    fn an_unsubscription_nobody_asked_for_is_repaired() {
        let mut bench = Bench::connected();
        let (_, mailbox) = bench.attach();
        bench.confirm(true);
        bench.changes();
        heard(&mailbox);
        bench.registry.confirm("t/ctl:id", false);
        assert_eq!(bench.changes(), ["+t/ctl:id"]);
        bench.registry.confirm("t/ctl:id", true);
        assert_eq!(rereads(&mailbox), 1);
    }

    #[test]
    fn messages_reach_those_who_watch_the_address() {
        let mut bench = Bench::connected();
        let (_, mailbox) = bench.attach();
        bench.registry.deliver("t/notif:id", b"stored".to_vec());
        bench.registry.deliver("t/ctl:id", b"invalidated".to_vec());
        bench.registry.deliver("t/ctl:id", b"gibberish".to_vec());
        bench.registry.deliver("t/notif:other", b"x".to_vec());
        let heard = heard(&mailbox);
        let [Notice::Stored(value), Notice::Invalidated] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!(value.bytes().unwrap(), "stored");
    }
}
