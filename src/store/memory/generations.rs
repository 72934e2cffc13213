//! [`MemoryGenerations`]: what was invalidated under each tag, and when.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::key::{Label, Tag};
use crate::store::{Generation, Stamp};

/// How many labels are remembered under one tag. What is older than all of them is out of date.
const MOST: usize = 1 << 16;

/// By tag. One that is not here has never been asked for, or everything under it has been invalidated.
#[derive(Default)]
pub(super) struct MemoryGenerations(RwLock<LabelsByTag>);

#[derive(Default)]
struct LabelsByTag {
    /// How many there have been, under all tags.
    incarnations: u64,
    known: HashMap<String, History>,
}

struct History {
    now: Generation,
    /// What began in an earlier one is out of date, because it is not remembered any more what was invalidated then.
    floor: u64,
    /// When each label was invalidated last.
    labels: HashMap<Label, u64>,
    by_age: BTreeSet<(u64, Label)>,
}

impl MemoryGenerations {
    pub(super) fn now(&self, tag: &Tag) -> Generation {
        if let Some(history) = self.read().known.get(tag.as_str()) {
            return history.now;
        }
        let mut tags = self.write();
        let incarnation = tags.incarnations + 1;
        tags.incarnations = incarnation;
        let history = tags.known.entry(tag.as_str().to_owned());
        history.or_insert_with(|| History::new(incarnation)).now
    }

    pub(super) fn is_current(&self, tag: &str, stamp: &Stamp) -> bool {
        let tags = self.read();
        let history = tags.known.get(tag);
        history.is_some_and(|history| history.is_current(stamp))
    }

    pub(super) fn invalidate(&self, tag: &Tag, labels: &[Label]) {
        // What is not known has no stamp that is current.
        if let Some(history) = self.write().known.get_mut(tag.as_str()) {
            history.invalidate(labels, MOST);
        }
    }

    pub(super) fn invalidate_all(&self, tag: &Tag) {
        self.write().known.remove(tag.as_str());
    }

    fn read(&self) -> RwLockReadGuard<'_, LabelsByTag> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, LabelsByTag> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    fn new(incarnation: u64) -> Self {
        Self {
            now: Generation { incarnation, number: 0 },
            floor: 0,
            labels: HashMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    fn is_current(&self, stamp: &Stamp) -> bool {
        let Generation { incarnation, number } = stamp.generation();
        let is_current = |label| self.labels.get(label).is_none_or(|invalidated| *invalidated <= number);
        incarnation == self.now.incarnation && number >= self.floor && stamp.labels().iter().all(is_current)
    }

    fn invalidate(&mut self, labels: &[Label], most: usize) {
        self.now.number += 1;
        for label in labels {
            if let Some(before) = self.labels.insert(label.clone(), self.now.number) {
                self.by_age.remove(&(before, label.clone()));
            }
            self.by_age.insert((self.now.number, label.clone()));
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

    #[test]
    fn what_is_forgotten_is_out_of_date() {
        let mut history = History::new(1);
        let labels = Label::all(&["a", "b", "c", "d"]).unwrap();
        let stamp = |history: &History, label: &Label| Stamp::new(history.now, vec![label.clone()]);
        let first: Vec<_> = labels.iter().map(|label| stamp(&history, label)).collect();
        history.invalidate(&labels[..1], 2);
        history.invalidate(&labels[..1], 2);
        history.invalidate(&labels[1..2], 2);
        let later = stamp(&history, &labels[3]);
        assert_eq!(
            first.iter().map(|stamp| history.is_current(stamp)).collect::<Vec<_>>(),
            [false, false, true, true]
        );
        // The oldest is forgotten, and with it everything from before it.
        history.invalidate(&labels[2..3], 2);
        assert!(first.iter().all(|stamp| !history.is_current(stamp)));
        assert!(history.is_current(&later));
        assert_eq!((history.labels.len(), history.by_age.len()), (2, 2));
    }
}
