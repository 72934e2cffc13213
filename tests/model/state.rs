//! What there is: a Redis, and nodes with their callers, flights and subscriptions.

use super::queue::Queue;
use super::registry::{Subscription, Watch};

pub(crate) const NODES: usize = 3;
/// A flight that callers can join, and two more: one that was taken out of the table by an invalidation, and one that
/// every caller has left and whose keeper has yet to give the lock back.
pub(crate) const SLOTS: usize = 3;
/// The slot of the flight in the table.
pub(crate) const TABLE: usize = 0;

/// How many invalidations there were before something happened.
pub(crate) type Era = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The era of the computation whose value is stored.
    pub(crate) value: Option<Era>,
    pub(crate) lock: Lock,
    /// How many invalidations were acknowledged.
    pub(crate) era: Era,
    pub(crate) nodes: [Node; NODES],
    /// How many faults may still come.
    pub(crate) faults: u8,
    /// Whether a notification was lost.
    pub(crate) lossy: bool,
    /// How many computations may still start: one, and one more for each value and for each lease that was lost.
    pub(crate) due: u8,
    /// What went wrong on the way here, a bit each.
    pub(crate) flaws: u8,
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Two leaders hold what it takes to commit.
    TwoLeaders,
    /// A leader committed that was replaced, or whose lease had run out.
    CommitWithoutLease,
    /// A computation that began before an acknowledged invalidation was committed.
    CommitAfterInvalidation,
    /// A caller got a value that was computed before an invalidation that was acknowledged before the caller came.
    StaleAnswer,
    /// A keeper took a message from before an invalidation that it had been told of.
    StaleMessage,
    /// A computation started although no value and no lease had been lost since the last.
    Herd,
    /// A keeper waits for the lease's end although there is news that no notice will tell it, and no notification was
    /// lost.
    SleptThrough,
}

/// The token of the keeper of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    pub(crate) node: usize,
    pub(crate) slot: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lock {
    Free,
    /// Free as well, but no node was told.
    Expired,
    Held(Token),
    /// Its holder crashed.
    Orphaned,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) callers: [Caller; 2],
    pub(crate) flights: [Flight; SLOTS],
    pub(crate) subscription: Subscription,
    /// What Redis has sent and the node not received, on the one connection for notifications.
    pub(crate) pipe: Queue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Caller {
    /// May still come.
    Expected,
    Waiting {
        slot: u8,
        /// The era in which its lookup began.
        since: Era,
        /// The keeper had asked the store already when it joined, and is not answered.
        late: bool,
        /// How many of the keeper's watches had begun when it joined.
        behind: u8,
    },
    /// It was late for what its flight landed with, and is about to look the value up.
    Late {
        since: Era,
    },
    Leading {
        slot: u8,
    },
    /// Answered, gone, or not there in the first place.
    #[default]
    Done,
}

/// A flight and its keeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Flight {
    pub(crate) keeper: Keeper,
    /// The present watch of `hearing.rs`.
    pub(crate) watch: Watch,
    pub(crate) successor: Watch,
    /// The last invalidation that the keeper was told of.
    pub(crate) heard: Era,
}

/// Where a keeper is. The names in parentheses are those of `keeper.rs` and its modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Keeper {
    #[default]
    None,
    /// About to ask the store (`seek`).
    Seeking,
    /// `SET NX` has been executed, with this result; `GET` has not.
    Acquiring(Lease),
    /// The answer is under way.
    Acquired { lease: Lease, value: Option<Era> },
    /// Waits for a notice or for the lease's end (`listen`).
    Listening,
    /// A caller computes (`lead`, `attend`).
    Leading(Lease),
    /// The computation was given up, the lock not yet given back.
    Abandoned,
    /// Commit has been executed, and its answer is under way.
    Committed { done: bool, era: Era },
    /// Every caller left; the lock has to be given back if it was taken.
    Deserted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lease {
    Refused,
    /// Granted in this era.
    Held(Era),
    /// The store did not say. It may have been granted in this era; or it may still be, if the acquire is pending.
    Unknown {
        era: Era,
        pending: bool,
    },
}

impl Keeper {
    /// Whether the keeper is still after an outcome or a lease, and stops when no caller waits.
    pub(crate) fn seeks(self) -> bool {
        matches!(
            self,
            Self::Seeking | Self::Acquiring(_) | Self::Acquired { .. } | Self::Listening
        )
    }

    /// Whether an acquire that no caller waits for any more may still be executed.
    pub(crate) fn has_sent(self) -> bool {
        let (Self::Acquired { lease, .. } | Self::Leading(lease)) = self else {
            return false;
        };
        matches!(lease, Lease::Unknown { pending: true, .. })
    }

    /// Whether the store has been asked for something that this flight may end with.
    fn has_asked(self) -> bool {
        matches!(
            self,
            Self::Acquiring(_) | Self::Acquired { .. } | Self::Committed { .. }
        )
    }
}

impl Caller {
    pub(crate) fn waits_in(self, flight: usize) -> bool {
        matches!(self, Self::Waiting { slot, .. } if usize::from(slot) == flight)
    }

    pub(crate) fn is_behind(self) -> bool {
        matches!(self, Self::Waiting { behind: 1.., .. })
    }

    pub(crate) fn leads(self, flight: usize) -> bool {
        matches!(self, Self::Leading { slot } if usize::from(slot) == flight)
    }
}

impl Node {
    /// `Table::join`: becomes one of the waiters of the flight, which is started where there is none.
    pub(crate) fn join(&mut self, caller: usize, since: Era) {
        let flight = &mut self.flights[TABLE];
        let late = flight.keeper.has_asked();
        let behind = u8::from(flight.watch.exists()) + u8::from(flight.successor.exists());
        if flight.keeper == Keeper::None {
            flight.keeper = Keeper::Seeking;
        }
        let slot = u8::try_from(TABLE).expect("few slots");
        self.callers[caller] = Caller::Waiting {
            slot,
            since,
            late,
            behind,
        };
    }

    /// `Table::detach`: takes the flight out of the table. Returns where it goes on.
    pub(crate) fn detach(&mut self) -> usize {
        let free = |flight: &Flight| flight.keeper == Keeper::None;
        let to = self.flights.iter().rposition(free).expect("the bounds keep slots free");
        self.flights.swap(TABLE, to);
        let new = u8::try_from(to).expect("few slots");
        for caller in &mut self.callers {
            match caller {
                Caller::Waiting { slot, .. } | Caller::Leading { slot } if usize::from(*slot) == TABLE => *slot = new,
                _ => {}
            }
        }
        to
    }

    /// The waiters of a flight, with whether they are late and how many watches they are behind.
    pub(crate) fn waiters(&mut self, flight: usize) -> impl Iterator<Item = (&mut bool, &mut u8)> {
        self.callers.iter_mut().filter_map(move |caller| match caller {
            Caller::Waiting { slot, late, behind, .. } if usize::from(*slot) == flight => Some((late, behind)),
            _ => None,
        })
    }

    /// Whether a caller may still join a flight.
    pub(crate) fn expects(&self) -> bool {
        let comes = |caller: &Caller| matches!(caller, Caller::Expected | Caller::Late { .. });
        self.callers.iter().any(comes)
    }

    /// Forgets what no node can notice any more.
    pub(crate) fn rest(&mut self) {
        let gone = |caller: &Caller| matches!(caller, Caller::Done | Caller::Leading { .. });
        if self.callers.iter().all(gone) {
            self.subscription = Subscription::Off;
            self.pipe.clear();
        }
    }
}

impl Token {
    pub(crate) fn number(self) -> usize {
        self.node * SLOTS + self.slot
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..NODES).flat_map(|node| (0..SLOTS).map(move |slot| Self { node, slot }))
    }
}

impl State {
    /// Brings the nodes into an order of their own, whatever their names are.
    pub(crate) fn sort(&mut self) {
        let mut order: [usize; NODES] = std::array::from_fn(|n| n);
        order.sort_by(|&a, &b| {
            let holds = |n| matches!(self.lock, Lock::Held(token) if token.node == n);
            self.nodes[a].cmp(&self.nodes[b]).then(holds(a).cmp(&holds(b)))
        });
        if let Lock::Held(token) = &mut self.lock {
            token.node = order.iter().position(|&n| n == token.node).expect("one of them");
        }
        self.nodes = order.map(|n| self.nodes[n].clone());
    }

    /// The leaders whose result will be refused unless they hold the lock.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = Token> + '_ {
        Token::all().filter(|token| {
            let keeper = self.nodes[token.node].flights[token.slot].keeper;
            matches!(keeper, Keeper::Leading(_))
        })
    }

    /// Whether a keeper listens, the value or the lock is there for it, and no notice is on its way. A node died,
    /// or a notice was lost, where this is so: the lease's end is there for that.
    pub(crate) fn sleeps_through(&self) -> bool {
        let news = self.value.is_some() || self.lock == Lock::Free;
        let deaf = |node: &Node| {
            let idle = |flight: &Flight| flight.keeper == Keeper::Listening && flight.watch.mailbox.is_empty();
            let confirmed = node.subscription == Subscription::Confirmed && node.pipe.is_empty();
            confirmed && node.flights.iter().any(idle)
        };
        news && self.nodes.iter().any(deaf)
    }
}
