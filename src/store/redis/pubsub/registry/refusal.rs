//! Channels that the server refuses to subscribe to, and the retry later.

use std::sync::Arc;

use super::Registry;
use crate::store::redis::pubsub::topic::ChannelState;

impl Registry {
    /// The server has answered a command that came after the changes up to `mark`: it has refused every change that it
    /// has not confirmed. Returns the name of one such channel.
    pub(crate) fn refuse(&mut self, mark: u64) -> Option<Arc<str>> {
        self.refuse_fences(mark);
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

    /// Subscribes once more to the channels whose fences the server has refused: the confirmation parts messages just
    /// as well.
    fn refuse_fences(&mut self, mark: u64) {
        while let Some(refused) = self.fences.refuse(mark) {
            for id in refused.topics {
                let Some(topic) = self.topics.get_mut(id) else { continue };
                for channel in topic.channels.iter_mut().filter(|c| c.state == ChannelState::On) {
                    channel.silence(ChannelState::Off);
                }
                topic.interrupt();
                self.settle(id);
            }
        }
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
}
