//! Which replies of gRPC methods are shared or stored: only their ends tell.

use std::sync::Arc;
use std::time::Duration;

use http::header::EXPIRES;

use super::ending::{self, Ended, Incomplete};
use super::freshness::{Said, Terms};
use super::response_rules::{ResponseRules, Unconfirmed};
use super::sharing::{Reason, Sharing};
use super::syntax::grpc_statuses;
use super::targeted;
use crate::middleware::grpc::{Framing, is_call};
use crate::system;

const UNKNOWN: i32 = 2;
const NOT_FOUND: i32 = 5;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const DATA_LOSS: i32 = 15;

/// What is stored of a gRPC method's replies.
#[derive(Debug, Clone, Default)]
pub(crate) struct GrpcRules {
    /// For how long replies with these statuses are stored. Defaults to none.
    pub(crate) status_ttl: Arc<[(i32, Duration)]>,
}

impl GrpcRules {
    fn ttl_of(&self, status: i32) -> Option<Duration> {
        let known = self.status_ttl.iter().find(|(known, _)| *known == status);
        known.map(|(_, ttl)| *ttl).filter(|ttl| !ttl.is_zero())
    }
}

/// Decides as [`ending::at_end`] does, and for a gRPC method by its message and its status as well.
pub(crate) fn at_end(
    sharing: Sharing,
    response: &Ended<'_>,
    content: &[u8],
    rules: &ResponseRules,
) -> Result<Sharing, Incomplete> {
    let ended = ending::at_end(sharing, response)?;
    let Some(grpc) = &rules.grpc else {
        return Ok(confirmed(ended, response, rules));
    };
    if matches!(ended, Sharing::Pass(_)) {
        return Ok(ended);
    }
    if !is_call(response.headers) {
        // The server beneath answered in place of the method.
        return Ok(ended.at_most_share());
    }
    let (status, framing) = (status(response), Framing::of(content));
    let is_unary = framing.is_one() || (framing.is_empty() && status != Some(0));
    if !is_unary {
        return Ok(Sharing::Pass(Reason::Messages));
    }
    let ttl = status
        .filter(|status| *status != 0)
        .and_then(|status| grpc.ttl_of(status));
    Ok(match ttl {
        Some(ttl) if !rules.no_store => failed(sharing, ttl, response, rules),
        _ => confirmed(ended, response, rules),
    })
}

/// The same, but a call that failed is for its own caller where nothing says that others would fail alike.
fn confirmed(ended: Sharing, response: &Ended<'_>, rules: &ResponseRules) -> Sharing {
    let is_share = matches!(ended, Sharing::Share) && rules.on_unconfirmed != Unconfirmed::Share;
    if !is_share || !ending::is_failed_call(response) {
        return ended;
    }
    let said = Said::by(response.headers, &rules.targets, system::now());
    if said.is_ok_and(|said| said.forbidden.is_none() && said.is_fresh()) {
        return ended;
    }
    match status(response) {
        // These statuses are about the method and the message, which the key has.
        Some(NOT_FOUND | UNIMPLEMENTED) => ended,
        Some(UNKNOWN | INTERNAL | UNAVAILABLE | DATA_LOSS) | None => Sharing::Pass(Reason::Failure),
        Some(_) => Sharing::Pass(Reason::Unconfirmed),
    }
}

/// The terms of a failure that is to be kept for `ttl`, or less if it says so itself.
fn failed(sharing: Sharing, ttl: Duration, response: &Ended<'_>, rules: &ResponseRules) -> Sharing {
    let directives = targeted::directives(response.headers, &rules.targets);
    let says_so = directives.is_ok_and(|(directives, targeted)| {
        directives.s_maxage.or(directives.max_age).is_some() || (!targeted && response.headers.contains_key(EXPIRES))
    });
    let ttl = rules.random.shortened(ttl, rules.ttl_jitter);
    let fresh_for = match sharing {
        Sharing::Pass(_) => return sharing,
        Sharing::Store(terms) if terms.no_cache => return Sharing::Pass(Reason::NoCache),
        Sharing::Store(terms) if says_so => terms.fresh_for.min(ttl),
        Sharing::Share if says_so => return Sharing::Share,
        Sharing::Store(_) | Sharing::Share => ttl,
    };
    Sharing::Store(Terms {
        fresh_for,
        ..Terms::default()
    })
}

/// The status, where there is one that can be read.
fn status(response: &Ended<'_>) -> Option<i32> {
    let mut statuses = grpc_statuses(response.headers, response.trailers);
    let first = statuses.next()?;
    if statuses.any(|other| other != first) {
        return None;
    }
    first.to_str().ok()?.parse().ok()
}
