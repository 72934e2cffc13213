//! [`Crowds`]: how many are at the same name at this moment.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::system;

/// Counts the members at each name. Two names that share a count see each other's members.
pub(crate) struct Crowds {
    seed: u64,
    counts: Box<[AtomicU32]>,
}

/// One of those at a name, until it is dropped.
pub(crate) struct CrowdMember<'a> {
    count: &'a AtomicU32,
    /// How many were there before it.
    pub(crate) before: u32,
}

impl Crowds {
    pub(crate) fn new(counts: usize) -> Self {
        let mut seed = [0; 8];
        // Without randomness a client can make its names share a count, which does no other harm.
        let _ = system::fill(&mut seed);
        Self {
            seed: u64::from_le_bytes(seed),
            counts: (0..counts.max(1)).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Counts one more at this name.
    pub(crate) fn enter(&self, name: &str) -> CrowdMember<'_> {
        let count = &self.counts[hash(self.seed, name.as_bytes()) as usize % self.counts.len()];
        let before = count.fetch_add(1, Ordering::Relaxed);
        CrowdMember { count, before }
    }
}

impl Drop for CrowdMember<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Several times as quick as a hash that guards a table against names that a client makes up: here such names would
/// only share a count.
fn hash(seed: u64, name: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        product as u64 ^ (product >> 64) as u64
    };
    let (words, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let hash = words
        .iter()
        .fold(seed, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(mix(hash, u64::from_le_bytes(last)), name.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_crowd_is_there_as_long_as_its_members() {
        let crowds = Crowds::new(16);
        let members: Vec<_> = (0..3).map(|_| crowds.enter("a")).collect();
        assert_eq!(
            members.iter().map(|member| member.before).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert_eq!(crowds.enter("a").before, 3);
        drop(members);
        assert_eq!(crowds.enter("a").before, 0);
    }

    #[test]
    fn names_are_spread_over_the_counts_whatever_they_differ_in() {
        const COUNTS: u64 = 1024;
        for name in [
            |n: u64| format!("t:{{GET /{n:04}}}"),
            |n| format!("{n:04} and what all have in common"),
            |n| "x".repeat(n as usize),
            |n| "\0".repeat(n as usize),
        ] {
            for seed in [0, 1, u64::MAX] {
                let counts: HashSet<_> = (0..COUNTS).map(|n| hash(seed, name(n).as_bytes()) % COUNTS).collect();
                // Of so many places, as many random throws hit 63 %.
                assert!((550..750).contains(&counts.len()), "{} of {}", counts.len(), name(7));
            }
        }
    }
}
