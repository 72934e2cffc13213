//! What followers get of a response that is still coming.

use std::sync::Arc;

use bytes::Bytes;
use http_body::SizeHint;

use super::task::Computation;
use crate::middleware::policy::ending::is_grpc;
use crate::middleware::policy::freshness::Terms;
use crate::middleware::policy::sharing::Sharing;
use crate::middleware::policy::stream_followers::StreamFollowers;
use crate::middleware::policy::vary::{self, Vary};
use crate::middleware::recording::recorder::Recorder;
use crate::middleware::stored_response::StoredResponse;
use crate::middleware::stored_response::draft::Draft;

impl Computation {
    /// What followers get of the response while `recorder` records it, unless they have to wait for the end.
    pub(crate) fn preview(
        &self,
        recorder: &Recorder,
        hint: SizeHint,
        sharing: Sharing,
        draft: &mut Draft,
    ) -> Option<Arc<StoredResponse>> {
        if self.admission.rules.stream_followers == StreamFollowers::Off || is_grpc(&draft.headers) {
            return None;
        }
        let variant = match vary::names(&draft.headers) {
            Vary::Names(names) => Some(vary::fingerprint(&names, &self.request_headers)),
            Vary::None => None,
            Vary::Any => return None,
        };
        draft.settle_generation();
        // However short it is fresh, it is not stale to those who wait for it.
        let terms = match sharing {
            Sharing::Store(terms) => terms.for_nobody_later(),
            Sharing::Share | Sharing::Pass(_) => Terms::default(),
        };
        let head = draft.clone().finish(Bytes::new(), None, terms, variant);
        Some(Arc::new(head.underway(recorder.follow(hint, self.presence.clone()))))
    }
}
