//! What a stampede costs, against the number of nodes and of the waiters.
//!
//! All ask for one key at one moment. What that costs is compared with what arithmetic says: a node asks a bounded number of times, however many wait there, and the rest is the leader's.

use std::fmt;

use crate::plan::{End, Knobs, Op, Plan, Subject, Via};
use crate::run::measure;

/// How long the computation takes: less than a third of the lease, so that the lease need not be renewed for itself.
const COST: u64 = 300;

/// That of the first caller of a node, and the one that all other callers share that come before it is sent.
const LOOKUPS: u64 = 2;

/// What else a node asks: for the lock, before and after its watch is in effect, the watch and its successors, and a few
/// look-ups for callers that came meanwhile.
const OTHERS: u64 = 12;

/// The leader's: commit, and renewals for callers that joined.
const LEADER: u64 = 12;

/// One stampede, and what it came to.
#[derive(Debug)]
pub(crate) struct Stampede {
    nodes: u64,
    waiters: u64,
    calls: u64,
    commands: u64,
    messages: u64,
}

/// What one stampede costs, or what is wrong with that.
pub(crate) fn stampede(nodes: usize, waiters: u64) -> Result<Stampede, String> {
    let mut plan = Plan::new(0, Some(nodes), false);
    plan.longest = COST;
    plan.knobs = Knobs {
        latency: 1,
        store_rate: 100,
        ..Knobs::default()
    };
    let subject = Subject {
        via: Via::Core,
        key: 0,
        tenant: 0,
    };
    plan.ops = (0..nodes)
        .map(|node| {
            let ask = Op::Ask {
                node,
                subject,
                count: waiters,
                cost: COST,
                end: End::Well,
                patience: None,
            };
            (0, ask)
        })
        .collect();
    let report = measure(&plan);
    if let Some(wrong) = report.wrong {
        return Err(wrong);
    }
    let stampede = Stampede {
        nodes: nodes as u64,
        waiters,
        calls: report.computations as u64,
        commands: report.commands,
        messages: report.messages,
    };
    stampede.check()
}

impl Stampede {
    fn check(self) -> Result<Self, String> {
        let Self {
            nodes,
            waiters,
            calls,
            commands,
            messages,
        } = self;
        let most = nodes * (waiters.min(LOOKUPS) + OTHERS) + LEADER;
        let told = nodes * 2;
        if calls != 1 || commands > most || messages > told {
            return Err(format!(
                "{nodes} nodes with {waiters} waiters each: {calls} calls, {commands} commands of {most} at most, {messages} notices \
                 of {told} at most"
            ));
        }
        Ok(self)
    }
}

impl fmt::Display for Stampede {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            nodes,
            waiters,
            calls,
            commands,
            messages,
        } = self;
        let each = *commands as f64 / *nodes as f64;
        write!(
            f,
            "{nodes:>5} nodes {waiters:>6} waiters each {calls:>3} call {commands:>7} commands {each:>6.1} a node {messages:>6} notices"
        )
    }
}
