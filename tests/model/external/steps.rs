//! What a step does to the state.

use super::*;

impl State {
    pub(super) fn publish(&mut self, notice: Notice) {
        for node in self.nodes.iter_mut().filter(|node| node.hears) {
            node.mail.push(notice);
        }
    }

    /// Ends the wait of a node, and gives back what it holds.
    pub(super) fn end(&mut self, n: usize) {
        self.vanish(n);
        if self.lock == Some(n as u8) {
            self.lock = None;
            self.publish(Notice::Freed);
        }
    }

    pub(super) fn vanish(&mut self, n: usize) {
        self.nodes[n] = Node {
            phase: Phase::Done,
            ..Node::default()
        };
    }

    pub(super) fn listen(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if !node.hears {
            node.hears = true;
            node.mail.push(Notice::Reread);
        }
    }

    /// `ask`, or `look_on` where nothing may be started.
    pub(super) fn ask(&mut self, n: usize, variant: Variant) {
        let waited = self.nodes[n].hears;
        if self.value && (variant != Variant::NeverReads || !waited) {
            return self.end(n);
        }
        let free = self.lock.is_none_or(|holder| holder == n as u8);
        let node = &mut self.nodes[n];
        if free && std::mem::take(&mut node.held) && !std::mem::take(&mut node.announced) {
            node.starts += u8::from(variant != Variant::Uncounted);
        }
        if node.starts >= MOST {
            node.phase = Phase::LookingOn;
            return;
        }
        if free {
            if node.seen >= MOST {
                self.flaw = Some("more starts than may be");
            }
            node.phase = Phase::Leading;
            self.lock = Some(n as u8);
            node.hears = true;
            return;
        }
        node.phase = Phase::Listening;
        node.held = true;
        if !node.hears {
            let holder = usize::from(self.lock.unwrap_or_default());
            let worked = matches!(self.nodes[holder].phase, Phase::Promising | Phase::Caretaking);
            self.nodes[n].seen += u8::from(worked);
        }
        self.listen(n);
    }

    pub(super) fn defer(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.starts += 1;
        node.announced = true;
        node.seen += 1;
        let starts = node.starts;
        if self.lock != Some(n as u8) {
            node.phase = Phase::Seeking;
            return;
        }
        node.phase = Phase::Promising;
        if self.value {
            return self.end(n);
        }
        // Its own word is nothing new to it.
        self.nodes[n].hears = false;
        self.publish(Notice::Deferred(starts));
        self.nodes[n].hears = true;
    }

    pub(super) fn receive(&mut self, n: usize) {
        let held = self.lock == Some(n as u8);
        let value = self.value;
        let node = &mut self.nodes[n];
        let notice = node.mail.remove(0);
        match (notice, node.phase) {
            (Notice::Stored, _) => self.end(n),
            (Notice::Deferred(count), phase) => {
                node.seen = node.seen.max(count);
                node.starts = node.starts.max(count);
                node.announced = true;
                if phase == Phase::Listening {
                    node.phase = Phase::Seeking;
                }
            }
            (Notice::Reread | Notice::Freed, Phase::Listening) => {
                node.phase = Phase::Seeking;
                if notice == Notice::Freed {
                    node.held = false;
                    // What it found held was finished, or taken away.
                    node.seen = node.starts;
                }
            }
            (Notice::Reread | Notice::Freed, Phase::LookingOn) if value => self.end(n),
            (Notice::Reread | Notice::Freed, Phase::Promising | Phase::Caretaking) if value => self.end(n),
            (Notice::Reread | Notice::Freed, Phase::Promising) if !held => node.phase = Phase::Seeking,
            (Notice::Reread | Notice::Freed, Phase::Caretaking) if !held => self.end(n),
            (Notice::Reread | Notice::Freed, _) => {}
        }
    }

    /// The lease has ended, by the clock of the node.
    pub(super) fn timer(&mut self, n: usize, variant: Variant) {
        let node = &mut self.nodes[n];
        match node.phase {
            Phase::Listening => node.phase = Phase::Seeking,
            Phase::Promising if variant != Variant::KeepsLock => {
                node.phase = Phase::Seeking;
                node.announced = false;
            }
            // The lock expires by itself.
            Phase::Caretaking => self.vanish(n),
            _ => {}
        }
    }

    pub(super) fn fault(&mut self, action: Action) {
        self.faults -= 1;
        match action {
            Action::StoreOnly => {
                self.workers -= 1;
                self.value = true;
            }
            Action::PublishOnly => {
                self.workers -= 1;
                self.publish(Notice::Stored);
            }
            Action::Die => self.workers -= 1,
            Action::Crash(n) => self.vanish(n),
            Action::Leave(n) if self.nodes[n].phase == Phase::Promising => self.nodes[n].phase = Phase::Caretaking,
            Action::Leave(n) => self.end(n),
            Action::Disconnect(n) => {
                self.nodes[n].mail = vec![Notice::Reread];
            }
            Action::DeleteLock => self.lock = None,
            Action::ValueExpires => self.value = false,
            _ => unreachable!("not a fault"),
        }
    }
}
