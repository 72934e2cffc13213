//! The watchers, and how a published message comes to them.

use super::protocol::Variant;
use super::queue::{Notice, Queue};
use super::state::{Flight, Node, State, Token};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Subscription {
    #[default]
    Off,
    /// Wanted; there may not even be a connection.
    Wanted,
    /// Redis sends, and its confirmation is under way.
    Subscribing,
    Confirmed,
    /// Redis sends, but there is a watch that needs a fence, which is a confirmation as any other.
    WantedAgain,
}

/// A watcher of `registry.rs`, with its mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Watch {
    pub(crate) hearing: Hearing,
    pub(crate) mailbox: Queue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Hearing {
    /// There is no such watch.
    #[default]
    None,
    /// The confirmation under way is of a `SUBSCRIBE` from before it.
    Missed,
    /// The next confirmation is for it.
    Deaf,
    Hears,
}

impl Watch {
    pub(crate) fn exists(self) -> bool {
        self.hearing != Hearing::None
    }

    /// A keeper does the same about a release as about any other reason to read again, and never gets past a stored
    /// value.
    fn push(&mut self, notice: Notice) {
        let notice = match notice {
            Notice::Released => Notice::Reread,
            notice => notice,
        };
        if !matches!(self.mailbox.last(), Some(Notice::Stored(_))) {
            self.mailbox.push(notice);
        }
    }
}

impl Flight {
    fn watches(&mut self) -> impl Iterator<Item = &mut Watch> {
        [&mut self.watch, &mut self.successor]
            .into_iter()
            .filter(|w| w.exists())
    }
}

impl Node {
    /// `Store::watch`, `Registry::attach`.
    pub(crate) fn attach(&mut self, variant: Variant) -> Watch {
        let mut watch = Watch::default();
        watch.hearing = match self.subscription {
            Subscription::Subscribing => Hearing::Missed,
            Subscription::Confirmed if variant == Variant::HearsBeforeBarrier => {
                watch.push(Notice::Reread);
                Hearing::Hears
            }
            _ => Hearing::Deaf,
        };
        self.subscription = match self.subscription {
            Subscription::Off => Subscription::Wanted,
            Subscription::Confirmed if watch.hearing == Hearing::Deaf => Subscription::WantedAgain,
            other => other,
        };
        watch
    }

    /// `Drop for Hearing`, `Registry::detach`. What is in the pipe arrives all the same.
    pub(crate) fn unwatch(&mut self, slot: usize) {
        let flight = &mut self.flights[slot];
        flight.watch = Watch::default();
        flight.successor = Watch::default();
        flight.heard = 0;
        self.settle();
    }

    /// `Registry::settle`.
    fn settle(&mut self) {
        let (watched, deaf) = (self.is_watched(), self.has(Hearing::Deaf));
        self.subscription = match self.subscription {
            Subscription::Subscribing => Subscription::Subscribing,
            // It may linger.
            Subscription::Confirmed | Subscription::WantedAgain if !watched => Subscription::Confirmed,
            _ if !watched => Subscription::Off,
            Subscription::Confirmed if deaf => Subscription::WantedAgain,
            Subscription::WantedAgain if !deaf => Subscription::Confirmed,
            other => other,
        };
    }

    /// Whether the subscription lingers, if it does not end at once.
    pub(crate) fn lingers(&self) -> bool {
        self.subscription == Subscription::Confirmed && !self.is_watched()
    }

    /// `Registry::sweep`, or the end of a subscription that does not linger.
    pub(crate) fn unsubscribe(&mut self) {
        self.subscription = Subscription::Off;
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.flights.iter().any(|flight| flight.watch.exists())
    }

    fn has(&self, hearing: Hearing) -> bool {
        let has = |flight: &Flight| [flight.watch, flight.successor].iter().any(|w| w.hearing == hearing);
        self.flights.iter().any(has)
    }

    fn watches(&mut self) -> impl Iterator<Item = &mut Watch> {
        self.flights.iter_mut().flat_map(Flight::watches)
    }

    /// `Topic::tell`.
    pub(crate) fn tell(&mut self, notice: Notice, variant: Variant) {
        let all = variant == Variant::HearsBeforeBarrier;
        let hearing = self.watches().filter(|w| all || w.hearing == Hearing::Hears);
        hearing.for_each(|watch| watch.push(notice));
    }

    /// `Registry::confirm`, `Topic::listen`.
    pub(crate) fn confirm(&mut self, variant: Variant) {
        for watch in self.watches() {
            watch.hearing = match watch.hearing {
                Hearing::Missed => Hearing::Deaf,
                Hearing::Deaf => {
                    if variant != Variant::NoReread {
                        watch.push(Notice::Reread);
                    }
                    Hearing::Hears
                }
                other => other,
            };
        }
        self.subscription = Subscription::Confirmed;
        self.settle();
    }

    /// `Registry::disconnect`, and `Registry::connect` some time later.
    pub(crate) fn disconnect(&mut self) {
        self.pipe.clear();
        for watch in self.watches() {
            watch.push(Notice::Reread);
            watch.hearing = Hearing::Deaf;
        }
        self.subscription = match self.is_watched() {
            true => Subscription::Wanted,
            false => Subscription::Off,
        };
    }
}

impl State {
    pub(crate) fn publish(&mut self, notice: Notice) {
        for node in &mut self.nodes {
            if !matches!(node.subscription, Subscription::Off | Subscription::Wanted) {
                node.pipe.push(notice);
            }
        }
    }

    /// `Successor::prepare`: a watch joined later than the successor began.
    pub(crate) fn succeed(&mut self, token: Token, variant: Variant) {
        let watch = self.nodes[token.node].attach(variant);
        self.flight(token).successor = watch;
    }

    /// `Hearing::next`: the successor is in effect, and the watch before it has nothing left to say.
    pub(crate) fn swap(&mut self, token: Token) {
        let flight = self.flight(token);
        flight.watch = std::mem::take(&mut flight.successor);
        flight.watch.mailbox.pop();
        let node = &mut self.nodes[token.node];
        for (_, behind) in node.waiters(token.slot) {
            *behind = behind.saturating_sub(1);
        }
        node.settle();
    }

    pub(crate) fn receive(&mut self, n: usize, variant: Variant) {
        let node = &mut self.nodes[n];
        let message = match variant {
            Variant::Unordered => node.pipe.pop_last(),
            _ => node.pipe.pop(),
        };
        match message {
            Some(Notice::Subscribed) => node.confirm(variant),
            Some(notice) => node.tell(notice, variant),
            None => {}
        }
    }
}
