//! What a promise can become.

#[cfg(feature = "http")]
use tokio::sync::oneshot;

use super::marking::Start;
use crate::error::Failure;
use crate::key::Label;

/// What the one who computed says of the result.
#[derive(Debug)]
pub(crate) enum Verdict<V> {
    /// Keep the value for this long and give it to everybody.
    Store(V, std::time::Duration, Option<Start>, Vec<Label>),
    /// None yet: those who wait may have this before it.
    #[cfg(feature = "http")]
    Preview(Preview<V>, oneshot::Receiver<Self>),
    /// Give the value to those who wait at this moment, and keep it for nobody.
    Share(V, Option<Start>, Vec<Label>),
    /// There is a result, but not one to share. With a marker, and for how long it stands, if that is to be remembered.
    #[cfg(feature = "http")]
    Pass(Option<(V, std::time::Duration)>),
    /// The computation failed, and whatever stale value is stored may stand in for the result.
    #[cfg(feature = "http")]
    Stale,
    /// There is a result, which says nothing about what others would get: one of those who wait takes over.
    #[cfg(feature = "http")]
    Withdraw,
    /// The computation failed.
    Fail(Failure),
    /// The value is being made elsewhere: those who wait go on waiting for it.
    Defer,
}

/// What stands for a value that is still being computed: whoever has it sees the value grow, and how it ends. Nobody
/// stores it.
#[cfg(feature = "http")]
#[derive(Debug)]
pub(crate) struct Preview<V> {
    pub(crate) value: V,
    /// As of the value.
    pub(crate) start: Option<Start>,
    /// As of the value.
    pub(crate) labels: Vec<Label>,
}

/// What those who wait are told.
#[derive(Debug, Clone)]
pub(crate) enum Outcome<V> {
    /// The value.
    Ready(V),
    /// Everybody goes their own way, in parallel.
    Pass,
    /// The computation failed.
    Failed(Failure),
    /// The computation failed, and a stale value may stand in for the result.
    Stale,
    /// The computation was given up, or its lease was lost to an invalidation or to another leader: whoever waited
    /// starts again, and one of them takes over. With how many computations in a row are known to have broken off.
    Again(u32),
}
