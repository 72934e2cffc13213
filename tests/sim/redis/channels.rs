//! Channels: which connections listen on which, and what is published.

use super::resp::Answer;
use super::{Caller, RedisServer};

impl RedisServer {
    /// Tells all connections that listen, and says how many that are.
    pub(crate) fn publish(&mut self, caller: &Caller, channel: &[u8], payload: &[u8]) -> i64 {
        let listening: Vec<_> = self.channels.get(channel).into_iter().flatten().copied().collect();
        let message = Answer::Push(["message".as_bytes(), channel, payload].map(Answer::bytes).into());
        if let Some(what) = near_word(channel) {
            caller.sim.made(what);
        }
        for wire in &listening {
            caller.sim.history().messages += 1;
            self.send(&caller.sim, *wire, &message);
        }
        listening.len() as i64
    }

    pub(crate) fn subscribe(&mut self, caller: &Caller, channel: &[u8]) {
        caller.sim.made("channel: subscribed");
        self.channels.entry(channel.to_vec()).or_default().insert(caller.wire);
        self.confirm(caller, "subscribe", channel);
    }

    pub(crate) fn unsubscribe(&mut self, caller: &Caller, channel: &[u8]) {
        if let Some(wires) = self.channels.get_mut(channel) {
            wires.remove(&caller.wire);
        }
        self.confirm(caller, "unsubscribe", channel);
    }

    fn confirm(&mut self, caller: &Caller, what: &str, channel: &[u8]) {
        let count = self
            .channels
            .values()
            .filter(|wires| wires.contains(&caller.wire))
            .count();
        let parts = vec![
            Answer::bytes(what),
            Answer::bytes(channel),
            Answer::Number(count as i64),
        ];
        self.send(&caller.sim, caller.wire, &Answer::Push(parts));
    }

    /// The channels that connections listen on, but for those that are for good.
    pub(crate) fn listened(&self) -> usize {
        let listening = self.channels.iter().filter(|(_, wires)| !wires.is_empty());
        listening
            .filter(|(channel, _)| !is_near(channel) && !is_mailbox(channel))
            .count()
    }
}

/// Whether it is one of those of near copies.
fn is_near(channel: &[u8]) -> bool {
    channel.windows(6).any(|part| part == b"}/near")
}

/// Whether a node is asked there for what it makes, for as long as it lives.
fn is_mailbox(channel: &[u8]) -> bool {
    channel.windows(7).any(|part| part == b"{:part ")
}

/// What is done by publishing on this one.
fn near_word(channel: &[u8]) -> Option<&'static str> {
    is_near(channel).then(|| match channel.ends_with(b"}/near") {
        true => "near: a notice to all with copies",
        false => "near: a notice is acknowledged",
    })
}
