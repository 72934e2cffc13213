//! What is counted of one of the two connections.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::figures;
use crate::counter::{Counter, Gauge};

/// The state of one of the two connections of a [`RedisStore`](crate::store::RedisStore).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaneStats {
    /// Whether it is connected.
    pub connected: bool,
    /// For how long it has not been; `None` while it is.
    pub disconnected_for: Option<Duration>,
    /// How often it was connected again.
    pub reconnects: u64,
    /// How often it was lost, or could not be opened in the first place. A connection that breaks within two seconds
    /// counts as part of the outage before it. If the runtime in which the store was connected ends, this is an outage,
    /// too, which no recovery ends.
    pub outages: u64,
}

/// One connection's.
pub(crate) struct PlaneCounters {
    pub(crate) name: &'static str,
    link: Mutex<PlaneState>,
    connected: Gauge,
    reconnects: Counter,
    outages: Counter,
}

enum PlaneState {
    Up,
    Down {
        since: Instant,
        before: bool,
    },
    /// Nothing connects it again.
    Stopped {
        since: Instant,
    },
}

impl PlaneCounters {
    pub(crate) fn new(name: &'static str) -> Self {
        let labels = &[("plane", name)];
        Self {
            name,
            link: Mutex::new(PlaneState::Down {
                since: Instant::now(),
                before: false,
            }),
            connected: Gauge::new(figures::CONNECTED.with(labels)),
            reconnects: Counter::new(figures::RECONNECTS.with(labels)),
            outages: Counter::new(figures::OUTAGES.with(labels)),
        }
    }

    fn link(&self) -> MutexGuard<'_, PlaneState> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(&self) {
        if let PlaneState::Down { before, .. } = std::mem::replace(&mut *self.link(), PlaneState::Up) {
            self.connected.add(1);
            if before {
                self.reconnects.add();
            }
        }
    }

    pub(crate) fn disconnect(&self) {
        let mut link = self.link();
        if let PlaneState::Up = *link {
            self.connected.subtract(1);
            *link = PlaneState::Down {
                since: Instant::now(),
                before: true,
            };
        }
    }

    /// Nothing looks after the connection any more.
    pub(crate) fn stop(&self) {
        self.disconnect();
        *self.link() = PlaneState::Stopped { since: Instant::now() };
    }

    pub(crate) fn outage(&self) {
        self.outages.add();
    }

    pub(super) fn snapshot(&self) -> PlaneStats {
        let (disconnected_for, stopped) = match *self.link() {
            PlaneState::Up => (None, false),
            PlaneState::Down { since, .. } => (Some(since.elapsed()), false),
            PlaneState::Stopped { since } => (Some(since.elapsed()), true),
        };
        PlaneStats {
            connected: disconnected_for.is_none(),
            disconnected_for,
            reconnects: self.reconnects.get(),
            outages: self.outages.get() + u64::from(stopped),
        }
    }
}

impl Drop for PlaneCounters {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl PlaneStats {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            connected: self.connected && other.connected,
            disconnected_for: self.disconnected_for.max(other.disconnected_for),
            reconnects: self.reconnects + other.reconnects,
            outages: self.outages + other.outages,
        }
    }

    pub(super) fn departed(self) -> Self {
        Self {
            connected: true,
            disconnected_for: None,
            ..self
        }
    }
}
