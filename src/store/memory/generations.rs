//! [`MemoryGenerations`]: what was invalidated under each tag, and when.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use crate::key::{Label, Tag};
use crate::store::{Generation, Stamp, Standing};
use crate::system;

/// How many labels are remembered under one tag. A stamp that is older than all of them is out of date.
const MOST: usize = 1 << 16;

/// By tag. A tag that is not here has never been asked for, or everything under it has been invalidated.
#[derive(Default)]
pub(super) struct MemoryGenerations(RwLock<LabelsByTag>);

#[derive(Default)]
struct LabelsByTag {
    /// How many there have been, under all tags.
    incarnations: u64,
    /// The greatest number of a generation under a tag that is forgotten: later generations have greater numbers.
    latest: u64,
    known: HashMap<String, History>,
}

/// What was invalidated, and when: in the generations that began with it.
#[derive(Clone, Copy, Default)]
struct LabelMark {
    hard: u64,
    soft: Option<(u64, SystemTime)>,
}

struct History {
    now: Generation,
    /// A stamp of an earlier generation is out of date, because the store does not remember what was invalidated then.
    floor: u64,
    /// When each label was invalidated last.
    labels: HashMap<Label, LabelMark>,
    /// When everything was softly invalidated last.
    all: LabelMark,
    by_age: BTreeSet<(u64, Label)>,
}

impl MemoryGenerations {
    pub(super) fn now(&self, tag: &Tag) -> Generation {
        if let Some(history) = self.read().known.get(tag.as_str()) {
            return history.now;
        }
        let mut tags = self.write();
        tags.incarnations += 1;
        let first = Generation {
            incarnation: tags.incarnations,
            number: tags.latest + 1,
        };
        let history = tags.known.entry(tag.as_str().to_owned());
        history.or_insert_with(|| History::new(first)).now
    }

    pub(super) fn begin(&self, tag: &Tag) -> Generation {
        let before = self.now(tag);
        let mut tags = self.write();
        let Some(history) = tags.known.get_mut(tag.as_str()) else {
            return before;
        };
        history.now.number += 1;
        history.now
    }

    pub(super) fn standing(&self, tag: &str, stamp: &Stamp) -> Standing {
        let tags = self.read();
        let history = tags.known.get(tag);
        history.map_or(Standing::Outdated, |history| history.standing(stamp))
    }

    pub(super) fn invalidate(&self, tag: &Tag, labels: &[Label]) {
        // Under an unknown tag no stamp is current.
        if let Some(history) = self.write().known.get_mut(tag.as_str()) {
            history.invalidate(labels, None, MOST);
        }
    }

    pub(super) fn soften(&self, tag: &Tag, labels: &[Label]) {
        if let Some(history) = self.write().known.get_mut(tag.as_str()) {
            history.invalidate(labels, Some(system::now()), MOST);
        }
    }

    pub(super) fn soften_all(&self, tag: &Tag) {
        if let Some(history) = self.write().known.get_mut(tag.as_str()) {
            history.now.number += 1;
            history.all.soft = Some((history.now.number, system::now()));
        }
    }

    pub(super) fn invalidate_all(&self, tag: &Tag) {
        let mut tags = self.write();
        if let Some(history) = tags.known.remove(tag.as_str()) {
            tags.latest = tags.latest.max(history.now.number);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, LabelsByTag> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, LabelsByTag> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LabelMark {
    fn last(self) -> u64 {
        self.hard.max(self.soft.map_or(0, |(generation, _)| generation))
    }
}

impl History {
    fn new(now: Generation) -> Self {
        Self {
            now,
            floor: 0,
            labels: HashMap::new(),
            all: LabelMark::default(),
            by_age: BTreeSet::new(),
        }
    }

    fn standing(&self, stamp: &Stamp) -> Standing {
        let Generation { incarnation, number } = stamp.generation();
        if incarnation != self.now.incarnation || number < self.floor {
            return Standing::Outdated;
        }
        let labels = stamp.labels().iter().filter_map(|label| self.labels.get(label));
        let mut soft = None;
        for mark in labels.chain([&self.all]) {
            if mark.hard > number {
                return Standing::Outdated;
            }
            let since = mark.soft.filter(|(generation, _)| *generation > number);
            soft = soft.into_iter().chain(since.map(|(_, since)| since)).min();
        }
        soft.map_or(Standing::Current, |since| Standing::Soft { since })
    }

    /// Invalidates the labels, softly where there is a time.
    fn invalidate(&mut self, labels: &[Label], soft_since: Option<SystemTime>, most: usize) {
        self.now.number += 1;
        let now = self.now.number;
        for label in labels {
            let mark = self.labels.entry(label.clone()).or_default();
            let before = mark.last();
            match soft_since {
                Some(since) => mark.soft = Some((now, since)),
                None => mark.hard = now,
            }
            self.by_age.remove(&(before, label.clone()));
            self.by_age.insert((now, label.clone()));
        }
        while self.labels.len() > most {
            let Some((number, label)) = self.by_age.pop_first() else {
                break;
            };
            self.labels.remove(&label);
            self.floor = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_current(history: &History, stamp: &Stamp) -> bool {
        history.standing(stamp) == Standing::Current
    }

    #[test]
    fn what_is_forgotten_is_out_of_date() {
        let mut history = History::new(Generation {
            incarnation: 1,
            number: 0,
        });
        let labels = Label::all(&["a", "b", "c", "d"]).unwrap();
        let stamp = |history: &History, label: &Label| Stamp::new(history.now, vec![label.clone()]);
        let first: Vec<_> = labels.iter().map(|label| stamp(&history, label)).collect();
        history.invalidate(&labels[..1], None, 2);
        history.invalidate(&labels[..1], None, 2);
        history.invalidate(&labels[1..2], None, 2);
        let later = stamp(&history, &labels[3]);
        assert_eq!(
            first
                .iter()
                .map(|stamp| is_current(&history, stamp))
                .collect::<Vec<_>>(),
            [false, false, true, true]
        );
        // The store forgets the oldest label. Every stamp from before it is then out of date.
        history.invalidate(&labels[2..3], None, 2);
        assert!(first.iter().all(|stamp| !is_current(&history, stamp)));
        assert!(is_current(&history, &later));
        assert_eq!((history.labels.len(), history.by_age.len()), (2, 2));
    }

    #[test]
    fn a_generation_is_later_than_all_before_it_whatever_is_forgotten() {
        let generations = MemoryGenerations::default();
        let tags = ["t", "u"].map(|tag| Tag::new(tag).unwrap());
        let mut last = 0;
        for tag in [&tags[0], &tags[0], &tags[1], &tags[0]] {
            let began = generations.begin(tag).number;
            assert!(began > last, "{began} after {last}");
            generations.invalidate_all(tag);
            last = began;
        }
    }
}
