//! [`Keys`]: what one database of the server keeps, and what plain commands do to it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::resp::Answer;

/// Keys with their values.
#[derive(Default)]
pub(crate) struct Keys {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// What has changed since that was taken.
    changed: Vec<Vec<u8>>,
}

struct Entry {
    kept: Kept,
    expires: Option<Instant>,
    /// When it was set, and by which node.
    since: (u64, usize),
}

enum Kept {
    Text(Vec<u8>),
    /// Members and their scores.
    Set(BTreeMap<Vec<u8>, u64>),
}

impl Keys {
    fn live(&self, key: &[u8]) -> Option<&Entry> {
        self.entries
            .get(key)
            .filter(|entry| entry.expires.is_none_or(|at| at > Instant::now()))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        match &self.live(key)?.kept {
            Kept::Text(text) => Some(text),
            Kept::Set(_) => None,
        }
    }

    /// When the text there was set, and by which node.
    pub(crate) fn since(&self, key: &[u8]) -> Option<(u64, usize)> {
        self.live(key).map(|entry| entry.since)
    }

    pub(crate) fn set(&mut self, key: &[u8], text: Vec<u8>, time: Duration, since: (u64, usize)) {
        let entry = Entry {
            kept: Kept::Text(text),
            expires: Some(Instant::now() + time),
            since,
        };
        self.entries.insert(key.to_vec(), entry);
        self.changed.push(key.to_vec());
    }

    /// Another text, which ends when that before it would have.
    pub(crate) fn replace(&mut self, key: &[u8], text: Vec<u8>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.kept = Kept::Text(text);
            self.changed.push(key.to_vec());
        }
    }

    pub(crate) fn delete(&mut self, key: &[u8]) -> i64 {
        let was_there = self.live(key).is_some();
        if self.entries.remove(key).is_some() {
            self.changed.push(key.to_vec());
        }
        was_there.into()
    }

    pub(crate) fn expire(&mut self, key: &[u8], time: Duration) -> i64 {
        let is_there = self.live(key).is_some();
        if let Some(entry) = self.entries.get_mut(key).filter(|_| is_there) {
            entry.expires = Some(Instant::now() + time);
            self.changed.push(key.to_vec());
        }
        is_there.into()
    }

    /// The milliseconds that it has left.
    pub(crate) fn left(&self, key: &[u8]) -> i64 {
        match self.live(key).map(|entry| entry.expires) {
            None => -2,
            Some(None) => -1,
            Some(Some(at)) => (at - Instant::now()).as_millis() as i64,
        }
    }

    /// The members, those with the lowest score first.
    pub(crate) fn members(&self, key: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let Some(Entry {
            kept: Kept::Set(set), ..
        }) = self.live(key)
        else {
            return Vec::new();
        };
        let mut members: Vec<_> = set.iter().map(|(member, score)| (member.clone(), *score)).collect();
        members.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        members
    }

    pub(crate) fn score(&self, key: &[u8], member: &[u8]) -> Option<u64> {
        match &self.live(key)?.kept {
            Kept::Set(set) => set.get(member).copied(),
            Kept::Text(_) => None,
        }
    }

    pub(crate) fn add(&mut self, key: &[u8], member: Vec<u8>, score: u64) {
        let entry = self.entries.entry(key.to_vec()).or_insert_with(|| Entry {
            kept: Kept::Set(BTreeMap::new()),
            expires: None,
            since: (0, 0),
        });
        if let Kept::Set(set) = &mut entry.kept
            && set.insert(member, score) != Some(score)
        {
            self.changed.push(key.to_vec());
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8], member: &[u8]) {
        if let Some(Entry {
            kept: Kept::Set(set), ..
        }) = self.entries.get_mut(key)
            && set.remove(member).is_some()
        {
            let is_empty = set.is_empty();
            self.changed.push(key.to_vec());
            if is_empty {
                self.entries.remove(key);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Removes these, and says which.
    pub(crate) fn evict(&mut self, is_it: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
        let names = self.entries.keys().filter(|key| is_it(&String::from_utf8_lossy(key)));
        let names: Vec<_> = names.cloned().collect();
        for key in &names {
            self.delete(key);
        }
        names
    }

    /// Removes the keys among these whose time is over.
    pub(crate) fn lapse(&mut self, keys: &[Vec<u8>]) {
        for key in keys {
            if self.live(key).is_none() {
                self.delete(key);
            }
        }
    }

    /// What has changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.changed)
    }

    /// The text under a key, and when it ends.
    pub(crate) fn version(&self, key: &[u8]) -> (Option<&[u8]>, Option<Instant>) {
        let ends = self.live(key).and_then(|entry| entry.expires);
        (self.get(key), ends)
    }

    /// Whether a lock whose name begins so was set by that node.
    pub(crate) fn is_held(&self, node: usize, lock: &str) -> bool {
        let mut locks = self.entries.keys().filter(|key| key.starts_with(lock.as_bytes()));
        locks.any(|key| self.since(key).is_some_and(|(_, whose)| whose == node))
    }

    /// The locks that have not ended.
    pub(crate) fn locks(&self) -> usize {
        let locks = self
            .entries
            .keys()
            .filter(|key| key.windows(6).any(|part| part == b"/lock:"));
        locks.filter(|key| self.live(key).is_some()).count()
    }
}

/// As `ZREVRANGE key 0 0 WITHSCORES` answers.
pub(crate) fn last_of(members: &[(Vec<u8>, u64)]) -> Answer {
    let last = members.last();
    Answer::Several(last.map_or_else(Vec::new, |(member, score)| {
        vec![Answer::bytes(member), Answer::bytes(score.to_string())]
    }))
}
