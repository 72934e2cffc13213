//! [`Switches`]: what the buttons have set.

use std::time::Duration;

use super::link::Link;

/// What one call of the handler takes.
const WORK: Duration = Duration::from_millis(1500);

/// What it takes once it is slow.
const SLOW: Duration = Duration::from_secs(4);

/// What the buttons have set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switches {
    pub(crate) steady: bool,
    pub(crate) slow: bool,
    pub(crate) failing: bool,
    pub(crate) link: Link,
}

impl Switches {
    pub(crate) const OFF: Self = Self {
        steady: false,
        slow: false,
        failing: false,
        link: Link::Open,
    };

    /// How long the handler takes.
    pub(crate) fn work(self) -> Duration {
        if self.slow { SLOW } else { WORK }
    }
}
