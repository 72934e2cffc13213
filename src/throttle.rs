//! [`Throttle`]: keeps a warning from coming with every request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long one warning speaks for all of its kind.
const PERIOD: Duration = Duration::from_secs(60);

/// Lets one warning of a kind through, and none for the next minute.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.is_some_and(|last| now - last < PERIOD) {
            return false;
        }
        *last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_minute_is_due() {
        let throttle = Throttle::default();
        assert!(throttle.is_due());
        tokio::time::advance(PERIOD - Duration::from_millis(1)).await;
        assert!(!throttle.is_due());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(throttle.is_due());
        assert!(!throttle.is_due());
    }
}
