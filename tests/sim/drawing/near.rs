//! What is drawn besides where nodes keep near copies: keys that are read all the time, and what befalls them.

use super::Drawing;
use crate::plan::{Class, End, NearSettings, Op, Subject, Via};
use crate::rng::Rng;

/// In so many of a thousand runs over Redis nodes keep near copies.
const OFTEN: u64 = 600;

pub(super) fn settings(seed: u64) -> Option<NearSettings> {
    let mut rng = Rng::new(seed).fork(3);
    rng.chance(OFTEN).then(|| NearSettings {
        lag: rng.pick(&[60, 100, 100, 200, 500, 1000]),
        bytes: if rng.chance(100) { 10_000 } else { 1 << 20 },
        everywhere: rng.chance(700),
    })
}

impl Drawing {
    pub(super) fn add_near(&mut self, near: NearSettings, ops: &mut Vec<(u64, Op)>) {
        let span = self.rng.between(1500, 4000);
        for _ in 0..self.rng.between(1, 2) {
            let subject = self.hot();
            self.readers(subject, span, ops);
            for _ in 0..self.rng.between(2, 6) {
                let at = self.rng.between(300, span);
                let then = [Some(self.node()), Some(self.node())];
                ops.push((at, self.invalidation(subject, then)));
                if self.rng.chance(600) {
                    let before = self.rng.pick(&[3, 40, near.lag]);
                    let moment = (at + self.rng.below(30)).saturating_sub(self.rng.below(before));
                    let fault = self.near_fault(subject, near.lag);
                    ops.extend(fault.map(|fault| (moment, fault)));
                }
            }
        }
        ops.sort_by_key(|(at, _)| *at);
    }

    /// What is read all the time.
    fn hot(&mut self) -> Subject {
        let via = self.rng.pick(&[
            Via::Core,
            Via::Core,
            Via::Layer,
            Via::Layer,
            Via::Tagged,
            Via::Elsewhere,
        ]);
        Subject {
            via,
            key: self.rng.below(self.keys),
            tenant: 0,
        }
    }

    fn readers(&mut self, subject: Subject, span: u64, ops: &mut Vec<(u64, Op)>) {
        let first = self.node();
        for reader in 0..self.rng.between(2, 4) as usize {
            let mut at = self.rng.below(300);
            let pause = self.rng.pick(&[20, 60, 150]);
            while at < span {
                let ask = Op::Ask {
                    node: (first + reader) % self.nodes,
                    subject,
                    count: 1,
                    cost: self.rng.between(1, self.longest.min(60)),
                    end: End::Well,
                    patience: None,
                };
                ops.push((at, ask));
                at += self.rng.between(1, 2 * pause);
            }
        }
    }

    fn near_fault(&mut self, subject: Subject, lag: u64) -> Option<Op> {
        let node = self.node();
        let time = self.rng.pick(&[20, lag / 2, lag, 2 * lag]);
        let class = match self.class {
            Class::All => self.rng.pick(&Class::ALL),
            class => class,
        };
        Some(match class {
            Class::Healthy | Class::All => return None,
            Class::Messages if self.rng.chance(700) => Op::HoldNotices { node, time },
            // About as long as a lease lasts.
            Class::Messages | Class::Commands => Op::Busy {
                time: self.rng.between(lag * 3 / 4, lag * 3 / 2),
            },
            Class::Cuts => Op::CutNotices {
                node,
                silent: self.rng.chance(700),
            },
            Class::Losses => match self.rng.below(3) {
                0 => Op::Flush,
                1 => Op::StoreCrash { down: time },
                _ => Op::Evict { subject },
            },
            Class::Crashes => Op::Crash { node, down: time },
        })
    }
}
