//! [`Rounds`]: the floor and ours measured in turn.

use std::time::Duration;

/// One measurement of the floor and one of ours, many times over: whatever else the machine does at a moment, it does
/// to both.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Nanoseconds an operation.
    floor: Vec<f64>,
    ours: Vec<f64>,
}

impl Rounds {
    /// Whether the floor goes first this time.
    pub(crate) fn floor_first(&self) -> bool {
        self.ours.len().is_multiple_of(2)
    }

    /// Measures both, the floor first every other time.
    pub(crate) fn turns(&self, floor: impl Fn() -> Duration, ours: impl Fn() -> Duration) -> (Duration, Duration) {
        if self.floor_first() {
            let floor = floor();
            (floor, ours())
        } else {
            let ours = ours();
            (floor(), ours)
        }
    }

    /// Adds a round of `operations` each.
    pub(crate) fn add(&mut self, operations: usize, floor: Duration, ours: Duration) {
        self.floor.push(nanos(floor, operations));
        self.ours.push(nanos(ours, operations));
    }

    pub(crate) fn floor(&self) -> f64 {
        median(self.floor.clone())
    }

    pub(crate) fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    /// The median of the rounds' own ratios.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.floor).map(|(o, f)| o / f).collect())
    }
}

fn nanos(time: Duration, operations: usize) -> f64 {
    time.as_nanos() as f64 / operations as f64
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => f64::midpoint(values[n / 2 - 1], values[n / 2]),
        n => values[n / 2],
    }
}
