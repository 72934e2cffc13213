//! What can be set on a [`MemoLock`](super::MemoLock), with the defaults.

use std::time::Duration;

use super::flights::patience::Patience;
use super::limits::{Bounds, Limits};
use super::receipt::Aim;
use crate::system::fill;

/// The settings of one [`MemoLock`](super::MemoLock).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    /// How long a lock lasts unless renewed.
    pub(crate) lease: Duration,
    /// How long a caller waits for the work of others.
    pub(crate) wait_timeout: Duration,
    /// How long a computation goes on for others than the leader.
    pub(crate) max_computation: Duration,
    /// How long a computed value is kept.
    pub(crate) ttl: Duration,
    /// Whether results may have tags.
    pub(crate) tags: bool,
    /// Whether another program may make the value. A lease that ended was then the time that it had.
    pub(crate) requests: bool,
    /// Whether values go to other processes while they are made.
    pub(crate) parts: bool,
    /// How many times in a row work is started that another program is to finish.
    pub(crate) max_attempts: u32,
    pub(crate) limits: Bounds,
    /// What the caller wants.
    pub(crate) aim: Aim,
}

impl Config {
    pub(crate) const DEFAULT: Self = Self {
        lease: Duration::from_secs(5),
        wait_timeout: Duration::from_secs(30),
        max_computation: Duration::from_secs(600),
        ttl: Duration::from_secs(60),
        tags: false,
        requests: false,
        parts: false,
        max_attempts: 3,
        limits: Bounds::DEFAULT,
        aim: Aim::Fresh,
    };

    /// Under this, a lease would end between two heartbeats of a healthy process.
    pub(crate) const MIN_LEASE: Duration = Duration::from_millis(100);

    /// As far as every clock can count.
    pub(crate) const LONG: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// Takes what is set.
    pub(crate) fn limit(&mut self, limits: Limits) {
        let Limits {
            max_waiters,
            max_in_flight,
            max_orphaned,
            max_computation,
            max_attempts,
            at_limit,
        } = limits;
        let Bounds {
            waiters,
            in_flight,
            orphaned,
            at_limit: policy,
        } = &mut self.limits;
        *waiters = max_waiters.unwrap_or(*waiters);
        *in_flight = max_in_flight.unwrap_or(*in_flight);
        *orphaned = max_orphaned.unwrap_or(*orphaned);
        *policy = at_limit.unwrap_or(*policy);
        self.max_computation = max_computation.unwrap_or(self.max_computation);
        self.max_attempts = max_attempts.unwrap_or(self.max_attempts).max(1);
    }

    /// How long a caller that comes now waits, all in all.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.wait_timeout.min(Self::LONG))
    }

    /// A little later than the lease's end, and not all nodes at the same moment.
    pub(crate) fn jitter(&self) -> Duration {
        let most = (self.lease / 20).min(Duration::from_millis(100));
        let mut random = [0; 4];
        // Without a random source all processes are equally late.
        let _ = fill(&mut random);
        most.mul_f64(f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX))
    }
}
