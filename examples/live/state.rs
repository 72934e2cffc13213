//! [`State`]: the requests, the nodes and the key, and what each event makes of them.

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

    pub(crate) fn herd(&mut self, way: Way, size: u64) -> Vec<Errand> {
        if self.open.len() + usize::try_from(size).unwrap_or(MOST) > MOST {
            self.say(story::TOO_MANY);
            return Vec::new();
        }
        let id = self.next;
        let herd = Herd {
            size,
            bare: way == Way::Bare,
            cut_off: self.switches.link != Link::Open,
            ..Herd::default()
        };
        self.herds.insert(id, herd);
        self.explain = story::herd_sent(way, size);
        (0..size).map(|_| self.start(way, Some(id))).collect()
    }

    pub(crate) fn wants_load(&self) -> bool {
        self.switches.steady && self.open.len() < MOST / 2
    }

    pub(crate) fn node_for(&mut self, lane: u64, died: Option<usize>) -> Option<(usize, SocketAddr)> {
        let lane_number = usize::try_from(lane).unwrap_or_default();
        // The clients of a node that has died go to all others.
        let first = if died.is_some() {
            lane_number / NODES
        } else {
            lane_number
        };
        let found = self.nodes.turn(first, died)?;
        if let Some(open) = self.open.get_mut(&lane) {
            (open.node, open.leads) = (found.0, false);
            self.lanes.change(lane, |lane| lane.go_to(found.0));
        }
        Some(found)
    }

    pub(crate) fn start(&mut self, way: Way, herd: Option<u64>) -> Errand {
        let lane = self.next;
        self.next += 1;
        let (counts, folder) = match way {
            Way::Bare => (&mut self.bare, "bare"),
            _ => (&mut self.shared, "report"),
        };
        counts.requests += 1;
        self.lanes.start(lane, if way == Way::Bare { "bare" } else { OPEN });
        let open = Open {
            sent: Instant::now(),
            way,
            herd,
            node: 0,
            leads: false,
        };
        self.open.insert(lane, open);
        Errand {
            lane,
            path: format!("/{folder}/{}", self.id()),
            way,
            work: self.switches.work(),
            fails: self.switches.failing,
        }
    }

    /// How many requests wait for the call of another.
    fn waiting(&self) -> u64 {
        self.open.values().filter(|open| open.waits()).count() as u64
    }

    pub(crate) fn called(&mut self, node: usize, lane: u64) {
        if lane < self.first {
            return;
        }
        let open = self.open.get_mut(&lane);
        if let Some(open) = &open
            && open.way == Way::Bare
        {
            self.bare.calls += 1;
            if let Some(herd) = open.herd.and_then(|herd| self.herds.get_mut(&herd)) {
                herd.calls += 1;
            }
            return;
        }
        self.shared.calls += 1;
        let Some(open) = open else {
            // Its client has its answer: this is in the background.
            self.key.called(node, lane);
            self.leader = Some(node);
            self.explain = story::refreshed(node);
            return;
        };
        open.leads = true;
        self.lanes.change(lane, Lane::lead);
        if let Some(herd) = open.herd.and_then(|herd| self.herds.get_mut(&herd)) {
            herd.calls += 1;
            herd.leader = Some(node);
        }
        if open.way == Way::Private {
            return;
        }
        self.leader = Some(node);
        let vain = self.key.in_vain();
        let orphaned = self.key.called(node, lane);
        let waiting = self.waiting();
        let link = self.switches.link;
        if link != Link::Open {
            self.key.void();
        }
        self.explain = match orphaned {
            Some((dead, after)) if link == Link::Open => story::taken_over(node, dead, after, waiting),
            _ if !vain.is_empty() && link == Link::Open => story::computed_anew(node, &vain),
            _ => story::called(node, waiting, link),
        };
    }

    pub(crate) fn handled(&mut self, node: usize, lane: u64, ok: bool) {
        if self.key.answered(node, lane, ok) && self.herds.is_empty() {
            self.explain = story::stored(node);
        }
    }

    pub(crate) fn answered(&mut self, lane: u64, outcome: Outcome, status: Option<u16>) {
        // From before the last reset.
        let Some(open) = self.open.remove(&lane) else {
            return;
        };
        let took = open.sent.elapsed();
        self.lanes.change(lane, |lane| lane.end(outcome, status, took));
        let counts = if open.way == Way::Bare {
            &mut self.bare
        } else {
            &mut self.shared
        };
        counts.add(outcome, status, took);
        if let Outcome::Hit(ttl) = outcome {
            self.key.hit(ttl);
        }
        let Some(id) = open.herd else {
            return;
        };
        let Some(herd) = self.herds.get_mut(&id) else {
            return;
        };
        herd.add(outcome, status, took);
        if herd.is_over() {
            self.explain = herd.summary();
            self.herds.remove(&id);
        }
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
