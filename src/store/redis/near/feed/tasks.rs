//! The side of a [`NearFeed`] for the task that prepares near copies, and for invalidations.

use std::sync::Arc;

use tokio::time::Instant;

use super::NearFeed;
use crate::key::Address;
use crate::store::redis::near::tag::{NearNames, NearTag, Switch};

impl NearFeed {
    /// Whether values under a tag that are asked for in this term may be kept.
    pub(in crate::store::redis::near) fn is_proven(&self, tag: &str, term: u64) -> bool {
        self.state().find(tag).is_some_and(|tag| tag.proven == Some(term))
    }

    /// Copies of the value at this address, and of others here under its tag, are wanted. Returns whether that is news.
    pub(in crate::store::redis::near) fn expect(&self, tag: &Arc<NearTag>, address: &Address) -> bool {
        let mut state = self.state();
        let at = state.tag(tag);
        if std::mem::replace(&mut at.copies, true) {
            return false;
        }
        if !at.is_home {
            at.canary = (address.clone(), NearNames::canary_at(address, self.near.process));
        }
        drop(state);
        self.prepare.notify_one();
        true
    }

    /// The set and the channels of a tag are here. Returns whether they are ready for copies.
    pub(in crate::store::redis::near) fn is_home_of(&self, tag: &Arc<NearTag>) -> bool {
        let mut state = self.state();
        let at = state.tag(tag);
        at.come_home();
        at.copies = true;
        at.retry();
        let is_prepared = at.is_prepared();
        drop(state);
        self.prepare.notify_one();
        is_prepared
    }

    /// The set and the channels are on another node. Returns the address with which to find out whether all changes are
    /// heard here, if that is to be done.
    pub(in crate::store::redis::near) fn to_prove(&self, tag: &NearTag) -> Option<(Address, String)> {
        let term = self.lease.term();
        let mut state = self.state();
        let at = state.find(tag.name())?;
        if std::mem::take(&mut at.is_home) {
            // The next value that is asked for here says where copies are wanted.
            at.copies = false;
        }
        (at.is_prepared() && at.proven != Some(term)).then(|| at.canary.clone())
    }

    /// No copies of a tag are wanted here for now.
    pub(in crate::store::redis::near) fn give_up(&self, tag: &NearTag) {
        if let Some(at) = self.state().find(tag.name()) {
            (at.copies, at.proven) = (false, None);
        }
    }

    /// How often the canary was heard so far.
    pub(in crate::store::redis::near) fn canaries(&self, tag: &NearTag) -> u64 {
        self.state().find(tag.name()).map_or(0, |at| at.canaries)
    }

    /// Values that are asked for in this term may be kept.
    pub(in crate::store::redis::near) fn prove(&self, tag: &NearTag, term: u64) {
        if let Some(at) = self.state().find(tag.name()) {
            at.proven = Some(term);
        }
        self.lease.want();
        self.prepare.notify_one();
    }

    /// Whether acknowledgements under a tag can be heard.
    pub(in crate::store::redis::near) fn hears_replies(&self, tag: &NearTag) -> bool {
        let mut state = self.state();
        state.find(tag.name()).is_some_and(|at| at.replies == Switch::On)
    }

    /// Starts to listen for them.
    pub(in crate::store::redis::near) fn listen(&self, tag: &Arc<NearTag>) {
        let mut state = self.state();
        let at = state.tag(tag);
        at.come_home();
        at.answers = true;
        at.retry();
        drop(state);
        self.prepare.notify_one();
    }

    /// Since when the server may have forgotten which processes have copies.
    pub(in crate::store::redis::near) fn unsure_since(&self) -> Option<Instant> {
        let state = self.state();
        match state.connection {
            Some(_) => state.reconnected,
            None => state.was_connected.then(Instant::now),
        }
    }
}
