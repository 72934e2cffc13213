//! A stale response stands in for a computation that fails (RFC 5861, section 4).

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::computation::Computation;
use crate::memo::Lead;
use crate::middleware::MemoControl;
use crate::middleware::known::pauses::Failed;
use crate::middleware::policy::cache_status::Forwarded;
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::freshness::Terms;
use crate::middleware::respond::replay;
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::StoredResponse;
use crate::middleware::stored_response::draft::Draft;
use crate::system;

/// The answers that count as errors (RFC 5861, section 4).
pub(crate) fn is_outage(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// The stale response, where it may stand in now.
pub(crate) fn stand_in(fallback: Option<Arc<StoredResponse>>) -> Option<Arc<StoredResponse>> {
    fallback.filter(|stale| stale.serves_on_error(Instant::now()))
}

/// Lets a follower try again, unless the stale response may stand in.
fn broke_off(lead: Option<Lead<Arc<StoredResponse>>>, fallback: Option<Arc<StoredResponse>>) {
    if let (Some(lead), Some(_)) = (lead, stand_in(fallback)) {
        lead.stale();
    }
}

/// A leader whose response's body goes by. A body that panics is as broken as any other.
pub(crate) struct Breakable {
    pub(crate) lead: Option<Lead<Arc<StoredResponse>>>,
    pub(crate) fallback: Option<Arc<StoredResponse>>,
}

impl Breakable {
    pub(crate) fn broke_off(&mut self) {
        broke_off(self.lead.take(), self.fallback.take());
    }
}

impl Drop for Breakable {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.broke_off();
        }
    }
}

/// There is no response.
pub(crate) fn give_up(computation: Computation) {
    match computation.admission.credentials {
        // The failure of this call means nothing for the followers.
        Credentials::Unknown(_) => {
            computation.admission.remember_refusal(true);
            computation.lead.withdraw();
        }
        Credentials::None | Credentials::Known(_) => broke_off(Some(computation.lead), computation.fallback),
    }
}

/// What others get in place of an error.
fn made_of(computation: &Computation, error: &dyn Any, started: Instant) -> Option<Arc<StoredResponse>> {
    let mapper = computation.admission.rules.share_errors.as_ref()?;
    let (head, content) = mapper.map(error)?.into_parts();
    let mut draft = Draft::new(
        &head,
        MemoControl::new(),
        system::now(),
        started,
        computation.computed_by,
    );
    draft.compact();
    let content = Bytes::copy_from_slice(&content);
    Some(Arc::new(draft.finish(content, None, Terms::default(), None)))
}

/// Begins a pause after an error. Returns what the followers get in its place, if it is the second failure in a row.
pub(crate) fn in_place_of(computation: &Computation, error: &dyn Any, started: Instant) -> Option<Arc<StoredResponse>> {
    let is_shared =
        computation.lead.past.failures > 0 && !matches!(computation.admission.credentials, Credentials::Unknown(_));
    let made = match is_shared {
        true => made_of(computation, error, started),
        false => None,
    };
    let others = || made.clone().or_else(|| made_of(computation, error, started));
    computation
        .admission
        .pause(|| others().map_or(Failed::UNAVAILABLE, Failed::Response));
    made
}

/// All clients get the stale response, the leader's too.
pub(crate) fn answer(
    computation: Computation,
    stale: Arc<StoredResponse>,
    status: Option<StatusCode>,
    answer: oneshot::Sender<Answer>,
) {
    let admission = &computation.admission;
    admission.shared.counters.stale.add();
    computation.lead.stale();
    let response = replay::hit(stale, Instant::now(), false);
    let _ = answer.send(Answer::new(response, Forwarded::stands_in(status)));
}

/// Tells the followers that the stale response may stand in for a computation that panicked.
pub(crate) struct StaleOnPanic(pub(crate) Option<Computation>);

impl Drop for StaleOnPanic {
    fn drop(&mut self) {
        if let Some(computation) = self.0.take()
            && std::thread::panicking()
        {
            computation.admission.pause(|| Failed::UNAVAILABLE);
            give_up(computation);
        }
    }
}
