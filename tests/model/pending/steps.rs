//! What a step does to the state.

use super::*;

impl State {
    /// The oldest version for a caller that comes to this node now.
    pub(super) fn oldest(&self, n: usize) -> u8 {
        self.acknowledged.max(self.nodes[n].owed)
    }

    pub(super) fn delete(&mut self) {
        self.value = None;
        self.lock = None;
    }

    pub(super) fn give(&mut self, n: usize, oldest: u8, version: u8) {
        let node = &self.nodes[n];
        if version < oldest {
            self.flaw = Some("older than an invalidation that came before");
        } else if node.debt.is_some() && version < node.owed {
            self.flaw = Some("older than what is owed");
        }
    }

    pub(super) fn owe(&mut self, n: usize, version: u8) {
        let node = &mut self.nodes[n];
        node.last += 1;
        node.debt = Some(node.last);
        node.owed = node.owed.max(version);
        node.has_paid = false;
    }

    pub(super) fn invalidate(&mut self, n: usize) {
        self.truth += 1;
        let (version, executed) = (self.truth, false);
        match self.nodes[n].connected {
            true => self.nodes[n].call = Some(Sent { version, executed }),
            false => self.owe(n, version),
        }
    }

    pub(super) fn paid(&mut self, n: usize, variant: Variant) {
        let node = &mut self.nodes[n];
        let Some((number, sent)) = node.payment.take() else {
            return;
        };
        if node.debt == Some(number) || variant == Variant::DropsAgain {
            node.debt = None;
        }
        self.acknowledged = self.acknowledged.max(sent.version);
    }

    pub(super) fn commit(&mut self, n: usize, variant: Variant) {
        let node = &mut self.nodes[n];
        let Leader::Computing(version) = node.leader else {
            return;
        };
        node.leader = match node.debt.is_some() && variant != Variant::CommitIgnores {
            true => Leader::Idle,
            false => Leader::Committing(version, version < node.owed),
        };
    }

    pub(super) fn commit_executed(&mut self, n: usize) {
        let Leader::Committing(version, is_old) = self.nodes[n].leader else {
            return;
        };
        self.nodes[n].leader = Leader::Idle;
        if self.lock != Some(n as u8) {
            return;
        }
        if is_old {
            self.flaw = Some("stores what it was told is out of date");
        }
        self.lock = None;
        self.value = Some(version);
        for node in &mut self.nodes {
            if let Some((_, mail)) = &mut node.watch {
                *mail = Some(version);
            }
        }
    }

    pub(super) fn give_read(&mut self, n: usize, variant: Variant) {
        let Reader::Answered(oldest, found) = self.nodes[n].reader else {
            return;
        };
        self.nodes[n].reader = Reader::Idle;
        let refused = self.nodes[n].debt.is_some() && variant != Variant::ChecksBefore;
        if let Some(version) = found.filter(|_| !refused) {
            self.give(n, oldest, version);
        }
    }

    pub(super) fn receive(&mut self, n: usize, variant: Variant) {
        let Some((oldest, mail)) = self.nodes[n].watch.take() else {
            return;
        };
        let refused = self.nodes[n].debt.is_some() && variant != Variant::WatchDelivers;
        match mail.filter(|_| !refused) {
            Some(version) => self.give(n, oldest, version),
            // It waits on.
            None => self.nodes[n].watch = Some((oldest, None)),
        }
    }

    pub(super) fn cut(&mut self, n: usize) {
        self.faults -= 1;
        let node = &mut self.nodes[n];
        node.connected = false;
        node.payment = None;
        if let Reader::Asked(_) = node.reader {
            node.reader = Reader::Idle;
        }
        if let Some((_, mail)) = &mut node.watch {
            *mail = None;
        }
        self.unanswered(n);
    }

    pub(super) fn refuse(&mut self, n: usize) {
        self.faults -= 1;
        self.unanswered(n);
    }

    pub(super) fn unanswered(&mut self, n: usize) {
        if let Some(call) = self.nodes[n].call.take() {
            self.owe(n, call.version);
        }
    }
}
