//! [`Fences`]: each parts the messages before it from those after it, for the topics that wait for it.

use std::collections::VecDeque;

/// A fence that is not answered yet.
pub(super) struct Fence {
    /// The number of the change.
    pub(super) at: u64,
    /// The topics with watchers that wait for it. There may be other ones by now.
    pub(super) topics: Vec<usize>,
}

/// The fences that are not answered yet, in the order in which they are sent.
#[derive(Default)]
pub(super) struct Fences(VecDeque<Fence>);

impl Fences {
    /// Has a topic wait for the last fence, if that is yet to be sent: only the changes up to `taken` may have been
    /// sent. Returns whether there is such a fence.
    pub(super) fn join(&mut self, topic: usize, taken: u64) -> bool {
        let unsent = self.0.back_mut().filter(|fence| fence.at > taken);
        unsent.map(|fence| fence.topics.push(topic)).is_some()
    }

    /// Adds another fence, as the change with this number.
    pub(super) fn begin(&mut self, topic: usize, at: u64) {
        self.0.push_back(Fence {
            at,
            topics: vec![topic],
        });
    }

    /// The server has answered the fence that was sent first.
    pub(super) fn pass(&mut self) -> Option<Fence> {
        self.0.pop_front()
    }

    /// The next fence that the server has refused: every fence up to `mark` that is not answered.
    pub(super) fn refuse(&mut self, mark: u64) -> Option<Fence> {
        self.0.front().filter(|fence| fence.at <= mark)?;
        self.0.pop_front()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
