//! What becomes of requests: they start, go to a node, call its handler, and are answered.

use super::*;

impl State {
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
}
