//! What a promise can become.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::found::Found;
use super::limits::Limit;
use super::marking::Start;
use super::stream::{Beginning, Outgoing};
use crate::error::Failure;
use crate::key::Label;
use crate::trace::TraceContext;

/// What the leader says of the result.
#[derive(Debug)]
pub(crate) enum Verdict<V> {
    /// Keep the value for this long and give it to all waiters.
    Store(V, std::time::Duration, Option<Start>, Vec<Label>),
    /// No verdict yet: the waiters may have this before there is one.
    Preview(Preview<V>, oneshot::Receiver<Self>),
    /// Give the value to the waiters at this moment, and do not store it.
    Share(V, Option<Start>, Vec<Label>),
    /// There is a result, but not one to share. With a marker, and for how long it stands, if that is to be remembered.
    Pass(Option<(V, std::time::Duration)>),
    /// There is a result, and no room here to keep it for others.
    CrowdedOut,
    /// The computation failed, and whatever stale value is stored may stand in for the result.
    Stale,
    /// There is a result, which says nothing about what others would get: one of the waiters takes over.
    Withdraw,
    /// There is a result that belongs to its own caller: one of the waiters tries next. Whether it is a failure.
    Decline { failed: bool },
    /// The computation failed.
    Fail(Failure),
    /// The value is being made elsewhere: the waiters go on waiting for it.
    Defer,
}

/// Stands for a value that is still being computed: its holder sees the value grow, and how it ends. No store keeps a
/// preview.
#[derive(Debug)]
pub(crate) struct Preview<V> {
    pub(crate) value: V,
    /// As in the verdict.
    pub(crate) start: Option<Start>,
    /// As in the verdict.
    pub(crate) labels: Vec<Label>,
    /// The same for other processes, if they may have it.
    pub(crate) outgoing: Option<Outgoing>,
}

/// What the waiters are told.
#[derive(Debug, Clone)]
pub(crate) enum Outcome<V> {
    /// The value.
    Ready(V),
    /// A value that was softly invalidated: it answers, and is to be computed anew.
    Soft(Found<V>),
    /// The beginning of the value, which another process is making.
    Part(Box<Beginning>),
    /// Every waiter goes its own way, in parallel.
    Pass,
    /// Too much goes on already.
    Limited(Limit),
    /// The computation failed.
    Failed(Failure),
    /// The computation failed, and a stale value may stand in for the result.
    Stale,
}

/// How a flight ends.
#[derive(Debug)]
pub(crate) struct Landed<V> {
    /// An error where there is no outcome: the computation was given up, or its lease was lost to an invalidation or to
    /// another leader. The waiters start again, and one of them takes over. With what is known of the attempts in a row
    /// that came to nothing, if this was one of them.
    pub(crate) outcome: Result<Outcome<V>, Option<Past>>,
    /// What computed it, if that is known.
    pub(crate) by: Option<TraceContext>,
}

/// The trace that the flight's value is computed in, as far as is known. A clone is another handle on the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attribution(Arc<Mutex<Option<TraceContext>>>);

impl Attribution {
    pub(crate) fn set(&self, by: Option<TraceContext>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }

    pub(crate) fn get(&self) -> Option<TraceContext> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The attempts in a row that gave nothing to the waiters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) attempts: u32,
    /// How many of them failed: broke off, or ended in a failure.
    pub(crate) failures: u32,
}

impl Past {
    /// How many more attempts a caller waits for after one that came to nothing: more would be worse than not to wait
    /// at all.
    const MOST: u32 = 1;

    /// With one more attempt.
    pub(crate) fn after(self, failed: bool) -> Self {
        Self {
            attempts: self.attempts.saturating_add(1),
            failures: self.failures.saturating_add(failed.into()),
        }
    }

    /// The one that knows of more attempts.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.max(other.attempts),
            failures: self.failures.max(other.failures),
        }
    }

    /// Whether another attempt may be waited for.
    pub(crate) fn may_go_on(self) -> bool {
        self.attempts <= Self::MOST
    }

    /// Whether the attempt that comes after these is the last that is waited for.
    pub(crate) fn is_last(self) -> bool {
        self.attempts >= Self::MOST
    }
}
