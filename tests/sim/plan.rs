//! [`Plan`]: what happens in one schedule, all of it drawn from the seed.

use std::fmt;

/// How long a lock lasts, in milliseconds.
pub(crate) const LEASE: u64 = 1000;

/// How long a node waits for an answer of the store.
pub(crate) const COMMAND_TIMEOUT: u64 = 200;

/// How long a caller waits for others.
pub(crate) const WAIT_TIMEOUT: u64 = 6000;

/// How long values are kept.
pub(crate) const TTL: u64 = 3000;

/// What may go wrong in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nothing but latency.
    Healthy,
    /// Notices are lost, late, twice there and out of order.
    Messages,
    /// Commands and answers are lost or late, and the store stands still.
    Commands,
    /// Nodes die, come back and shut down.
    Crashes,
    /// Nodes are cut off from the store.
    Cuts,
    /// The store restarts empty, forgets, and evicts.
    Losses,
    /// All of this, wrong answers and clocks that disagree.
    All,
}

impl Class {
    pub(crate) const ALL: [Self; 7] = [
        Self::Healthy,
        Self::Messages,
        Self::Commands,
        Self::Crashes,
        Self::Cuts,
        Self::Losses,
        Self::All,
    ];

    pub(crate) fn has(self, other: Self) -> bool {
        self == other || self == Self::All
    }
}

/// What the network and the store do, in times of a thousand unless said otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Knobs {
    /// The longest way to the store or back, in milliseconds.
    pub(crate) latency: u64,
    pub(crate) lost_requests: u64,
    pub(crate) lost_answers: u64,
    /// Of the answers to what generation it is, and whether a stamp is current.
    pub(crate) lost_generations: u64,
    /// Far later than anything else.
    pub(crate) late: u64,
    pub(crate) lost_notices: u64,
    pub(crate) double_notices: u64,
    pub(crate) late_notices: u64,
    /// Whether commands of a node overtake one another.
    pub(crate) disorder: bool,
    /// Notices that name a value rather than carry it.
    pub(crate) announced: u64,
    /// Answers with the value of another address.
    pub(crate) mixups: u64,
    /// How fast the store's clock goes, in percent.
    pub(crate) store_rate: u64,
    /// How far the clocks of nodes are apart at most, in milliseconds.
    pub(crate) skew: u64,
}

/// Through what a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Via {
    /// The core.
    Core,
    /// The core, under the same tag in another database.
    Elsewhere,
    /// The layer.
    Layer,
    /// The core, with values that have a tag.
    Tagged,
    /// The core, with values that another program makes.
    Made,
}

/// How a computation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Well,
    Fails,
    Panics,
    /// Its body breaks off, under a layer.
    BreaksOff,
    /// Its result is for its own caller.
    Private,
    /// Its result is for the waiters of that moment.
    Shared,
}

/// One thing that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) via: Via,
    pub(crate) key: u64,
    pub(crate) tenant: u64,
}

/// By what means something is made out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Key,
    /// With everything else that has the tag.
    Tag,
    /// By an unsafe request through the layer.
    Change,
    /// With everything else that is stored through the same.
    All,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    /// `count` callers ask at once. The computation takes `cost`, and the callers leave after `patience`.
    Ask {
        node: usize,
        subject: Subject,
        count: u64,
        cost: u64,
        end: End,
        patience: Option<u64>,
    },
    /// A caller has it computed now, whatever is stored.
    Refresh {
        node: usize,
        subject: Subject,
        cost: u64,
        end: End,
    },
    /// Once it has returned, those nodes are asked for the same, with its receipt or without.
    Invalidate {
        node: usize,
        subject: Subject,
        how: How,
        soft: bool,
        receipt: bool,
        then: [Option<usize>; 2],
    },
    Crash {
        node: usize,
        down: u64,
    },
    Shutdown {
        node: usize,
        grace: u64,
    },
    Cut {
        node: usize,
        time: u64,
        silent: bool,
    },
    /// The process of a node stands still for so long.
    Stop {
        node: usize,
        time: u64,
    },
    /// The store does.
    Stall {
        time: u64,
    },
    /// The store dies, and comes back empty.
    StoreCrash {
        down: u64,
    },
    /// All locks and values are gone at once, and no connection ends.
    Flush,
    /// One value is gone.
    Evict {
        subject: Subject,
    },
    /// One lock is gone.
    EvictLock {
        subject: Subject,
    },
    /// The connections of a node to Redis for notifications end, or fall silent.
    CutNotices {
        node: usize,
        silent: bool,
    },
    /// What is said on those connections arrives late, in order.
    HoldNotices {
        node: usize,
        time: u64,
    },
    /// One turn of the event loop of Redis takes so long.
    Busy {
        time: u64,
    },
}

/// What the nodes are set to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Followers read along.
    pub(crate) streams: bool,
    /// Stale responses answer.
    pub(crate) stale: bool,
    /// All values are stamped.
    pub(crate) stamped: bool,
    /// The store is the real client of a Redis server.
    pub(crate) redis: bool,
    /// It keeps near copies.
    pub(crate) near: Option<NearSettings>,
}

/// What near copies nodes keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NearSettings {
    /// How old they may be, in milliseconds.
    pub(crate) lag: u64,
    /// The room for them.
    pub(crate) bytes: usize,
    /// Whether all nodes keep some, or two of three.
    pub(crate) everywhere: bool,
}

impl NearSettings {
    pub(crate) fn are_on(self, node: usize) -> bool {
        self.everywhere || node % 3 != 2
    }
}

impl Settings {
    /// The near copies of that node.
    pub(crate) fn near_on(self, node: usize) -> Option<NearSettings> {
        self.near.filter(|near| near.are_on(node))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// What the network and the nodes draw from.
    pub(crate) luck: u64,
    pub(crate) class: Class,
    pub(crate) nodes: usize,
    /// The longest computation.
    pub(crate) longest: u64,
    pub(crate) knobs: Knobs,
    pub(crate) settings: Settings,
    /// By time.
    pub(crate) ops: Vec<(u64, Op)>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            luck,
            class,
            nodes,
            ..
        } = self;
        writeln!(
            f,
            "seed {seed}, luck {luck}: {nodes} nodes, {class:?}, {:?}, {:?}",
            self.knobs, self.settings
        )?;
        for (at, op) in &self.ops {
            writeln!(f, "{at:>6} ms  {op:?}")?;
        }
        Ok(())
    }
}
