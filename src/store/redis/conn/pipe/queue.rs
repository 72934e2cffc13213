//! [`SendQueue`]: what is to be sent, and the places of the answers, in one order.

use std::collections::VecDeque;
use std::task::Waker;

use super::slot::ReplySlot;
use crate::store::redis::resp::RedisError;

/// What is to be sent, and what is to be answered.
#[derive(Default)]
pub(super) struct SendQueue {
    pub(super) bytes: Vec<u8>,
    /// All that are in `bytes`.
    pub(super) commands: VecDeque<QueuedCommand>,
    /// The places of the answers to what was taken over by the driver.
    pub(super) awaited: VecDeque<AwaitedCommand>,
    /// How many turns the sweeper has made.
    pub(super) turn: u32,
    /// Whether the sweeper takes turns, and need not be told of a command.
    pub(super) is_sweeping: bool,
    /// The driver, where it waits for a command.
    pub(super) idle: Option<Waker>,
    pub(super) closed: Option<RedisError>,
}

/// A command, or several that are sent at once, while it is in the queue.
pub(super) struct QueuedCommand {
    /// Of its bytes.
    pub(super) len: usize,
    pub(super) answer: AwaitedCommand,
}

/// A command that is to be answered.
pub(super) struct AwaitedCommand {
    /// When it was sent, by the turns of the sweeper.
    pub(super) turn: u32,
    pub(super) slot: ReplySlot,
}

impl SendQueue {
    /// Moves all commands to the bytes that are being written, except those whose callers have left.
    pub(super) fn hand_over(&mut self, writing: &mut Vec<u8>) {
        if self.commands.iter().all(|command| command.answer.slot.is_awaited()) {
            std::mem::swap(writing, &mut self.bytes);
            self.awaited
                .extend(self.commands.drain(..).map(|command| command.answer));
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[..];
        for QueuedCommand { len, answer } in self.commands.drain(..) {
            let (command, others) = rest.split_at(len);
            rest = others;
            // Asked only once, because a caller may leave meanwhile.
            if answer.slot.is_awaited() {
                writing.extend_from_slice(command);
                self.awaited.push_back(answer);
            }
        }
    }

    /// All that is to be answered, in order.
    pub(super) fn answers(&self) -> impl Iterator<Item = &AwaitedCommand> {
        self.awaited
            .iter()
            .chain(self.commands.iter().map(|command| &command.answer))
    }
}
