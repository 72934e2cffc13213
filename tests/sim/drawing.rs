//! How a [`Plan`] is drawn from a seed.

mod near;

use crate::plan::{Class, End, How, Knobs, Op, Plan, Settings, Subject, Via};
use crate::rng::Rng;

impl Plan {
    pub(crate) fn new(seed: u64, nodes: Option<usize>, redis: bool) -> Self {
        let mut rng = Rng::new(seed).fork(1);
        let class = Class::ALL[(seed % 7) as usize];
        let nodes = nodes.unwrap_or_else(|| match rng.chance(20) {
            true => rng.between(10, 40) as usize,
            false => rng.between(3, 8) as usize,
        });
        let longest = rng.pick(&[40, 150, 400, 1500]);
        let knobs = knobs(class, &mut rng);
        let settings = Settings {
            streams: rng.chance(300),
            stale: rng.chance(300),
            stamped: rng.chance(300),
            redis,
            near: redis.then(|| near::settings(seed)).flatten(),
        };
        let mut drawing = Drawing {
            rng,
            class,
            nodes,
            longest,
            keys: 0,
            stamped: settings.stamped,
        };
        let mut ops = drawing.ops();
        drawing.rng = Rng::new(seed).fork(5);
        drawing.add_refreshes(&mut ops);
        drawing.rng = Rng::new(seed).fork(6);
        drawing.add_standstills(&mut ops);
        if let Some(near) = settings.near {
            drawing.rng = Rng::new(seed).fork(4);
            drawing.add_near(near, &mut ops);
        }
        Self {
            seed,
            luck: seed,
            class,
            nodes,
            longest,
            knobs,
            settings,
            ops,
        }
    }
}

fn knobs(class: Class, rng: &mut Rng) -> Knobs {
    let mut some = |has: bool, most: u64| if has { rng.pick(&[0, most / 4, most]) } else { 0 };
    let (messages, commands) = (class.has(Class::Messages), class.has(Class::Commands));
    let all = class == Class::All;
    Knobs {
        lost_requests: some(commands, 100),
        lost_answers: some(commands, 100),
        lost_generations: some(commands, 300),
        late: some(commands, 80),
        lost_notices: some(messages, 200),
        double_notices: some(messages, 200),
        late_notices: some(messages, 600),
        disorder: some(commands, 4) > 0,
        announced: some(true, 400),
        mixups: some(all, 100),
        skew: some(all, 2000),
        store_rate: if all { rng.between(92, 108) } else { 100 },
        latency: rng.pick(&[1, 5, 20]),
    }
}

/// Draws what happens.
struct Drawing {
    rng: Rng,
    class: Class,
    nodes: usize,
    longest: u64,
    keys: u64,
    stamped: bool,
}

impl Drawing {
    fn ops(&mut self) -> Vec<(u64, Op)> {
        self.keys = self.rng.between(1, 3);
        let span = self.rng.between(1000, 6000);
        let moments: Vec<u64> = (0..self.rng.between(2, 6)).map(|_| self.rng.below(span)).collect();
        let asks = self.rng.between(8, 30) + self.nodes as u64;
        let mut ops: Vec<(u64, Op)> = (0..asks).map(|_| (self.near(&moments), self.ask())).collect();
        for _ in 0..self.rng.below(3) {
            let at = self.near(&moments);
            let subject = self.subject();
            ops.push((at, self.invalidation(subject, [None; 2])));
        }
        for _ in 0..self.rng.below(3) {
            let at = self.near(&moments);
            self.scene(at, &mut ops);
        }
        let faults = if self.class == Class::Healthy {
            0
        } else {
            self.rng.between(1, 4)
        };
        for _ in 0..faults {
            let node = self.node();
            if let Some(fault) = self.fault(node) {
                ops.push((self.near(&moments), fault));
            }
        }
        ops.sort_by_key(|(at, _)| *at);
        ops
    }

    /// Soon after one of those moments, so that things meet.
    fn near(&mut self, moments: &[u64]) -> u64 {
        let after = self.rng.pick(&[5, 60, self.longest + 20, self.longest + 1200]);
        self.rng.pick(moments) + self.rng.below(after)
    }

    fn node(&mut self) -> usize {
        self.rng.below(self.nodes as u64) as usize
    }

    fn subject(&mut self) -> Subject {
        let via = self.rng.pick(&[
            Via::Core,
            Via::Core,
            Via::Core,
            Via::Layer,
            Via::Layer,
            Via::Layer,
            Via::Tagged,
            Via::Tagged,
            Via::Elsewhere,
            Via::Made,
        ]);
        let tenant = if via == Via::Layer { self.rng.below(2) } else { 0 };
        let key = self.rng.below(self.keys);
        Subject { via, key, tenant }
    }

    fn ask(&mut self) -> Op {
        let subject = self.subject();
        let end = match self.rng.below(100) {
            0..=3 => End::Fails,
            4..=5 => End::Panics,
            6..=9 if subject.via == Via::Layer => End::BreaksOff,
            10..=12 if subject.via == Via::Layer => End::Private,
            13..=18 => End::Shared,
            _ => End::Well,
        };
        Op::Ask {
            node: self.node(),
            subject,
            count: self.rng.pick(&[1, 1, 1, 1, 2, 2, 2, 2, 3, 6, 6, 90]),
            cost: self.rng.between(1, self.longest),
            end,
            patience: self.rng.chance(100).then(|| self.rng.between(1, self.longest)),
        }
    }

    fn invalidation(&mut self, subject: Subject, then: [Option<usize>; 2]) -> Op {
        let how = match subject.via {
            _ if self.stamped && self.rng.chance(300) => How::All,
            Via::Tagged if self.rng.chance(700) => How::Tag,
            Via::Layer if self.rng.chance(500) => How::Change,
            _ => How::Key,
        };
        Op::Invalidate {
            node: self.node(),
            subject,
            how,
            soft: how != How::Change && self.rng.chance(300),
            receipt: self.rng.chance(300),
            then,
        }
    }

    /// What races are made of: a leader, a follower, an invalidation about the time of the commit, callers that know of it, and
    /// perhaps a fault at that moment.
    fn scene(&mut self, at: u64, ops: &mut Vec<(u64, Op)>) {
        let (leader, subject) = (self.node(), self.subject());
        let follower = (leader + 1 + self.rng.below(self.nodes as u64 - 1) as usize) % self.nodes;
        let cost = self.rng.between(1, self.longest);
        let ask = |node, cost| Op::Ask {
            node,
            subject,
            count: 1,
            cost,
            end: End::Well,
            patience: None,
        };
        ops.push((at, ask(leader, cost)));
        if self.rng.chance(700) {
            let after = if self.rng.chance(500) {
                self.rng.below(cost)
            } else {
                cost
            };
            ops.push((at + after, ask(follower, self.longest)));
        }
        let end = at + cost;
        let moment = (end + self.rng.below(60)).saturating_sub(self.rng.below(60));
        let invalidation = self.invalidation(subject, [Some(leader), Some(follower)]);
        ops.push((moment, invalidation));
        if self.rng.chance(500)
            && self.class != Class::Healthy
            && let Some(fault) = self.fault(self.rng.clone().pick(&[leader, follower]))
        {
            let time = (moment + self.rng.below(40)).saturating_sub(self.rng.below(40));
            ops.push((time, fault));
        }
    }

    /// Callers that want something computed now, about when others ask for it.
    fn add_refreshes(&mut self, ops: &mut Vec<(u64, Op)>) {
        if !self.rng.chance(300) {
            return;
        }
        let asked = |(at, op): &(u64, Op)| match op {
            Op::Ask { subject, .. } if !matches!(subject.via, Via::Layer | Via::Made) => Some((*at, *subject)),
            _ => None,
        };
        let asked: Vec<_> = ops.iter().filter_map(asked).collect();
        for _ in 0..self.rng.between(1, 3).min(asked.len() as u64) {
            let (at, subject) = self.rng.pick(&asked);
            let cost = self.rng.between(1, self.longest);
            let refresh = Op::Refresh {
                node: self.node(),
                subject,
                cost,
                end: if self.rng.chance(150) { End::Fails } else { End::Well },
            };
            ops.push((at + self.rng.below(2 * self.longest), refresh));
        }
        ops.sort_by_key(|(at, _)| *at);
    }

    /// Processes that stand still, most of them for longer than their leases.
    fn add_standstills(&mut self, ops: &mut Vec<(u64, Op)>) {
        if self.class == Class::Healthy || !self.rng.chance(250) {
            return;
        }
        for _ in 0..self.rng.between(1, 3) {
            let at = self.rng.pick(ops).0;
            let stop = Op::Stop {
                node: self.node(),
                time: self.rng.pick(&[30, 250, 1200, 2500]),
            };
            ops.push((at + self.rng.below(self.longest + 60), stop));
        }
        ops.sort_by_key(|(at, _)| *at);
    }

    fn fault(&mut self, node: usize) -> Option<Op> {
        let time = self.rng.pick(&[50, 300, 1500]);
        let class = match self.class {
            Class::All => self.rng.pick(&Class::ALL),
            class => class,
        };
        Some(match class {
            Class::Healthy | Class::Messages | Class::All => return None,
            Class::Commands => Op::Stall { time },
            Class::Crashes if self.rng.chance(200) => Op::Shutdown { node, grace: time },
            Class::Crashes => Op::Crash { node, down: time },
            Class::Cuts => Op::Cut {
                node,
                time,
                silent: self.rng.chance(500),
            },
            Class::Losses => match self.rng.below(4) {
                0 => Op::StoreCrash { down: time },
                1 => Op::Flush,
                2 => Op::Evict {
                    subject: self.subject(),
                },
                _ => Op::EvictLock {
                    subject: self.subject(),
                },
            },
        })
    }
}
