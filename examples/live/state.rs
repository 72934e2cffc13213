//! [`State`]: the requests, the nodes and the key, and what each event makes of them.

mod requests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::counts::Counts;
use super::errand::{Errand, Way};
use super::fleet::NODES;
use super::key::KeyLife;
use super::lanes::{Lane, Lanes, OPEN};
use super::link::Link;
use super::nodes::Nodes;
use super::outcome::Outcome;
use super::story::{self, Herd};
use super::switches::Switches;

/// How many requests may be under way.
const MOST: usize = 900;

/// A request that is not answered yet.
struct Open {
    sent: Instant,
    way: Way,
    herd: Option<u64>,
    node: usize,
    leads: bool,
}

impl Open {
    /// Whether it waits for the call of another.
    fn waits(&self) -> bool {
        self.way == Way::Shared && !self.leads
    }
}

/// How much a browser has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    resets: Option<u64>,
    changes: u64,
}

/// What is known.
pub(crate) struct State {
    run: u128,
    resets: u64,
    /// The first lane since the last reset.
    first: u64,
    next: u64,
    open: HashMap<u64, Open>,
    herds: HashMap<u64, Herd>,
    lanes: Lanes,
    shared: Counts,
    bare: Counts,
    key: KeyLife,
    nodes: Nodes,
    /// The node whose handler was called last.
    leader: Option<usize>,
    switches: Switches,
    explain: String,
}

impl State {
    pub(crate) fn new() -> Self {
        // Another run may have left responses in Redis.
        let run = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        Self {
            run,
            resets: 0,
            first: 1,
            next: 1,
            open: HashMap::new(),
            herds: HashMap::new(),
            lanes: Lanes::default(),
            shared: Counts::default(),
            bare: Counts::default(),
            key: KeyLife::default(),
            nodes: Nodes::default(),
            leader: None,
            switches: Switches::OFF,
            explain: story::NOTHING_YET.to_owned(),
        }
    }

    pub(crate) fn reset(&mut self) {
        let kept = std::mem::replace(self, Self::new());
        self.run = kept.run;
        self.resets = kept.resets + 1;
        (self.first, self.next) = (kept.next, kept.next);
        (self.nodes, self.leader) = (kept.nodes, kept.leader);
        self.lanes = kept.lanes;
        self.lanes.clear();
    }

    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.run % 1_000_000, self.resets + 1)
    }

    pub(crate) fn say(&mut self, text: &str) {
        text.clone_into(&mut self.explain);
    }

    pub(crate) fn switches(&self) -> Switches {
        self.switches
    }

    pub(crate) fn switch(&mut self, set: impl FnOnce(&mut Switches), text: &str) {
        set(&mut self.switches);
        if self.switches.link != Link::Open {
            self.key.void();
            for herd in self.herds.values_mut() {
                herd.cut_off = true;
            }
        }
        self.say(text);
    }

    /// Redis itself is away, or back.
    pub(crate) fn redis(&mut self, is_there: bool) {
        let (from, to) = match is_there {
            true => (Link::Gone, Link::Open),
            false => (Link::Open, Link::Gone),
        };
        if self.switches.link == from {
            self.switch(|switches| switches.link = to, story::linked(to));
        }
    }

    pub(crate) fn all_up(&self) -> bool {
        self.nodes.iter().all(|(_, node)| node.address.is_some())
    }

    pub(crate) fn is_up(&mut self, node: usize, address: SocketAddr, pid: Option<u32>) {
        let returns = self.nodes.up(node, address, pid);
        // While something goes on, that is what counts.
        if returns && self.herds.is_empty() {
            self.explain = story::back(node, pid);
        }
    }

    pub(crate) fn is_down(&mut self, node: usize) {
        self.nodes.down(node);
        let computed = self.key.died(node);
        for lane in &computed {
            let Some(open) = self.open.get_mut(lane) else {
                continue;
            };
            open.leads &= open.node != node;
            if let Some(herd) = open.herd.and_then(|herd| self.herds.get_mut(&herd)) {
                herd.died.push(node);
            }
        }
        self.explain = story::killed(node, self.nodes.get(node).pid, !computed.is_empty(), self.waiting());
    }

    /// Whether requests wait, and no node computes.
    pub(crate) fn wants_leader(&self) -> bool {
        self.waiting() > 0 && self.key.computing().is_empty()
    }

    /// The node that computes, or the one that did last. Says so where that is down.
    pub(crate) fn leader(&mut self) -> Option<usize> {
        let leader = self.key.computing().last().copied().or(self.leader).unwrap_or(1);
        if self.nodes.get(leader).address.is_none() {
            self.explain = story::already_down(leader);
            return None;
        }
        Some(leader)
    }

    pub(crate) fn invalidate(&mut self) -> Instant {
        self.key.invalidate()
    }

    pub(crate) fn invalidated(&mut self, since: Instant, pending_on: Option<usize>) {
        self.key.invalidated(since);
        let (vain, all) = (self.key.in_vain(), self.key.computing());
        // Where another call has begun since, that was said already.
        if all.len() <= vain.len() {
            self.explain = story::invalidated(&vain, pending_on);
        }
    }

    /// How many requests wait for the call of another.
    fn waiting(&self) -> u64 {
        self.open.values().filter(|open| open.waits()).count() as u64
    }

    /// The lanes that changed, or all of them where all has begun anew.
    pub(crate) fn lanes_since(&self, seen: &mut Seen) -> (Vec<Value>, bool) {
        let anew = seen.resets.replace(self.resets) != Some(self.resets);
        let (lanes, changes) = self.lanes.since(if anew { 0 } else { seen.changes });
        seen.changes = changes;
        (lanes, anew)
    }

    pub(crate) fn to_json(&self, with_redis: bool) -> Value {
        let computing = self.key.computing();
        let nodes = self.nodes.iter().map(|(number, node)| {
            let waits = |open: &&Open| open.node == number && open.waits();
            json!({
                "node": number,
                "up": node.address.is_some(),
                "pid": node.pid,
                "computing": computing.contains(&number),
                "waiting": self.open.values().filter(waits).count(),
            })
        });
        let mut key = self.key.to_json();
        key["id"] = json!(self.id());
        let mut state = self.shared.to_json();
        state["waiting"] = json!(self.waiting());
        state["explain"] = json!(self.explain);
        state["without"] = self.bare.to_json();
        state["key"] = key;
        state["nodes"] = nodes.collect();
        state["store"] = json!(if with_redis { "redis" } else { "memory" });
        state["redis"] = json!(self.switches.link.as_str());
        state["steady"] = json!(self.switches.steady);
        state["slow"] = json!(self.switches.slow);
        state["failing"] = json!(self.switches.failing);
        state
    }
}
