//! [`Random`]: where random numbers come from.

#[cfg(test)]
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::system::fill;

/// A source of random numbers. A clone draws from the same one.
#[derive(Debug, Clone, Default)]
pub(crate) enum Random {
    /// The system's.
    #[default]
    System,
    /// The same numbers every time.
    #[cfg(test)]
    Seeded(Arc<AtomicU64>),
}

impl Random {
    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(AtomicU64::new(seed)))
    }

    /// A number above 0 and up to 1, all equally likely. 1 without a random source.
    pub(crate) fn unit(&self) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        ((self.bits() >> 11) + 1) as f64 / STEPS
    }

    /// `span`, up to `part` of it shorter. A part beyond 0 to 1 counts as the nearer of both.
    pub(crate) fn shortened(&self, span: Duration, part: f64) -> Duration {
        if part > 0.0 && !span.is_zero() {
            // Never negative, and never longer than it was.
            let shorter = span.as_secs_f64() * (1.0 - part.min(1.0) * (1.0 - self.unit()));
            // What is too long for a number of this kind is rounded up, to more than a span can be.
            Duration::try_from_secs_f64(shorter).map_or(span, |shorter| shorter.min(span))
        } else {
            span
        }
    }

    fn bits(&self) -> u64 {
        match self {
            Self::System => {
                let mut bits = [0; 8];
                match fill(&mut bits) {
                    Ok(()) => u64::from_ne_bytes(bits),
                    Err(_) => u64::MAX,
                }
            }
            // SplitMix64.
            #[cfg(test)]
            Self::Seeded(state) => {
                const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
                let mut bits = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
                bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                bits ^ bits >> 31
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_evenly_and_never_zero() {
        for random in [Random::seeded(1), Random::System] {
            let numbers: Vec<_> = (0..10_000).map(|_| random.unit()).collect();
            assert!(numbers.iter().all(|number| 0.0 < *number && *number <= 1.0));
            let mean = numbers.iter().sum::<f64>() / 10_000.0;
            assert!((0.47..0.53).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn span_is_shortened_by_up_to_its_part_and_never_lengthened() {
        let (random, span) = (Random::seeded(2), Duration::from_secs(100));
        let shortened: Vec<_> = (0..1000).map(|_| random.shortened(span, 0.05)).collect();
        assert!(
            shortened
                .iter()
                .all(|short| *short >= Duration::from_secs(95) && *short <= span)
        );
        let (least, most) = (shortened.iter().min().unwrap(), shortened.iter().max().unwrap());
        assert!(*least < Duration::from_millis(95_100) && *most > Duration::from_millis(99_900));
        for (part, least) in [(0.0, span), (-1.0, span), (f64::NAN, span), (7.0, Duration::ZERO)] {
            for _ in 0..100 {
                let short = random.shortened(span, part);
                assert!(least <= short && short <= span, "{part} {short:?}");
            }
        }
        for span in [Duration::ZERO, Duration::MAX, Duration::from_nanos(1)] {
            for part in [0.5, f64::MIN_POSITIVE, f64::EPSILON, f64::INFINITY] {
                assert!(random.shortened(span, part) <= span);
            }
        }
    }
}
