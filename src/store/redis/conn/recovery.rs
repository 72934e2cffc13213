//! When to connect again, and what to tell the operator meanwhile.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::error::DialError;
use crate::random::Random;
use crate::store::redis::stats::PlaneCounters;

/// The longest step between two attempts: Redis is back in use within about this time.
const LONGEST: Duration = Duration::from_secs(1);

/// The step after the first failed attempt.
const SHORTEST: Duration = Duration::from_millis(50);

/// How long a connection must have lasted to count as a recovery. A connection that breaks sooner continues the outage, so
/// that a server which accepts connections and then refuses to serve is not connected to at full speed.
const STABLE: Duration = Duration::from_secs(2);

/// The course of the outages of one connection.
pub(crate) struct Recovery {
    stats: Arc<PlaneCounters>,
    attempt: u32,
    told: ToldLog,
}

/// The last thing the operator heard about the present outage.
#[derive(PartialEq)]
enum ToldLog {
    Nothing,
    Outage,
    /// An outage that does not end by itself.
    Refusal,
    Recovery,
}

impl Recovery {
    pub(crate) fn new(stats: &Arc<PlaneCounters>) -> Self {
        Self {
            stats: Arc::clone(stats),
            attempt: 0,
            told: ToldLog::Nothing,
        }
    }

    /// The connection broke after it had `lasted` so long.
    pub(crate) fn lost(&mut self, lasted: Duration, reason: &(dyn Error + 'static)) {
        self.stats.disconnect();
        if lasted >= STABLE {
            self.attempt = 0;
            self.told = ToldLog::Nothing;
        }
        self.tell_outage(reason, false);
    }

    /// An attempt to connect failed.
    pub(crate) fn failed(&mut self, reason: &DialError) {
        self.tell_outage(reason, reason.is_permanent());
    }

    /// The connection is there.
    pub(crate) fn connected(&mut self) {
        self.stats.connect();
        let plane = self.stats.name;
        if matches!(self.told, ToldLog::Outage | ToldLog::Refusal) {
            tracing::info!(plane, "connected to Redis again");
            self.told = ToldLog::Recovery;
        } else {
            tracing::debug!(plane, "connected to Redis");
        }
    }

    /// How long to wait before the next attempt: between half of a step and the whole.
    pub(crate) fn delay(&mut self) -> Duration {
        let step = step(self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        Random::System.shortened(step, 0.5)
    }

    fn tell_outage(&mut self, error: &(dyn Error + 'static), permanent: bool) {
        let plane = self.stats.name;
        if self.told == ToldLog::Nothing {
            self.stats.outage();
        }
        if permanent && self.told != ToldLog::Refusal {
            tracing::error!(
                plane,
                error,
                "Redis refuses the connection until an operator changes the configuration"
            );
            self.told = ToldLog::Refusal;
        } else if self.told == ToldLog::Nothing {
            tracing::warn!(plane, error, "no connection to Redis");
            self.told = ToldLog::Outage;
        } else {
            tracing::debug!(plane, error, "still no connection to Redis");
        }
    }
}

/// The task that looks after the connection has ended, with the store or with its runtime.
impl Drop for Recovery {
    fn drop(&mut self) {
        self.stats.stop();
    }
}

/// The longest delay before attempt number `attempt`.
fn step(attempt: u32) -> Duration {
    let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    match attempt {
        // Hardly any wait, but enough that not all nodes connect in the same instant.
        0 => SHORTEST / 2,
        _ => SHORTEST.saturating_mul(factor).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::stats::RedisCounters;

    #[test]
    fn steps_double_up_to_the_longest() {
        let millis: Vec<_> = (0..8).map(|n| step(n).as_millis()).collect();
        assert_eq!(millis, [25, 50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(step(u32::MAX), LONGEST);
    }

    #[test]
    fn an_outage_is_one_until_a_connection_has_lasted() {
        let counters = RedisCounters::default();
        let mut recovery = Recovery::new(&counters.commands);
        let figures = || {
            let stats = counters.snapshot().commands;
            (stats.connected, stats.outages, stats.reconnects)
        };
        let error = || DialError::NotMaster;
        recovery.failed(&error());
        recovery.failed(&error());
        assert_eq!(figures(), (false, 1, 0));
        recovery.connected();
        recovery.lost(STABLE - Duration::from_millis(1), &error());
        recovery.failed(&error());
        assert_eq!(figures(), (false, 1, 0));
        recovery.connected();
        assert_eq!(figures(), (true, 1, 1));
        recovery.lost(STABLE, &error());
        recovery.connected();
        assert_eq!(figures(), (true, 2, 2));
        // Nothing connects it again.
        drop(recovery);
        assert_eq!(figures(), (false, 3, 2));
    }

    #[test]
    fn a_connection_that_breaks_at_once_does_not_reset_the_delay() {
        let mut recovery = Recovery::new(&Arc::new(PlaneCounters::new("test")));
        let error = std::io::Error::other("broken");
        for _ in 0..6 {
            recovery.delay();
            recovery.connected();
            recovery.lost(Duration::from_millis(1), &error);
        }
        assert!(recovery.delay() >= LONGEST / 2);
        recovery.lost(STABLE, &error);
        assert!(recovery.delay() <= SHORTEST);
    }
}
