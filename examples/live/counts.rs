//! [`Counts`]: the numbers since the last reset.

use std::time::Duration;

use serde_json::{Value, json};

use super::outcome::Outcome;
use super::times::Times;

/// What is counted of requests that go one way.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) calls: u64,
    /// As `Cache-Status` has it: with stale ones.
    hits: u64,
    stale: u64,
    stand_ins: u64,
    lost: u64,
    leads: u64,
    waits: u64,
    alone: u64,
    bypass: u64,
    failed: u64,
    times: Times,
}

impl Counts {
    pub(crate) fn add(&mut self, outcome: Outcome, status: Option<u16>, took: Duration) {
        match outcome {
            Outcome::Leads => self.leads += 1,
            Outcome::Waits => self.waits += 1,
            Outcome::Hit(_) => self.hits += 1,
            Outcome::Stale => {
                self.hits += 1;
                self.stale += 1;
            }
            Outcome::StandIn => self.stand_ins += 1,
            Outcome::Alone => self.alone += 1,
            Outcome::Bypass => self.bypass += 1,
            Outcome::Bare => {}
            Outcome::Lost => self.lost += 1,
        }
        self.failed += u64::from(status.is_none_or(|status| status >= 500));
        self.times.add(took);
    }

    pub(crate) fn to_json(&self) -> Value {
        let [p50, p99] = self.times.percentiles();
        json!({
            "requests": self.requests,
            "handler-calls": self.calls,
            "hits": self.hits,
            "leads": self.leads,
            "waits": self.waits,
            "stale": self.stale,
            "stand-ins": self.stand_ins,
            "lost": self.lost,
            "alone": self.alone,
            "bypass": self.bypass,
            "failed": self.failed,
            "p50": p50,
            "p99": p99,
        })
    }
}
