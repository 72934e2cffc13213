//! What a step does to the state.

use super::*;

impl State {
    pub(super) fn tick(&mut self) {
        let node = &mut self.node;
        let ages = self.ended.iter_mut().chain([&mut node.ping, &mut node.before]);
        for age in ages.flatten() {
            *age = (*age + 1).min(LAG + 1);
        }
        node.left = node.left.saturating_sub(1);
        if let Invalidation::Waiting { since, .. } = &mut self.invalidation {
            *since = (*since + 1).min(LAG);
        }
    }

    /// Redis has another value, or none.
    pub(super) fn change(&mut self, value: Option<u8>) {
        if let Some(old) = std::mem::replace(&mut self.stored, value) {
            self.ended[old as usize] = Some(0);
        }
        self.changed = true;
    }

    pub(super) fn forget(&mut self) {
        (self.node.copy, self.node.placeholder) = (None, false);
    }

    pub(super) fn deliver(&mut self, push: Push, variant: Variant) {
        match push {
            Push::Changed => self.forget(),
            Push::Notice => {
                self.forget();
                if let Invalidation::Waiting { acknowledged, .. } = &mut self.invalidation {
                    *acknowledged = true;
                }
            }
            Push::Pong => {
                let sent = self.node.ping.take();
                self.node.pinged = false;
                let vouched = match variant {
                    Variant::OnePing => sent,
                    Variant::FromAnswer => self.node.before.map(|_| 0),
                    _ => self.node.before,
                };
                self.node.before = sent;
                if let Some(age) = vouched {
                    self.node.left = self.node.left.max(LAG.saturating_sub(age));
                }
            }
        }
    }

    /// What the node would answer with.
    pub(super) fn served(&self) -> Option<u8> {
        self.node.copy.filter(|_| self.node.left > 0)
    }

    pub(super) fn take_answer(&mut self, variant: Variant) {
        let answer = self.node.asked.take().flatten().flatten();
        let is_awaited = std::mem::take(&mut self.node.placeholder);
        if is_awaited || variant == Variant::NoPlaceholder {
            self.node.copy = answer;
        }
    }

    pub(super) fn invalidate(&mut self, variant: Variant) {
        self.change(None);
        let hears = self.open && variant != Variant::SetOnly;
        let listed = self.in_set && variant != Variant::CountOnly;
        if self.open {
            self.feed.push(Push::Notice);
        }
        self.invalidation = Invalidation::Waiting {
            since: 0,
            first_after: self.versions,
            acknowledged: false,
            expected: (hears || listed) && variant != Variant::NoWait,
        };
    }

    /// The node learns that its connection was lost, and has another.
    pub(super) fn connect_again(&mut self, variant: Variant) {
        // What was on its way may have come before, or is lost.
        self.feed.clear();
        self.node = Node {
            copy: self.node.copy.filter(|_| variant == Variant::KeepsCopies),
            asked: self.node.asked,
            ..Node::default()
        };
        (self.open, self.in_set, self.answered) = (true, true, false);
    }
}
