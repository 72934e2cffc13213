//! [`Bid`]: one attempt of a keeper to take the lock, and the token that it has for that.
//!
//! A keeper asks with no token twice. The store may carry out a command that it did not answer much later than the
//! commands after it. By then an invalidation may have taken the lock away from a computation. Had that computation the
//! same token, the late command would give it the lock back, and a result from before the invalidation could be stored.

use std::sync::Arc;

use super::Coordinator;
use crate::codec::Codec;
use crate::key::Address;
use crate::store::parts::{PartRequests, Parts};
use crate::store::{Release, Store, Token};
use crate::trace::TraceContext;

pub(super) struct Bid {
    token: Token,
    stage: Stage,
    /// Whether other processes want to read along.
    requests: Option<Arc<PartRequests>>,
}

enum Stage {
    /// The store was not asked yet.
    New,
    /// The token holds the lock, or may come to hold it.
    Open,
    /// The token does not hold the lock, and never will.
    Over,
}

impl Bid {
    /// `parts` is what carries the value to processes that read along, if anything does.
    pub(super) fn new(parts: Option<&dyn Parts>, address: &Address, caller: Option<TraceContext>) -> Self {
        let token = parts.map_or_else(Token::random, Parts::token);
        let token = token.with_trace_context(caller);
        Self {
            token,
            stage: Stage::New,
            // Before the lock can be found held.
            requests: parts.map(|parts| Arc::new(parts.listen(address, token))),
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    /// Says whether another process wants to read along.
    pub(super) fn part_requests(&self) -> Option<Arc<PartRequests>> {
        self.requests.clone()
    }

    /// The store has said that the token does not hold the lock, or was not asked.
    pub(super) fn close(&mut self) {
        self.stage = Stage::Over;
    }
}

/// The token to ask with now, and the one before it, if that may hold the lock.
pub(super) fn open<C: Codec>(coordinator: &Coordinator<C>) -> (Token, Option<Token>) {
    let mut bid = coordinator.bid();
    let earlier = match bid.stage {
        Stage::New => None,
        Stage::Open | Stage::Over => {
            let next = Bid::new(coordinator.parts(), &coordinator.address, bid.token.trace_context());
            let last = std::mem::replace(&mut *bid, next);
            matches!(last.stage, Stage::Open).then_some(last.token)
        }
    };
    bid.stage = Stage::Open;
    (bid.token, earlier)
}

/// Gives back the lock that an earlier bid may have taken, so that this keeper does not wait for itself.
pub(super) async fn withdraw<C: Codec>(coordinator: &Coordinator<C>, earlier: Option<Token>) {
    if let Some(token) = earlier {
        // If this fails, the lock ends with its lease.
        let _ = Box::pin(
            coordinator
                .shared
                .store
                .release(&coordinator.address, token, Release::Abandoned),
        )
        .await;
    }
}
