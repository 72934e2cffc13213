//! The second half of a computation: the body is recorded, and the promise settled by what its end tells.

use std::sync::Arc;

use http_body::Body;

use super::computation::Computation;
use super::draft::Draft;
use super::fallback::Breakable;
use super::grpc::is_call;
use super::pause::Failed;
use super::policy::ending::{Ended, Incomplete};
use super::policy::fields;
use super::policy::grpc::at_end;
use super::policy::response::{Reason, Sharing};
use super::policy::vary::{self, Vary};
use super::recording::{Recorded, Recorder};
use super::trial::Candidate;
use crate::error::BoxError;

impl Computation {
    pub(super) async fn record<ResBody>(
        self,
        recorder: Recorder<ResBody>,
        body: ResBody,
        sharing: Sharing,
        mut draft: Draft,
    ) where
        ResBody: Body,
        ResBody::Error: Into<BoxError>,
    {
        let preview = match body.is_end_stream() {
            // The end is there as well.
            true => None,
            false => self.preview(&recorder, body.size_hint(), sharing, &mut draft),
        };
        let horizon = self.judge.horizon(&draft, &body.size_hint());
        // Dropped after all that follows: where that panics, the lead has been settled and nothing is left behind.
        let mut body = Some(Box::pin(body));
        let judge = self.judge;
        let past = self.lead.past;
        let mut led = Breakable {
            lead: Some(match preview {
                Some(preview) => self.lead.preview(preview, draft.labels(&self.origin)),
                None => self.lead,
            }),
            fallback: self.fallback,
        };
        let mut pass = |reason| {
            judge.tell(reason);
            led.lead.take().map(|lead| judge.pass(lead, reason, draft.status));
        };
        let recorder = match judge.rules.grpc.is_some() && is_call(&draft.headers) {
            true => recorder.of_one_message(),
            false => recorder,
        };
        let candidate = || Candidate {
            method: self.method.clone(),
            status: draft.status,
            headers: draft.headers.clone(),
            sharing,
            set_cookie: judge.rules.set_cookie_of(&draft.control),
        };
        let on_limit = |reason| {
            pass(reason);
            (reason == Reason::Endless).then(|| judge.watch(candidate(), draft.received))
        };
        let (content, trailers, followed, reservation) = match recorder.record(&mut body, horizon, on_limit).await {
            Recorded::Complete {
                content,
                trailers,
                followed,
                reservation,
            } => (content, trailers, followed, reservation),
            Recorded::Passed => return,
            Recorded::Failed => {
                judge.pause(|| Failed::UNAVAILABLE);
                return led.broke_off();
            }
        };
        let set_cookie = judge.rules.set_cookie_of(&draft.control);
        let ended = Ended {
            method: &self.method,
            status: draft.status,
            headers: &draft.headers,
            trailers: trailers.as_ref(),
            body_len: content.len() as u64,
            set_cookie,
        };
        let sharing = at_end(sharing, &ended, &content, &judge.rules);
        if matches!(sharing, Ok(Sharing::Pass(Reason::Failure)) | Err(Incomplete)) {
            judge.pause(|| Failed::UNAVAILABLE);
        }
        let sharing = match sharing {
            // The handler's word comes first.
            Ok(Sharing::Pass(Reason::Unconfirmed | Reason::Failure)) if draft.control.ttl.is_some() => {
                Ok(Sharing::Share)
            }
            sharing => sharing.map(|sharing| judge.confirmed(sharing, past)),
        };
        let terms = match sharing {
            Ok(Sharing::Store(terms)) => Some(terms),
            Ok(Sharing::Share) => None,
            Ok(Sharing::Pass(reason)) => return pass(reason),
            Err(Incomplete) => return led.broke_off(),
        };
        if fields::size(&draft.headers) + trailers.as_ref().map_or(0, fields::size) > judge.rules.max_headers {
            return pass(Reason::HeadersTooLarge);
        }
        let trailers = trailers.and_then(|mut trailers| {
            set_cookie.take(&mut trailers);
            (!trailers.is_empty()).then(|| fields::compact(&trailers))
        });
        let variant = match vary::names(&draft.headers) {
            Vary::Names(names) => Some(vary::fingerprint(&names, &self.request_headers)),
            Vary::None => None,
            Vary::Any => return pass(Reason::Vary),
        };
        // It has been getting older since its head was there.
        let ttl = terms.and_then(|terms| terms.left_after(draft.received.elapsed()));
        // Only its end may have told that it can be stored at all.
        let ttl = ttl.filter(|_| judge.is_wanted());
        let terms = terms.filter(|_| ttl.is_some()).unwrap_or_default();
        let labels = draft.labels(&self.origin);
        let stored = Arc::new(draft.finish(content, trailers, terms, variant));
        followed.finish(stored.body().clone(), stored.trailers().cloned());
        let Some(lead) = led.lead.take() else { return };
        judge.learn(&stored);
        let settled = match ttl {
            Some(ttl) => lead.store(stored, ttl, labels),
            None => lead.share(stored, labels),
        };
        drop(body);
        settled.wait().await;
        drop(reservation);
    }
}
