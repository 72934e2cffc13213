//! What each action does.

use super::protocol::Variant;
use super::queue::Notice;
use super::state::{Caller, Era, Flaw, Flight, Keeper, Lease, Lock, Node, State, TABLE, Token};

/// What a flight lands with.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Ready(Era, Source),
    Again,
}

/// Where an answer came from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// The value was read from the store, or committed to it.
    Key,
    Message,
    /// A computation without the store.
    Local,
}

impl State {
    pub(crate) fn flight(&mut self, token: Token) -> &mut Flight {
        &mut self.nodes[token.node].flights[token.slot]
    }

    fn blame(&mut self, flaw: Flaw) {
        self.flaws |= 1 << flaw as u8;
    }

    pub(crate) fn lookup(&mut self, n: usize, caller: usize) {
        let node = &mut self.nodes[n];
        let in_flight = node.flights[TABLE].keeper != Keeper::None;
        let (since, looks) = match node.callers[caller] {
            Caller::Late { since } => (since, true),
            _ => (self.era, !in_flight),
        };
        match self.value {
            Some(era) if looks => {
                node.callers[caller] = Caller::Done;
                if era < since {
                    self.blame(Flaw::StaleAnswer);
                }
            }
            _ => node.join(caller, since),
        }
    }

    /// `Drop for Waiter`; the last one wakes the keeper, which finds itself deserted.
    pub(crate) fn leave(&mut self, n: usize, caller: usize) {
        let node = &mut self.nodes[n];
        let Caller::Waiting { slot, .. } = node.callers[caller] else {
            return;
        };
        node.callers[caller] = Caller::Done;
        let slot = usize::from(slot);
        let deserted = !node.callers.iter().any(|caller| caller.waits_in(slot));
        if deserted && node.flights[slot].keeper.seeks() {
            node.unwatch(slot);
            node.flights[slot].keeper = Keeper::Deserted;
            if slot == TABLE {
                self.detach(n);
            }
        }
    }

    /// A flight is taken out of the table, and its keeper keeps its token.
    fn detach(&mut self, node: usize) {
        if self.nodes[node].flights[TABLE].keeper == Keeper::None {
            return;
        }
        let slot = self.nodes[node].detach();
        if self.lock == Lock::Held(Token { node, slot: TABLE }) {
            self.lock = Lock::Held(Token { node, slot });
        }
    }

    pub(crate) fn acquire(&mut self, token: Token, variant: Variant) {
        let free = matches!(self.lock, Lock::Free | Lock::Expired);
        let lease = if free || variant == Variant::AcquireWithoutNx {
            self.lock = Lock::Held(token);
            Lease::Held(self.era)
        } else {
            Lease::Refused
        };
        self.flight(token).keeper = Keeper::Acquiring(lease);
        self.in_time(token);
    }

    /// Where there is neither a value nor the lock, nothing that happens before the answer arrives makes a difference:
    /// the keeper listens at once.
    pub(crate) fn acquire_read(&mut self, token: Token, variant: Variant) {
        let value = self.value;
        let flight = self.flight(token);
        match flight.keeper {
            Keeper::Acquiring(Lease::Refused) if value.is_none() => {
                flight.keeper = Keeper::Listening;
                if !flight.watch.exists() {
                    let watch = self.nodes[token.node].attach(variant);
                    self.flight(token).watch = watch;
                }
                self.in_time(token);
            }
            Keeper::Acquiring(lease) => {
                flight.keeper = Keeper::Acquired { lease, value };
                if lease == Lease::Refused && !self.nodes[token.node].expects() {
                    self.seek(token, variant);
                }
            }
            _ => {}
        }
    }

    /// A caller that waits by now came before the store is asked again.
    fn in_time(&mut self, token: Token) {
        for (late, _) in self.nodes[token.node].waiters(token.slot) {
            *late = false;
        }
    }

    /// `Sought::Lead(Lease::Unknown)`. A computation that is paid for by the lease that could not be had.
    pub(crate) fn fail_open(&mut self, token: Token) {
        let era = self.era;
        let flight = self.flight(token);
        let era = match flight.keeper {
            Keeper::Acquiring(Lease::Held(granted)) => granted,
            _ => era,
        };
        let pending = flight.keeper == Keeper::Seeking;
        flight.keeper = Keeper::Acquired {
            lease: Lease::Unknown { era, pending },
            value: None,
        };
        self.due += 1;
    }

    /// What is sent is executed, although no caller waits for it any more.
    pub(crate) fn acquire_late(&mut self, token: Token) {
        if let Keeper::Acquired { lease, .. } | Keeper::Leading(lease) = &mut self.flight(token).keeper
            && let Lease::Unknown { pending, .. } = lease
        {
            *pending = false;
        }
        if matches!(self.lock, Lock::Free | Lock::Expired) {
            self.lock = Lock::Held(token);
        }
    }

    pub(crate) fn seek(&mut self, token: Token, variant: Variant) {
        if let Keeper::Acquired { value: Some(era), .. } = self.flight(token).keeper {
            self.land(token, Outcome::Ready(era, Source::Key), variant);
        }
    }

    pub(crate) fn lead(&mut self, token: Token, caller: usize) {
        let node = &mut self.nodes[token.node];
        if let Keeper::Acquired { lease, .. } = node.flights[token.slot].keeper {
            node.callers[caller] = Caller::Leading {
                slot: u8::try_from(token.slot).expect("few slots"),
            };
            node.unwatch(token.slot);
            node.flights[token.slot].keeper = Keeper::Leading(lease);
        }
        self.in_time(token);
        for (_, behind) in self.nodes[token.node].waiters(token.slot) {
            *behind = 0;
        }
        match self.due.checked_sub(1) {
            Some(due) => self.due = due,
            None => self.blame(Flaw::Herd),
        }
    }

    pub(crate) fn listen(&mut self, token: Token, variant: Variant) {
        let flight = self.flight(token);
        let heard = flight.heard;
        match flight.watch.mailbox.pop() {
            Some(Notice::Stored(era)) => {
                if era < heard {
                    self.blame(Flaw::StaleMessage);
                }
                self.land(token, Outcome::Ready(era, Source::Message), variant);
                return;
            }
            Some(Notice::Invalidated(era)) => flight.heard = era,
            _ => {}
        }
        self.acquire(token, variant);
    }

    pub(crate) fn commit(&mut self, token: Token, variant: Variant) {
        let Keeper::Leading(lease) = self.flight(token).keeper else {
            return;
        };
        let (Lease::Held(era) | Lease::Unknown { era, .. }) = lease else {
            return;
        };
        let held = self.lock == Lock::Held(token);
        let done = held || variant == Variant::CommitUnfenced;
        if let Lease::Unknown { .. } = lease
            && variant != Variant::CommitUnknown
        {
            self.give_back(token);
            self.land(token, Outcome::Ready(era, Source::Local), variant);
            return;
        }
        if done {
            if !held {
                self.blame(Flaw::CommitWithoutLease);
            }
            if era < self.era {
                self.blame(Flaw::CommitAfterInvalidation);
            }
            self.value = Some(era);
            self.lock = Lock::Free;
            self.publish(Notice::Stored(era));
        }
        self.in_time(token);
        match lease {
            Lease::Held(_) => self.flight(token).keeper = Keeper::Committed { done, era },
            _ => self.land(token, Outcome::Ready(era, Source::Local), variant),
        }
        if !self.nodes[token.node].expects() {
            self.settle(token, variant);
        }
    }

    /// What a leader does with the answer to its commit.
    pub(crate) fn settle(&mut self, token: Token, variant: Variant) {
        if let Keeper::Committed { done, era } = self.flight(token).keeper {
            let outcome = match done || variant == Variant::RefusalIgnored {
                true => Outcome::Ready(era, Source::Key),
                false => Outcome::Again,
            };
            self.land(token, outcome, variant);
        }
    }

    /// `Landing::land`, and `Shared::obtain` with what it hands out. The bounds on faults are below the number of
    /// attempts a caller has, so that it never gives up.
    pub(crate) fn land(&mut self, token: Token, outcome: Outcome, variant: Variant) {
        let node = &mut self.nodes[token.node];
        node.unwatch(token.slot);
        node.flights[token.slot] = Flight::default();
        for c in 0..node.callers.len() {
            let caller = node.callers[c];
            if caller.leads(token.slot) {
                // It has a result of its own, or none that it waits for.
                node.callers[c] = Caller::Done;
            }
            let Caller::Waiting {
                slot,
                since,
                late,
                behind,
            } = caller
            else {
                continue;
            };
            if usize::from(slot) != token.slot {
                continue;
            }
            let Outcome::Ready(era, source) = outcome else {
                node.join(c, since);
                continue;
            };
            let is_late = match source {
                Source::Key => late && variant != Variant::LateLanded,
                Source::Message => behind > 0 && variant != Variant::MessageToLate,
                Source::Local => false,
            };
            if is_late {
                node.callers[c] = Caller::Late { since };
                continue;
            }
            node.callers[c] = Caller::Done;
            if !matches!(source, Source::Local) && era < since {
                self.flaws |= 1 << Flaw::StaleAnswer as u8;
            }
        }
    }

    pub(crate) fn abandon(&mut self, token: Token) {
        self.due += 1;
        self.flight(token).keeper = Keeper::Abandoned;
    }

    pub(crate) fn release(&mut self, token: Token, variant: Variant) {
        self.give_back(token);
        let outcome = match self.flight(token).keeper {
            Keeper::Acquired { value: Some(era), .. } => Outcome::Ready(era, Source::Key),
            _ => Outcome::Again,
        };
        self.land(token, outcome, variant);
    }

    fn give_back(&mut self, token: Token) {
        if self.lock == Lock::Held(token) {
            self.lock = Lock::Free;
            self.publish(Notice::Released);
        }
    }

    pub(crate) fn invalidate(&mut self, n: usize, variant: Variant) {
        self.detach(n);
        self.era += 1;
        self.lose_value();
        if variant != Variant::InvalidateKeepsLock {
            self.lose_lock();
        }
        self.publish(Notice::Invalidated(self.era));
    }

    fn lose_value(&mut self) {
        self.due += u8::from(self.value.take().is_some());
    }

    fn lose_lock(&mut self) {
        self.due += u8::from(matches!(self.lock, Lock::Held(_)));
        self.lock = Lock::Free;
    }

    pub(crate) fn crash(&mut self, n: usize) {
        self.nodes[n] = Node::default();
        if matches!(self.lock, Lock::Held(token) if token.node == n) {
            self.lock = Lock::Orphaned;
            self.due += 1;
        }
    }

    /// All connections break, and commands under way are not answered.
    pub(crate) fn restart(&mut self) {
        self.lose_value();
        self.lose_lock();
        for token in Token::all() {
            if matches!(self.flight(token).keeper, Keeper::Acquiring(_)) {
                self.fail_open(token);
            }
        }
        self.nodes.iter_mut().for_each(Node::disconnect);
    }
}
