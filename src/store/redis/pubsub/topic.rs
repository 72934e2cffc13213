//! [`Topic`]: one address, with its watchers and what the server knows of its channels.

use std::sync::Arc;

use slab::Slab;
use tokio::time::Instant;

use super::mailbox::Mailbox;
use crate::store::notice::Notice;

/// One address: its promise and its control channel.
pub(super) struct Topic {
    pub(super) channels: [Channel; 2],
    pub(super) watchers: Slab<Watcher>,
    /// The change with the last fence that was asked for.
    pub(super) fence: u64,
    /// Until when it is subscribed to without watchers.
    pub(super) lingers_until: Option<Instant>,
}

pub(super) struct Watcher {
    pub(super) mailbox: Arc<Mailbox>,
    /// The changes up to this number may have been made before the watcher came.
    pub(super) since: u64,
    /// Whether published messages are for the watcher.
    pub(super) hears: bool,
}

pub(super) struct Channel {
    pub(super) name: Arc<str>,
    pub(super) state: ChannelState,
    /// The last change that subscribed to it, or fence behind that, while it is subscribed to.
    pub(super) confirmed: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ChannelKind {
    Promise,
    Control,
}

/// What the server knows of a channel. The numbers are those of the change under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelState {
    Off,
    Subscribing(u64),
    On,
    Unsubscribing(u64),
    /// The server does not let us subscribe.
    Refused,
}

impl Channel {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            state: ChannelState::Off,
            confirmed: 0,
        }
    }

    /// Enters a state in which the server sends nothing.
    pub(super) fn silence(&mut self, state: ChannelState) {
        self.state = state;
        self.confirmed = 0;
    }

    /// Whether all that arrives was published after a watcher came. A channel that is refused brings nothing.
    pub(super) fn is_news_to(&self, watcher: &Watcher) -> bool {
        self.confirmed > watcher.since || self.state == ChannelState::Refused
    }
}

impl Topic {
    /// Whether both channels are subscribed to.
    pub(super) fn is_on(&self) -> bool {
        self.channels.iter().all(|channel| channel.state == ChannelState::On)
    }

    /// Whether there are watchers that are deaf only because of messages from before they came, and no fence was asked
    /// for since.
    pub(super) fn needs_fence(&self) -> bool {
        let waits = |watcher: &Watcher| {
            let is_late = |channel: &Channel| channel.state == ChannelState::On && !channel.is_news_to(watcher);
            self.fence <= watcher.since && self.channels.iter().any(is_late)
        };
        self.watchers.iter().any(|(_, watcher)| waits(watcher))
    }

    pub(super) fn tell(&self, notice: &Notice) {
        for (_, watcher) in self.watchers.iter().filter(|(_, w)| w.hears) {
            watcher.mailbox.push(notice.clone());
        }
    }

    /// Some notices will be missed from here on, until the subscriptions are confirmed again.
    pub(super) fn interrupt(&mut self) {
        for (_, watcher) in &mut self.watchers {
            watcher.hears = false;
        }
    }

    /// Tells the watchers that can hear from here on to read what they missed.
    pub(super) fn listen(&mut self) {
        for (_, watcher) in &mut self.watchers {
            if !watcher.hears && self.channels.iter().all(|c| c.is_news_to(watcher)) {
                watcher.hears = true;
                watcher.mailbox.push(Notice::Reread);
            }
        }
    }
}
