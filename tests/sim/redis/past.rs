//! [`Past`]: what the keys of the server have had and when, to say whether a copy is right.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::checks::computation_in;

type Name = (usize, String);

#[derive(Default)]
pub(crate) struct Past(BTreeMap<Name, Vec<Version>>);

/// What was there until then, or is there still.
struct Version {
    until: Option<Instant>,
    computation: Option<usize>,
    is_soft: bool,
}

impl Past {
    /// From now on there is this, or nothing.
    pub(crate) fn note(&mut self, (database, key): (usize, &[u8]), value: Option<&[u8]>, until: Option<Instant>) {
        let Ok(name) = std::str::from_utf8(key) else { return };
        let now = Instant::now();
        if !is_value(name) {
            return;
        }
        let versions = self.0.entry((database, name.to_owned())).or_default();
        end(versions, now);
        if let Some(bytes) = value {
            versions.push(Version {
                until,
                computation: computation_in(bytes).map(|(_, number)| number),
                is_soft: is_soft(bytes),
            });
        }
    }

    /// Nothing is there any more.
    pub(crate) fn forget(&mut self) {
        let now = Instant::now();
        self.0.values_mut().for_each(|versions| end(versions, now));
    }

    /// All that there ever was, by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// Whether that was there at some moment of this while.
    pub(crate) fn had(&self, name: &Name, (computation, is_soft): (usize, bool), lag: Duration) -> bool {
        let since = Instant::now() - lag;
        let versions = self.0.get(name);
        versions.into_iter().flatten().any(|version| {
            version.computation == Some(computation)
                && version.is_soft == is_soft
                && version.until.is_none_or(|until| until > since)
        })
    }
}

fn end(versions: &mut [Version], now: Instant) {
    if let Some(last) = versions.last_mut() {
        last.until = Some(last.until.map_or(now, |until| until.min(now)));
    }
}

/// Whether values have such names, and nothing else.
fn is_value(name: &str) -> bool {
    let tag = name.split_once(':').map(|(tag, _)| tag);
    tag.is_some_and(|tag| ["like", "item", "made", "page"].contains(&tag))
}

/// Whether the envelope of the value says that it was softly invalidated.
fn is_soft(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xd5, b'M', b'L', b'S']) && bytes.get(16) == Some(&2)
}
