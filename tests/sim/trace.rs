//! [`Trace`]: what happened, line by line, the same for the same seed.

use std::fmt::{self, Write as _};
use std::sync::Mutex;

use tokio::time::Instant;

/// What becomes of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracing {
    Off,
    /// They are kept.
    On,
}

pub(crate) struct Trace {
    tracing: Tracing,
    begun: Instant,
    lines: Mutex<String>,
}

impl Trace {
    pub(crate) fn new(tracing: Tracing, begun: Instant) -> Self {
        Self {
            tracing,
            begun,
            lines: Mutex::default(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.tracing == Tracing::On
    }

    /// One line more.
    pub(crate) fn say(&self, what: fmt::Arguments<'_>) {
        if self.is_on() {
            let time = self.begun.elapsed().as_micros();
            let mut lines = self.lines.lock().unwrap();
            let _ = writeln!(lines, "{:>6}.{:03} {what}", time / 1000, time % 1000);
        }
    }

    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}
