//! [`FieldEvidence`]: which parts of requests go with different responses.
//!
//! Two requests that would have had one response are a *pair*. A part of the requests, a field or a parameter of the
//! query, is either the same in both or not, and so are the responses. A part that is missing in the key differs where
//! the responses differ, and is the same where they are the same.

use std::collections::HashMap;

/// How many names are told apart. A part with another name counts for nothing.
const MOST_NAMES: usize = 96;

/// The longest name, in bytes.
const MOST_NAME: usize = 64;

/// Names by numbers.
#[derive(Default)]
pub(super) struct Names {
    numbers: HashMap<Box<str>, usize>,
    names: Vec<Box<str>>,
}

/// Digests of the parts of a request by the number of their name, in ascending order.
pub(super) type PartDigests = Box<[(usize, u64)]>;

impl Names {
    pub(super) fn number<'a>(&mut self, parts: impl Iterator<Item = (&'a str, u64)>) -> PartDigests {
        let numbered = parts.filter_map(|(name, digest)| Some((self.of(name)?, digest)));
        let mut numbered: Vec<_> = numbered.collect();
        numbered.sort_unstable();
        numbered.into()
    }

    fn of(&mut self, name: &str) -> Option<usize> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        if self.names.len() >= MOST_NAMES || name.len() > MOST_NAME {
            return None;
        }
        self.numbers.insert(name.into(), self.names.len());
        self.names.push(name.into());
        Some(self.names.len() - 1)
    }

    pub(super) fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", |name| name)
    }
}

/// The parts of one request in which it differs from another, and those that it lacks, as zero.
pub(super) fn differing(one: &[(usize, u64)], other: &[(usize, u64)]) -> Vec<(usize, u64)> {
    let own = one.iter().filter(|part| !other.contains(part)).copied();
    let lacks = |number: usize| !one.iter().any(|(own, _)| *own == number);
    let lacking = other.iter().filter(|(number, _)| lacks(*number));
    own.chain(lacking.map(|(number, _)| (*number, 0))).collect()
}

/// What the pairs that differ in one part tell of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FieldTally {
    /// Pairs whose responses differ as well.
    pub(super) different: u64,
    /// Pairs whose responses do not.
    pub(super) same: u64,
    /// Of both kinds, the pairs that differ in nothing else.
    alone_different: u64,
    alone_same: u64,
    /// The last digests, and whether one of them came again. A value that never comes again identifies a request, and
    /// no response could depend on it.
    last: [Option<u64>; 4],
    recurs: bool,
}

#[derive(Default)]
pub(super) struct FieldEvidence {
    different: u64,
    same: u64,
    tallies: HashMap<usize, FieldTally>,
}

impl FieldEvidence {
    /// Counts a pair that differs in these parts.
    pub(super) fn add(&mut self, differing: &[(usize, u64)], is_same: bool) {
        let count = |same: &mut u64, different: &mut u64| *(if is_same { same } else { different }) += 1;
        count(&mut self.same, &mut self.different);
        for (number, digest) in differing {
            let tally = self.tallies.entry(*number).or_default();
            if tally.last.contains(&Some(*digest)) {
                tally.recurs = true;
            } else {
                tally.last.rotate_right(1);
                tally.last[0] = Some(*digest);
            }
            count(&mut tally.same, &mut tally.different);
            if differing.len() == 1 {
                count(&mut tally.alone_same, &mut tally.alone_different);
            }
        }
    }

    /// The parts that go with different responses, those first that explain most.
    pub(super) fn missing(&self) -> Vec<(usize, FieldTally)> {
        let explains = |tally: &FieldTally| {
            let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
            let (different, same) = (self.different - tally.different, self.same - tally.same);
            let where_it_differs = share(tally.different, tally.different + tally.same);
            let elsewhere = share(different, different + same);
            // Some pairs have to speak for this part and for no other.
            let recurs = tally.recurs || self.different + self.same < 3;
            let is_seen = same > 0 || (tally.alone_different > 0 && recurs);
            is_seen && where_it_differs >= 0.5 && where_it_differs >= elsewhere + 0.4
        };
        let all = self.tallies.iter().filter(|(_, tally)| explains(tally));
        let mut missing: Vec<_> = all.map(|(number, tally)| (*number, *tally)).collect();
        missing.sort_unstable_by_key(|(number, tally)| (std::cmp::Reverse(tally.different), *number));
        missing
    }

    /// The parts that alone have never made a difference, with how many pairs say so: three at least.
    pub(super) fn idle(&self) -> Vec<(usize, u64)> {
        let idle = |tally: &FieldTally| tally.alone_different == 0 && tally.alone_same >= 3;
        let all = self.tallies.iter().filter(|(_, tally)| idle(tally));
        let mut idle: Vec<_> = all.map(|(number, tally)| (*number, tally.alone_same)).collect();
        idle.sort_unstable();
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANGUAGE: usize = 0;
    const AGENT: usize = 1;
    const REQUEST_ID: usize = 2;

    /// Pairs of requests that differ in these parts. Each request has another identifier.
    fn add(evidence: &mut FieldEvidence, differing: &[usize], is_same: bool) {
        let digest = |number: usize| match number {
            REQUEST_ID => evidence.different + evidence.same,
            _ => 7,
        };
        let differing: Vec<_> = differing.iter().map(|number| (*number, digest(*number))).collect();
        evidence.add(&differing, is_same);
    }

    #[test]
    fn a_part_that_goes_with_the_responses_is_missing_and_one_that_always_differs_is_not() {
        let mut evidence = FieldEvidence::default();
        add(&mut evidence, &[LANGUAGE, REQUEST_ID], false);
        add(&mut evidence, &[REQUEST_ID], true);
        add(&mut evidence, &[AGENT, REQUEST_ID], true);
        add(&mut evidence, &[LANGUAGE, AGENT, REQUEST_ID], false);
        let missing: Vec<_> = evidence.missing().iter().map(|(number, _)| *number).collect();
        assert_eq!(missing, [LANGUAGE]);
    }

    #[test]
    fn where_each_response_differs_no_part_is_to_blame() {
        let mut evidence = FieldEvidence::default();
        for differing in [&[][..], &[REQUEST_ID], &[REQUEST_ID, AGENT], &[]] {
            add(&mut evidence, differing, false);
        }
        assert_eq!(evidence.missing(), []);
        let mut evidence = FieldEvidence::default();
        for _ in 0..10 {
            add(&mut evidence, &[REQUEST_ID], false);
        }
        assert_eq!(evidence.missing(), []);
    }

    #[test]
    fn one_pair_is_enough_where_it_differs_in_nothing_else() {
        let mut evidence = FieldEvidence::default();
        add(&mut evidence, &[LANGUAGE], false);
        assert_eq!(evidence.missing()[0].0, LANGUAGE);
        let mut evidence = FieldEvidence::default();
        add(&mut evidence, &[LANGUAGE, AGENT], false);
        assert_eq!(evidence.missing(), []);
    }

    #[test]
    fn a_part_without_effect_is_idle() {
        let mut evidence = FieldEvidence::default();
        for _ in 0..3 {
            add(&mut evidence, &[AGENT], true);
            add(&mut evidence, &[LANGUAGE], true);
        }
        add(&mut evidence, &[LANGUAGE], false);
        add(&mut evidence, &[REQUEST_ID, AGENT], true);
        assert_eq!(evidence.idle(), [(AGENT, 3)]);
    }

    #[test]
    fn a_part_that_one_lacks_differs() {
        let parts = differing(&[(0, 1), (1, 1), (3, 9)], &[(0, 1), (1, 2), (2, 5)]);
        assert_eq!(parts, [(1, 1), (3, 9), (2, 0)]);
    }

    #[test]
    fn names_are_few_and_short() {
        let mut names = Names::default();
        let many: Vec<_> = (0..1000).map(|number| format!("x-{number}")).collect();
        let parts = names.number(many.iter().map(|name| (name.as_str(), 1)));
        assert_eq!(parts.len(), MOST_NAMES);
        let long = "x".repeat(MOST_NAME + 1);
        assert!(Names::default().number([(long.as_str(), 1)].into_iter()).is_empty());
    }
}
