//! [`Times`]: how long the last requests took.

use std::collections::VecDeque;
use std::time::Duration;

/// How many requests are remembered.
const LAST: usize = 1000;

/// The times of the last requests.
#[derive(Debug, Default)]
pub(crate) struct Times(VecDeque<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        if self.0.len() == LAST {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// The times in milliseconds that 50 and 99 % of the requests did not exceed.
    pub(crate) fn percentiles(&self) -> [Option<u64>; 2] {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_unstable();
        [50, 99].map(|percent| {
            let at = (sorted.len() * percent).div_ceil(100);
            let time = sorted.get(at.checked_sub(1)?)?;
            u64::try_from(time.as_millis()).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_last_thousand() {
        let mut times = Times::default();
        assert_eq!(times.percentiles(), [None, None]);
        times.add(Duration::from_millis(7));
        assert_eq!(times.percentiles(), [Some(7), Some(7)]);
        for time in 1..=1000 {
            times.add(Duration::from_millis(time));
        }
        assert_eq!(times.percentiles(), [Some(500), Some(990)]);
    }
}
