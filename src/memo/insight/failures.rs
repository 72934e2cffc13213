//! [`FailureRing`]: what failed last.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::key::Readable;
use crate::system::now;

/// How many kinds of failure are kept.
const MOST: usize = 32;

/// One kind of failure.
#[derive(Debug, Clone)]
pub(crate) struct FailureNote {
    /// What failed, in words.
    pub(crate) what: String,
    /// For which key the last time, as it may be shown.
    pub(crate) key: String,
    /// How often.
    pub(crate) count: u64,
    pub(crate) last: SystemTime,
}

/// The kinds of failure that came last, the last one at the end. A failure that comes again and again takes one place.
#[derive(Default)]
pub(super) struct FailureRing(Mutex<VecDeque<FailureNote>>);

impl FailureRing {
    fn notes(&self) -> MutexGuard<'_, VecDeque<FailureNote>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, whose: Readable<'_>, what: fmt::Arguments<'_>) {
        let what = what
            .as_str()
            .map_or_else(|| Readable(&what.to_string()).to_string(), str::to_owned);
        let key = whose.to_string();
        let mut notes = self.notes();
        let known = notes.iter().position(|note| note.what == what);
        let before = known.and_then(|index| notes.remove(index));
        if notes.len() >= MOST {
            notes.pop_front();
        }
        notes.push_back(FailureNote {
            what,
            key,
            count: before.map_or(1, |note| note.count + 1),
            last: now(),
        });
    }

    /// The last one first.
    pub(super) fn latest(&self) -> Vec<FailureNote> {
        self.notes().iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_and_again_takes_one_place_and_the_last_come_first() {
        let failures = FailureRing::default();
        for number in 0..1000 {
            failures.note(Readable(&format!("t:{number}")), format_args!("out of reach"));
        }
        failures.note(Readable("t:a"), format_args!("something else"));
        let shown: Vec<_> = failures.latest();
        let shown: Vec<_> = shown.iter().map(|note| (&*note.what, &*note.key, note.count)).collect();
        assert_eq!(shown, [("something else", "t:a", 1), ("out of reach", "t:999", 1000)]);
    }

    #[test]
    fn they_are_few_and_short() {
        let failures = FailureRing::default();
        for number in 0..1000 {
            let long = "x".repeat(10_000);
            failures.note(Readable(&long), format_args!("{number}\n{long}"));
        }
        let kept = failures.latest();
        assert_eq!(kept.len(), MOST);
        assert!(kept.iter().all(|note| note.what.len() < 300 && note.key.len() < 300));
        assert!(kept[0].what.starts_with("999\\n"));
    }
}
