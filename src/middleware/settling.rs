//! The second half of a computation: the body is recorded, and the promise settled by what its end tells.

use std::sync::Arc;

use http_body::Body;

use super::computation::Computation;
use super::draft::Draft;
use super::fallback::broke_off;
use super::grpc::is_call;
use super::policy::ending::{Ended, Incomplete};
use super::policy::fields;
use super::policy::grpc::at_end;
use super::policy::response::{Reason, Sharing};
use super::policy::vary::{self, Vary};
use super::recording::{Recorded, Recorder};
use crate::error::BoxError;
use crate::store::Store;

impl<St: Store> Computation<St> {
    pub(super) async fn record<ResBody>(
        self,
        recorder: Recorder<ResBody>,
        body: ResBody,
        sharing: Sharing,
        draft: Draft,
    ) where
        ResBody: Body,
        ResBody::Error: Into<BoxError>,
    {
        let judge = self.judge;
        let fallback = self.fallback;
        let mut lead = Some(self.lead);
        let mut pass = |reason| {
            judge.tell(reason);
            lead.take().map(|lead| lead.pass(judge.marker(reason, draft.status)));
        };
        let recorder = match judge.rules.grpc.is_some() && is_call(&draft.headers) {
            true => recorder.of_one_message(),
            false => recorder,
        };
        let (content, trailers, reservation) = match recorder.record(body, &mut pass).await {
            Recorded::Complete {
                content,
                trailers,
                reservation,
            } => (content, trailers, reservation),
            Recorded::Passed => return,
            Recorded::Failed => return broke_off(lead, fallback),
        };
        let ended = Ended {
            method: &self.method,
            status: draft.status,
            headers: &draft.headers,
            trailers: trailers.as_ref(),
            body_len: content.len() as u64,
        };
        let terms = match at_end(sharing, &ended, &content, &judge.rules) {
            Ok(Sharing::Store(terms)) => Some(terms),
            Ok(Sharing::Share) => None,
            Ok(Sharing::Pass(reason)) => return pass(reason),
            Err(Incomplete) => return broke_off(lead, fallback),
        };
        if fields::size(&draft.headers) + trailers.as_ref().map_or(0, fields::size) > judge.rules.max_headers {
            return pass(Reason::HeadersTooLarge);
        }
        let variant = match vary::names(&draft.headers) {
            Vary::Names(names) => Some(vary::fingerprint(&names, &self.request_headers)),
            Vary::None => None,
            Vary::Any => return pass(Reason::Vary),
        };
        // It has been getting older since its head was there.
        let ttl = terms.and_then(|terms| terms.left_after(draft.received.elapsed()));
        let terms = terms.filter(|_| ttl.is_some()).unwrap_or_default();
        let labels = draft.labels(&self.origin);
        let stored = Arc::new(draft.finish(content, trailers, terms, variant));
        let Some(lead) = lead else { return };
        judge.permissions.learn(stored.meta());
        let settled = match ttl {
            Some(ttl) => lead.store(stored, ttl, labels),
            None => lead.share(stored, labels),
        };
        settled.wait().await;
        drop(reservation);
    }
}
