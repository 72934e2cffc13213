//! When to compute a response anew although it is still fresh: XFetch (Vattani, Chierichetti and Lowenstein, "Optimal
//! Probabilistic Cache Stampede Prevention", VLDB 2015).

use std::time::Duration;

/// No random number that has 53 bits makes `-ln` larger.
const MOST: f64 = 37.0;

/// Whether to compute anew with `left` to go, where the last computation took `cost`.
///
/// The time ahead is about `beta * cost` times the logarithm of the rate of hits: just in time, whatever the rate.
/// `unit` draws a random number above 0 and up to 1; no number is drawn far from the end.
pub(crate) fn is_due(left: Duration, cost: Duration, beta: f64, unit: impl FnOnce() -> f64) -> bool {
    let (left, scale) = (left.as_secs_f64(), beta * cost.as_secs_f64());
    left < scale * MOST && left <= -scale * unit().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const COST: Duration = Duration::from_secs(1);

    fn share(left: f64, beta: f64) -> f64 {
        let random = Random::seeded(3);
        let due = (0..20_000).filter(|_| is_due(Duration::from_secs_f64(left), COST, beta, || random.unit()));
        due.count() as f64 / 20_000.0
    }

    #[test]
    fn probability_falls_exponentially_with_the_time_left() {
        for (left, beta) in [
            (0.0_f64, 1.0_f64),
            (0.5, 1.0),
            (1.0, 1.0),
            (3.0, 1.0),
            (1.0, 2.0),
            (2.0, 0.5),
        ] {
            let expected = (-left / beta).exp();
            let found = share(left, beta);
            assert!(
                (found - expected).abs() < 0.015,
                "{left} {beta}: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn far_from_the_end_and_switched_off_no_number_is_drawn() {
        let drawn = || panic!("drawn");
        assert!(!is_due(Duration::from_secs(37), COST, 1.0, drawn));
        assert!(!is_due(Duration::from_secs(60), Duration::ZERO, 1.0, drawn));
        assert!(!is_due(Duration::ZERO, COST, 0.0, drawn));
        assert!(!is_due(Duration::ZERO, COST, -1.0, drawn));
        assert!(!is_due(Duration::ZERO, COST, f64::NAN, drawn));
        assert!(is_due(Duration::from_secs(36), COST, 1.0, || f64::EPSILON / 8.0));
    }
}
