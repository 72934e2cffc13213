//! Invalidations that Redis has not acknowledged: the store keeps them until it has, and heeds them itself meanwhile.
//!
//! Each is idempotent: if its answer was lost, it is simply sent again. Where a tag has too many, one invalidation of
//! all that is stored under the tag takes their place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::counter::{Counter, Gauge};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Label, Tag};
use crate::store::Stamp;
use crate::store::redis::stats::figures;

/// How many are kept one by one, in some ten megabytes.
const MOST: usize = 65_536;

/// One thing that is out of date.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Debt {
    /// The value and the lock at an address.
    Value(Address),
    /// Every value with one of these labels.
    Labels(Tag, Vec<Label>),
    /// Every value with a stamp under a tag.
    Stamped(Tag),
    /// Every value under a tag, and all locks.
    Tag(Tag),
}

/// The invalidations that Redis is owed.
pub(super) struct Backlog {
    owed: Mutex<Owed>,
    /// Whether there is anything, so that a read does not take the lock to learn that there is nothing.
    any: AtomicBool,
    /// Told where a caller needs the invalidations to be done soon.
    hurry: Notify,
    paid: Notify,
    pending: Gauge,
    deferred: Counter,
    most: usize,
}

#[derive(Default)]
struct Owed {
    /// With the number under which each was added last. An invalidation that is added again while it is being sent is
    /// sent once more.
    debts: HashMap<Debt, u64>,
    /// The tags under which no stored value counts.
    tags: Vec<Tag>,
    last: u64,
    /// Whether a task sees to it.
    attended: bool,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self {
            owed: Mutex::default(),
            any: AtomicBool::new(false),
            hurry: Notify::new(),
            paid: Notify::new(),
            pending: Gauge::new(figures::PENDING_INVALIDATIONS.alone()),
            deferred: Counter::new(figures::DEFERRED_INVALIDATIONS.alone()),
            most: MOST,
        }
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the invalidation. Returns whether the caller has to start the task that sees to it.
    #[must_use]
    pub(super) fn add(&self, debt: Debt) -> bool {
        let mut owed = self.owed();
        let before = owed.debts.len();
        match debt {
            // One by one, or each new set of labels would count as another one.
            Debt::Labels(tag, labels) => {
                for label in labels {
                    owed.insert(Debt::Labels(tag.clone(), vec![label]), self.most);
                }
            }
            debt => owed.insert(debt, self.most),
        }
        self.deferred.add();
        self.any.store(!owed.debts.is_empty(), Ordering::Release);
        self.count(before, owed.debts.len());
        !std::mem::replace(&mut owed.attended, true)
    }

    fn count(&self, before: usize, after: usize) {
        self.pending.add(after.saturating_sub(before) as u64);
        self.pending.subtract(before.saturating_sub(after) as u64);
    }

    /// All of it in the order in which it was added, with the numbers that [`remove`](Self::remove) takes.
    pub(super) fn all(&self) -> Vec<(Debt, u64)> {
        let debts = self.owed().debts.clone();
        let mut all: Vec<_> = debts.into_iter().collect();
        all.sort_unstable_by_key(|(_, number)| *number);
        all
    }

    /// Forgets acknowledged invalidations, except those that were added once more.
    pub(super) fn remove(&self, debt: &Debt, number: u64) {
        let mut owed = self.owed();
        let before = owed.debts.len();
        if owed.debts.get(debt) == Some(&number) {
            owed.debts.remove(debt);
            if let Debt::Tag(tag) = debt {
                owed.tags.retain(|other| other != tag);
            }
        }
        self.any.store(!owed.debts.is_empty(), Ordering::Release);
        self.count(before, owed.debts.len());
    }

    /// Ends the task that sees to it, where there is nothing left.
    pub(super) fn leave(&self) -> bool {
        let mut owed = self.owed();
        let done = owed.debts.is_empty();
        if done {
            owed.attended = false;
            self.paid.notify_waiters();
        }
        done
    }

    /// The task that sees to it has ended before it was done.
    pub(super) fn abandon(&self) -> usize {
        let mut owed = self.owed();
        owed.attended = false;
        owed.debts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.get()
    }

    pub(super) fn deferred(&self) -> u64 {
        self.deferred.get()
    }

    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    pub(super) async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// Resolves once nothing is pending.
    pub(super) async fn empty(&self) {
        loop {
            let mut paid = std::pin::pin!(self.paid.notified());
            paid.as_mut().enable();
            if self.is_empty() {
                return;
            }
            self.hurry();
            paid.await;
        }
    }

    /// Whether a value that Redis has at this address does not count.
    pub(super) fn covers(&self, address: &Address) -> bool {
        if self.is_empty() {
            return false;
        }
        let owed = self.owed();
        owed.tags.iter().any(|tag| tag.as_str() == address.tag())
            || owed.debts.contains_key(&Debt::Value(address.clone()))
    }

    /// An error where a value that Redis has at this address does not count: the caller goes on without the store.
    pub(super) fn check(&self, address: &Address) -> Result<(), StoreError> {
        match self.covers(address) {
            true => Err(self.refusal()),
            false => Ok(()),
        }
    }

    /// An error where no generation under this tag counts.
    pub(super) fn check_generation(&self, tag: &Tag) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        let covered = self.owed().covers_tag(tag);
        if covered { Err(self.refusal()) } else { Ok(()) }
    }

    /// Whether a value with this stamp does not count.
    pub(super) fn covers_stamp(&self, tag: &Tag, stamp: &Stamp) -> bool {
        if self.is_empty() {
            return false;
        }
        let owed = self.owed();
        let is_owed = |label: &Label| {
            let debt = Debt::Labels(tag.clone(), vec![label.clone()]);
            owed.debts.contains_key(&debt)
        };
        owed.covers_tag(tag) || stamp.labels().iter().any(is_owed)
    }

    fn refusal(&self) -> StoreError {
        self.hurry();
        StoreError::with_source(StoreErrorKind::Unavailable, "an invalidation is pending")
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.pending.subtract(self.pending.get());
    }
}

impl Owed {
    fn insert(&mut self, debt: Debt, most: usize) {
        self.last += 1;
        let covered = self.tags.iter().any(|tag| tag.as_str() == debt.tag());
        let is_whole = matches!(debt, Debt::Tag(_));
        if !covered && !is_whole && (self.debts.len() < most || self.debts.contains_key(&debt)) {
            self.debts.insert(debt, self.last);
            return;
        }
        let Ok(tag) = Tag::new(debt.tag()) else { return };
        if !covered {
            tracing::error!(
                tag = tag.as_str(),
                "too many invalidations are pending: all that is stored under the tag counts as out of date"
            );
            self.debts.retain(|debt, _| debt.tag() != tag.as_str());
            self.tags.push(tag.clone());
        }
        self.debts.insert(Debt::Tag(tag), self.last);
    }

    fn covers_tag(&self, tag: &Tag) -> bool {
        self.tags.contains(tag) || self.debts.contains_key(&Debt::Stamped(tag.clone()))
    }
}

impl Debt {
    fn tag(&self) -> &str {
        match self {
            Self::Value(address) => address.tag(),
            Self::Labels(tag, _) | Self::Stamped(tag) | Self::Tag(tag) => tag.as_str(),
        }
    }
}

#[cfg(test)]
mod tests;
