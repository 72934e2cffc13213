//! What a step does to the state.

use super::*;

impl State {
    pub(super) fn tick(&mut self) {
        for age in self.ended.iter_mut().chain([&mut self.moved]).flatten() {
            *age = (*age + 1).min(LAG + 1);
        }
        for left in &mut self.process.left {
            *left = left.saturating_sub(1);
        }
        if let Invalidation::Waiting { since, .. } = &mut self.invalidation {
            *since = (*since + 1).min(LAG);
        }
    }

    /// Redis has another value, or none.
    pub(super) fn change(&mut self, value: Option<u8>) {
        if let Some(old) = std::mem::replace(&mut self.stored, value) {
            self.ended[old as usize] = Some(0);
        }
        let tracked = &mut self.connections[VALUE];
        // A node does not tell of what it does not have any more.
        tracked.tells |= tracked.open && !self.given;
    }

    pub(super) fn invalidate(&mut self) {
        self.change(None);
        self.first_after = self.versions;
    }

    pub(super) fn tell(&mut self, variant: Variant) {
        let home = &mut self.connections[HOME];
        home.tells |= home.open;
        let is_unsure = self.moved.is_some_and(|age| age <= LAG) && variant != Variant::TrustsHome;
        self.invalidation = Invalidation::Waiting {
            since: 0,
            acknowledged: false,
            expected: home.open || self.in_set || is_unsure,
        };
    }

    pub(super) fn forget(&mut self) {
        (self.process.copy, self.process.placeholder) = (None, false);
    }

    /// What the process would answer with.
    pub(super) fn served(&self, variant: Variant) -> Option<u8> {
        let [value, home] = self.process.left;
        let is_held = value > 0 && (home > 0 || variant == Variant::OneLease);
        self.process.copy.filter(|_| is_held)
    }

    pub(super) fn take_answer(&mut self, variant: Variant) {
        let answer = self.process.asked.take().flatten();
        let is_awaited = std::mem::take(&mut self.process.placeholder);
        if let Some((value, is_direct)) = answer
            && is_awaited
            && (is_direct || variant == Variant::KeepsAll)
        {
            self.process.copy = value;
        }
    }

    pub(super) fn hear(&mut self, at: usize) {
        self.connections[at].tells = false;
        self.forget();
        if at == HOME
            && let Invalidation::Waiting { acknowledged, .. } = &mut self.invalidation
        {
            *acknowledged = true;
        }
    }

    /// The process learns that this connection was lost, and has another.
    pub(super) fn connect_again(&mut self, at: usize) {
        self.connections[at] = Connection {
            open: true,
            tells: false,
        };
        self.in_set |= at == HOME;
        self.process.left[at] = 0;
        // What is on its way is of the connection before.
        self.forget();
    }
}
