//! [`Labels`]: the generations of a tag, and what was invalidated in them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tower_memolock::store::{Generation, Stamp, Standing};

use super::{Sender, Server, time_of_day};

/// How many labels are remembered under a tag. Few, so that some are forgotten.
const MOST_LABELS: usize = 4;

pub(super) struct Labels {
    now: Generation,
    floor: u64,
    invalidated: BTreeMap<String, Mark>,
    /// When everything was softly invalidated last.
    all: Mark,
}

/// In which generations something was invalidated last.
#[derive(Clone, Copy, Default)]
struct Mark {
    hard: u64,
    soft: Option<(u64, SystemTime)>,
}

impl Mark {
    fn last(self) -> u64 {
        self.hard.max(self.soft.map_or(0, |(number, _)| number))
    }
}

impl Labels {
    fn new(now: Generation) -> Self {
        Self {
            now,
            floor: 0,
            invalidated: BTreeMap::new(),
            all: Mark::default(),
        }
    }

    fn standing(&self, stamp: &Stamp) -> Standing {
        let Generation { incarnation, number } = stamp.generation();
        let labels = stamp.labels().iter();
        let known = labels.filter_map(|label| self.invalidated.get(label.as_str()));
        let marks: Vec<_> = known.chain([&self.all]).collect();
        let is_of_now = incarnation == self.now.incarnation && number >= self.floor;
        if !is_of_now || marks.iter().any(|mark| mark.hard > number) {
            return Standing::Outdated;
        }
        let soft = marks
            .iter()
            .filter_map(|mark| mark.soft.filter(|(last, _)| *last > number));
        let since = soft.map(|(_, since)| since).min();
        since.map_or(Standing::Current, |since| Standing::Soft { since })
    }

    /// Invalidates them, softly where there is a time.
    fn invalidate(&mut self, names: &[String], soft_since: Option<SystemTime>) {
        self.now.number += 1;
        for name in names {
            let mark = self.invalidated.entry(name.clone()).or_default();
            match soft_since {
                Some(since) => mark.soft = Some((self.now.number, since)),
                None => mark.hard = self.now.number,
            }
        }
        while self.invalidated.len() > MOST_LABELS {
            let oldest = self.invalidated.iter().min_by_key(|(_, mark)| mark.last());
            let Some((name, number)) = oldest.map(|(name, mark)| (name.clone(), mark.last())) else {
                return;
            };
            self.invalidated.remove(&name);
            self.floor = self.floor.max(number);
        }
    }
}

impl Server {
    pub(crate) fn generation(&mut self, from: &Sender) -> Generation {
        self.labels(from).now
    }

    fn labels(&mut self, from: &Sender) -> &mut Labels {
        let (incarnation, number) = (from.sim.rng().next(), 1000 * from.sim.moment());
        let labels = self.generations.entry(from.address.clone());
        labels.or_insert_with(|| Labels::new(Generation { incarnation, number }))
    }

    pub(crate) fn begin_generation(&mut self, from: &Sender) -> Generation {
        let labels = self.labels(from);
        labels.now.number += 1;
        labels.now
    }

    pub(crate) fn standing(&self, from: &Sender, stamp: &Stamp) -> Standing {
        let labels = self.generations.get(&from.address);
        let standing = labels.map_or(Standing::Outdated, |labels| labels.standing(stamp));
        from.sim.made(match standing {
            Standing::Current => "standing: current",
            Standing::Soft { .. } => "standing: soft",
            Standing::Outdated => "standing: outdated",
        });
        standing
    }

    pub(crate) fn invalidate_labels(&mut self, from: &Sender, names: &[String]) {
        if let Some(labels) = self.generations.get_mut(&from.address) {
            from.sim.made("invalidate_labels: a new generation");
            labels.invalidate(names, None);
        }
    }

    pub(crate) fn soften_labels(&mut self, from: &Sender, names: &[String]) {
        if let Some(labels) = self.generations.get_mut(&from.address) {
            from.sim.made("soften_labels: a new generation");
            labels.invalidate(names, Some(time_of_day(from)));
        }
    }

    pub(crate) fn soften_all(&mut self, from: &Sender) {
        if let Some(labels) = self.generations.get_mut(&from.address) {
            from.sim.made("soften_all: a new generation");
            labels.now.number += 1;
            labels.all.soft = Some((labels.now.number, time_of_day(from)));
        }
    }

    pub(crate) fn invalidate_all(&mut self, from: &Sender) {
        from.sim.made("invalidate_all: a new incarnation");
        self.generations.remove(&from.address);
    }
}
