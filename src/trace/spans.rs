//! The spans of this crate, and what is recorded in them.

use std::time::Duration;

use tracing::Span;
use tracing::field::{Empty, display};

use super::bridge::bridge;
use super::context::TraceContext;
use crate::key::Address;

/// The name by which filters know the event and the span of each request.
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

/// Tells the span of the present lookup which address it is about.
#[cfg(feature = "http")]
pub(crate) fn locate(address: &Address) {
    present().record("address", display(address.readable()));
}

/// Tells the span of the present lookup its outcome.
pub(crate) fn outcome(outcome: &'static str) {
    present().record("outcome", outcome);
}

/// Tells the span of the present lookup for how long it has waited for computations so far.
pub(crate) fn waited(time: Duration) {
    present().record("wait_us", u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

/// Links the present lookup to the computation of its result.
pub(crate) fn computed_by(by: Option<TraceContext>) {
    if let Some(by) = by {
        link(&present(), by);
    }
}

/// The name of the computation that begins here: that of the present span, if the tracing system has a name for it.
pub(crate) fn computing_as(otherwise: impl FnOnce() -> Option<TraceContext>) -> Option<TraceContext> {
    let known = bridge().and_then(|bridge| bridge.context(&Span::current()));
    known.or_else(otherwise)
}

/// The span of work that goes on without the caller that began it, within the span that it leaves.
pub(crate) fn detached(address: &Address, left: &Span) -> Span {
    let span = tracing::info_span!(parent: None, "memolock_detached", address = %address.readable());
    span.follows_from(left);
    span
}

/// The span of a refresh that the present one causes.
pub(crate) fn refreshing(address: &Address) -> Span {
    let span = tracing::info_span!(parent: None, "memolock_refresh", address = %address.readable());
    span.follows_from(Span::current());
    span
}

/// The span of a comparison that the present one causes.
#[cfg(feature = "admin")]
pub(crate) fn verifying(address: &Address) -> Span {
    let span = tracing::info_span!(parent: None, "memolock_verify", address = %address.readable());
    span.follows_from(Span::current());
    span
}

/// The span of the present lookup, unless it is filtered out.
fn present() -> Span {
    let present = Span::current();
    match present.metadata() {
        Some(span) if span.name() == LOOKUP && span.target() == REQUESTS => present,
        _ => Span::none(),
    }
}

/// Links a lookup to a computation; where its span is filtered out, links the span around it.
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
