//! [`Plan`]: what happens in one round, and when; the same for the same seed.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::NODES;
use crate::support::{Cut, Link, Plane};

/// How many keys there are: few, so that they are fought for.
const KEYS: usize = 4;

/// How long new things happen. What is under way then gets the time it needs.
const LENGTH: Duration = Duration::from_secs(4);

/// What a request would compute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Computation {
    pub(crate) cost: Duration,
    pub(crate) ttl: Duration,
    pub(crate) fails: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Get {
        node: usize,
        key: usize,
        computation: Computation,
    },
    Invalidate {
        node: usize,
        key: usize,
    },
    Fault(Fault),
}

/// What goes wrong, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// `kill -9`, and a new process in its place some time later.
    KillNode(usize, Duration),
    /// `SIGSTOP`, `SIGCONT`.
    PauseNode(usize, Duration),
    /// `kill -9`, and an empty server in its place.
    KillRedis(Duration),
    PauseRedis(Duration),
    /// `CLIENT KILL TYPE pubsub`.
    KillSubscribers,
    /// `CLIENT KILL TYPE normal`.
    KillClients,
    /// `SCRIPT FLUSH`.
    FlushScripts,
    /// Connections of one node are closed.
    Cut(usize, Plane, Cut),
    /// Connections of one node stand still, or are refused.
    Link(usize, Plane, Link, Duration),
    /// Something happens to what Redis says to one node.
    Inject(usize, Victim, Duration),
}

/// Which messages to a node suffer, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Victim {
    /// Published messages.
    Messages(Harm),
    /// Replies to commands.
    Replies(Harm),
    /// All commands are answered with this error.
    Commands(&'static str),
}

/// What may happen to a message. Not that a value's bytes are changed, or one reply taken for another: values are kept to
/// the letter here, so nothing would notice. Nor that messages overtake each other, which no connection to Redis lets
/// them do: what an invalidation guarantees rests on their order, as `tests/model` shows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Harm {
    Drop,
    Duplicate,
    Delay(Duration),
    Truncate,
    Mute,
}

const ERRORS: [&str; 5] = [
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOPERM this user has no permissions to run the command",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
];

/// One round.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Which nodes keep near copies.
    pub(crate) near: [bool; NODES],
    /// In the order in which they are due.
    pub(crate) steps: Vec<(Duration, Step)>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut steps = Vec::new();
        let faults = rng.usize(1..=3);
        for _ in 0..faults {
            let at = millis(&mut rng, 300, 3000);
            steps.push((at, Step::Fault(fault(&mut rng))));
        }
        let mut at = Duration::ZERO;
        while at < LENGTH {
            at += millis(&mut rng, 5, 60);
            let key = rng.usize(0..KEYS);
            if rng.u8(0..4) == 0 {
                // In the middle of what goes on for the key; callers that come next must not get what was there before.
                let node = rng.usize(0..NODES);
                steps.push((at, Step::Invalidate { node, key }));
            }
            for _ in 0..rng.usize(1..=8) {
                // Some of a burst come a little later, when a flight is under way.
                at += millis(&mut rng, 0, 3);
                let get = Step::Get {
                    node: rng.usize(0..NODES),
                    key,
                    computation: computation(&mut rng),
                };
                steps.push((at, get));
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        // Last, so that the rest of a seed stays what it was.
        let near = std::array::from_fn(|_| rng.u8(0..4) > 0);
        Self { seed, near, steps }
    }

    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.steps.iter().filter_map(|(_, step)| match step {
            Step::Fault(fault) => Some(fault),
            Step::Get { .. } | Step::Invalidate { .. } => None,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults().collect();
        write!(f, "seed {}, near {:?}: {faults:?}", self.seed, self.near)
    }
}

fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}

fn computation(rng: &mut Rng) -> Computation {
    let cost = match rng.u8(0..10) {
        // Longer than a lease.
        0 => millis(rng, 600, 1200),
        _ => millis(rng, 0, 80),
    };
    let ttl = match rng.u8(0..8) {
        0 => Duration::ZERO,
        _ => millis(rng, 20, 2000),
    };
    let fails = rng.u8(0..20) == 0;
    Computation { cost, ttl, fails }
}

fn fault(rng: &mut Rng) -> Fault {
    let node = rng.usize(0..NODES);
    match rng.u8(0..14) {
        0 => Fault::KillNode(node, millis(rng, 50, 800)),
        1 => Fault::PauseNode(node, millis(rng, 50, 1500)),
        2 => Fault::KillRedis(millis(rng, 20, 800)),
        3 => Fault::PauseRedis(millis(rng, 50, 1500)),
        4 => Fault::KillSubscribers,
        5 => Fault::KillClients,
        6 => Fault::FlushScripts,
        7 => Fault::Cut(node, plane(rng), if rng.bool() { Cut::Fin } else { Cut::Reset }),
        8 | 9 => {
            let link = if rng.bool() { Link::Silent } else { Link::Refused };
            Fault::Link(node, plane(rng), link, millis(rng, 50, 1500))
        }
        _ => Fault::Inject(node, victim(rng), millis(rng, 100, 2000)),
    }
}

fn plane(rng: &mut Rng) -> Plane {
    if rng.bool() {
        Plane::Commands
    } else {
        Plane::Notifications
    }
}

fn victim(rng: &mut Rng) -> Victim {
    match rng.u8(0..9) {
        0 => Victim::Messages(Harm::Drop),
        1 => Victim::Messages(Harm::Duplicate),
        2..=4 => Victim::Messages(Harm::Delay(millis(rng, 5, 400))),
        5 => Victim::Messages(if rng.bool() { Harm::Truncate } else { Harm::Mute }),
        6 => Victim::Replies(Harm::Delay(millis(rng, 5, 400))),
        7 => Victim::Replies(if rng.bool() { Harm::Truncate } else { Harm::Mute }),
        _ => Victim::Commands(ERRORS[rng.usize(0..ERRORS.len())]),
    }
}
