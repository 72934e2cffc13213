//! [`Pages`]: responses to one target with different queries.

use std::collections::{HashMap, VecDeque};

use super::evidence::{FieldEvidence, PartDigests, differing};

/// How many pages are remembered, and how many responses to each.
const MOST_PAGES: usize = 1024;
const MOST_SAMPLES: usize = 8;

/// The last responses to each target, by a digest of what is in front of its query.
#[derive(Default)]
pub(super) struct Pages(HashMap<u64, VecDeque<PageSample>>);

struct PageSample {
    parameters: PartDigests,
    digest: [u8; 16],
}

impl Pages {
    /// Compares a response with those to other queries, and remembers it.
    pub(super) fn learn(&mut self, page: u64, parameters: PartDigests, digest: [u8; 16], evidence: &mut FieldEvidence) {
        if parameters.is_empty() && !self.0.contains_key(&page) {
            return;
        }
        if self.0.len() >= MOST_PAGES {
            self.0.retain(|page, _| page & 1 == 0);
        }
        let samples = self.0.entry(page).or_default();
        for sample in samples.iter() {
            let differing = differing(&parameters, &sample.parameters);
            if !differing.is_empty() {
                evidence.add(&differing, digest == sample.digest);
            }
        }
        samples.retain(|sample| sample.parameters != parameters);
        if samples.len() >= MOST_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(PageSample { parameters, digest });
    }
}
