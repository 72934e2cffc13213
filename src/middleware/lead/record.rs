//! The second half of a computation: records the body, and settles the promise once the end of the body has been
//! judged.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::admission::Admission;
use super::computation::Computation;
use super::preview;
use super::stale_if_error::Breakable;
use crate::attached::TaskSpan;
use crate::memo::{Past, Settled};
use crate::middleware::grpc::is_call;
use crate::middleware::inner::InnerBody;
use crate::middleware::known::pauses::Failed;
use crate::middleware::policy::ending::{Ended, Incomplete};
use crate::middleware::policy::fields;
use crate::middleware::policy::grpc::at_end;
use crate::middleware::policy::origin::Origin;
use crate::middleware::policy::sharing::{Reason, Sharing};
use crate::middleware::policy::vary::{self, Vary};
use crate::middleware::recording::broadcast::Producer;
use crate::middleware::recording::budget::Reservation;
use crate::middleware::recording::recorder::{Recorded, Recorder};
use crate::middleware::recording::trial::{Candidate, Trial};
use crate::middleware::stored_response::draft::Draft;

pub(crate) async fn to_the_end(
    computation: Computation,
    recorder: Recorder,
    body: InnerBody,
    sharing: Sharing,
    mut draft: Draft,
) {
    let preview = match body.is_end_stream() {
        // The end is there as well.
        true => None,
        false => preview::of(&computation, &recorder, body.size_hint(), sharing, &mut draft),
    };
    let horizon = computation.admission.horizon(&draft, &body.size_hint());
    let recorder = match computation.admission.rules.grpc.is_some() && is_call(&draft.headers) {
        true => recorder.of_one_message(),
        false => recorder,
    };
    // Dropped after all fields below: if dropping one of those panics, the lead has been settled and nothing is
    // left behind.
    let mut body = Some(body);
    let past = computation.lead.past;
    let lead = match preview {
        Some((preview, outgoing)) => computation
            .lead
            .preview(preview, draft.labels(&computation.origin), outgoing),
        None => computation.lead,
    };
    let mut settling = Settling {
        admission: computation.admission,
        led: Breakable {
            lead: Some(lead),
            fallback: computation.fallback,
        },
        draft,
        sharing,
        method: computation.method,
        request_headers: computation.request_headers,
        origin: computation.origin,
        past,
    };
    let on_limit = |reason| settling.at_limit(reason);
    let recorded = recorder.record(&mut body, horizon, on_limit).await;
    let settled = settling.settle(recorded);
    drop(body);
    // From here on the task only waits for the store.
    computation.task_span.inspect(TaskSpan::leave);
    if let Some((settled, reservation)) = settled {
        settled.wait().await;
        drop(reservation);
    }
}

/// A computation whose body goes by.
struct Settling {
    admission: Admission,
    led: Breakable,
    draft: Draft,
    /// Which requests may have the response, as its head tells.
    sharing: Sharing,
    method: Method,
    request_headers: HeaderMap,
    origin: Origin,
    past: Past,
}

impl Settling {
    /// The response is for its own client only.
    fn pass(&mut self, reason: Reason) {
        self.admission.tell(reason);
        if let Some(lead) = self.led.lead.take() {
            self.admission.pass(lead, reason, self.draft.status);
        }
    }

    /// The same, before the body's end. Returns a trial that is to watch the rest, if there is to be one.
    fn at_limit(&mut self, reason: Reason) -> Option<Trial> {
        self.pass(reason);
        (reason == Reason::Endless).then(|| {
            let candidate = Candidate {
                method: self.method.clone(),
                status: self.draft.status,
                headers: self.draft.headers.clone(),
                sharing: self.sharing,
                set_cookie: self.admission.rules.set_cookie_of(&self.draft.control),
            };
            self.admission.watch(candidate, self.draft.received)
        })
    }

    /// Which requests may have the response, as its end tells. `content` is empty for a body that was only read along.
    fn at_end(&self, content: &[u8], body_len: u64, trailers: Option<&HeaderMap>) -> Result<Sharing, Incomplete> {
        let (admission, draft) = (&self.admission, &self.draft);
        let ended = Ended {
            method: &self.method,
            status: draft.status,
            headers: &draft.headers,
            trailers,
            body_len,
            set_cookie: admission.rules.set_cookie_of(&draft.control),
        };
        let sharing = at_end(self.sharing, &ended, content, &admission.rules);
        if matches!(sharing, Ok(Sharing::Pass(Reason::Failure)) | Err(Incomplete)) {
            admission.pause(|| Failed::UNAVAILABLE);
        }
        Ok(match sharing? {
            // The handler's word comes first.
            Sharing::Pass(Reason::Unconfirmed | Reason::Failure) if draft.control.ttl.is_some() => Sharing::Share,
            sharing => admission.confirmed(sharing, self.past),
        })
    }

    fn has_large_fields(&self, trailers: Option<&HeaderMap>) -> bool {
        let size = fields::size(&self.draft.headers) + trailers.map_or(0, fields::size);
        size > self.admission.rules.max_headers
    }

    /// The part of the trailers that others get.
    fn shared_trailers(&self, trailers: Option<HeaderMap>) -> Option<HeaderMap> {
        let mut trailers = trailers?;
        let set_cookie = self.admission.rules.set_cookie_of(&self.draft.control);
        set_cookie.take(&mut trailers);
        (!trailers.is_empty()).then(|| fields::compact(&trailers))
    }

    /// The end of a response that is only for the clients that have read along.
    fn end_along(self, length: u64, trailers: Option<HeaderMap>, followed: Producer<Option<HeaderMap>>) {
        let is_shared = matches!(
            self.at_end(&[], length, trailers.as_ref()),
            Ok(Sharing::Store(_) | Sharing::Share)
        );
        if is_shared && !self.has_large_fields(trailers.as_ref()) {
            followed.finish_passing(self.shared_trailers(trailers));
        }
    }

    /// The fingerprint of the variant that the response is, or why it cannot be shared after all.
    fn variant(&self, trailers: Option<&HeaderMap>) -> Result<Option<[u8; 16]>, Reason> {
        match vary::names(&self.draft.headers) {
            _ if self.has_large_fields(trailers) => Err(Reason::HeadersTooLarge),
            Vary::Names(names) => Ok(Some(vary::fingerprint(&names, &self.request_headers))),
            Vary::None => Ok(None),
            Vary::Any => Err(Reason::Vary),
        }
    }

    /// Settles the response. Returns what the caller has to wait for, and what it has to hold until then.
    fn settle(mut self, recorded: Recorded) -> Option<(Settled, Arc<Reservation>)> {
        let (content, trailers, followed, reservation) = match recorded {
            Recorded::Complete {
                content,
                trailers,
                followed,
                reservation,
            } => (content, trailers, followed, reservation),
            Recorded::Along {
                length,
                trailers,
                followed,
            } => {
                self.end_along(length, trailers, followed);
                return None;
            }
            Recorded::Failed => {
                self.admission.pause(|| Failed::UNAVAILABLE);
                self.led.broke_off();
                return None;
            }
            Recorded::Passed => return None,
        };
        let terms = match self.at_end(&content, content.len() as u64, trailers.as_ref()) {
            Ok(Sharing::Store(terms)) => Some(terms),
            Ok(Sharing::Share) => None,
            Ok(Sharing::Pass(reason)) => {
                self.pass(reason);
                return None;
            }
            Err(Incomplete) => {
                self.led.broke_off();
                return None;
            }
        };
        let variant = match self.variant(trailers.as_ref()) {
            Ok(variant) => variant,
            Err(reason) => {
                self.pass(reason);
                return None;
            }
        };
        let trailers = self.shared_trailers(trailers);
        let (admission, draft) = (self.admission, self.draft);
        // The response has been getting older since its head was there.
        let ttl = terms.and_then(|terms| terms.left_after(draft.received.elapsed()));
        // Only the end may have told that the response can be stored at all.
        let ttl = ttl.filter(|_| admission.is_wanted());
        let terms = terms.filter(|_| ttl.is_some()).unwrap_or_default();
        let labels = draft.labels(&self.origin);
        let stored = Arc::new(draft.finish(content, trailers, terms, variant));
        followed.finish(stored.body().clone(), stored.trailers().cloned());
        let lead = self.led.lead.take()?;
        admission.learn(&stored);
        let settled = match ttl {
            Some(ttl) => lead.store(stored, ttl, labels),
            None => lead.share(stored, labels),
        };
        Some((settled, reservation))
    }
}
