//! The spans of this crate, and what is recorded in them.

use std::time::Duration;

use tracing::Span;
use tracing::field::{Empty, display};

use super::bridge::bridge;
use super::context::TraceContext;
use crate::key::Address;

/// What filters call the event and the span of each request.
pub(crate) const REQUESTS: &str = "tower_memolock::requests";

const LOOKUP: &str = "memolock_lookup";

/// The span in which a caller comes to its value. Where its address is not known yet, it is [told](locate) later.
pub(crate) fn lookup(address: Option<&Address>) -> Span {
    tracing::debug_span!(
        target: REQUESTS,
        "memolock_lookup",
        address = address.map(|address| display(address.readable())),
        outcome = Empty,
        reason = Empty,
        wait_us = Empty,
        computed_by = Empty,
    )
}

/// A lookup that was over at once.
#[cfg(feature = "http")]
#[inline]
pub(crate) fn hit(address: &Address, reason: &'static str, by: Option<TraceContext>) {
    let span = tracing::debug_span!(
        target: REQUESTS,
        "memolock_lookup",
        address = %address.readable(),
        outcome = "hit",
        reason,
        computed_by = Empty,
    );
    if let Some(by) = by {
        link(&span, by);
    }
}

/// The lookup that goes on is about this.
#[cfg(feature = "http")]
pub(crate) fn locate(address: &Address) {
    present().record("address", display(address.readable()));
}

/// What became of the lookup that goes on.
pub(crate) fn outcome(outcome: &'static str) {
    present().record("outcome", outcome);
}

/// For how long the lookup that goes on has waited for computations so far.
pub(crate) fn waited(time: Duration) {
    present().record("wait_us", u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

/// What the lookup that goes on has come to was computed by this.
pub(crate) fn computed_by(by: Option<TraceContext>) {
    if let Some(by) = by {
        link(&present(), by);
    }
}

/// What is computed from here on is known as this: the present span, if the tracing system has a name for it.
pub(crate) fn computing_as(otherwise: impl FnOnce() -> Option<TraceContext>) -> Option<TraceContext> {
    let known = bridge().and_then(|bridge| bridge.context(&Span::current()));
    known.or_else(otherwise)
}

/// The span of what goes on without the caller that began it, in the span that it leaves.
pub(crate) fn detached(address: &Address, left: &Span) -> Span {
    let span = tracing::info_span!(parent: None, "memolock_detached", address = %address.readable());
    span.follows_from(left);
    span
}

/// The span of what is computed anew because of the present one.
pub(crate) fn refreshing(address: &Address) -> Span {
    let span = tracing::info_span!(parent: None, "memolock_refresh", address = %address.readable());
    span.follows_from(Span::current());
    span
}

/// The span of what is compared because of the present one.
#[cfg(feature = "admin")]
pub(crate) fn verifying(address: &Address) -> Span {
    let span = tracing::info_span!(parent: None, "memolock_verify", address = %address.readable());
    span.follows_from(Span::current());
    span
}

/// The span of the lookup that goes on, unless it is filtered out.
fn present() -> Span {
    let present = Span::current();
    match present.metadata() {
        Some(span) if span.name() == LOOKUP && span.target() == REQUESTS => present,
        _ => Span::none(),
    }
}

/// Links a lookup, or what it is a part of where that is filtered out, to a computation.
fn link(lookup: &Span, by: TraceContext) {
    if !lookup.is_disabled() {
        lookup.record("computed_by", display(by));
    }
    match bridge() {
        Some(bridge) if lookup.is_disabled() => bridge.link(&Span::current(), by),
        Some(bridge) => bridge.link(lookup, by),
        None => {}
    }
}
