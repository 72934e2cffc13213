//! [`Computation`]: what a leader computes with, and what it says of its response, as far as that is known when the head
//! leaves.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

use super::admission::Admission;
use crate::attached::TaskSpan;
use crate::memo::{Lead, Presence, Unleased};
use crate::middleware::lookup::missed;
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::ending::is_grpc;
use crate::middleware::policy::origin::Origin;
use crate::middleware::policy::reason::Reason;
use crate::middleware::policy::sharing::Sharing;
use crate::middleware::stored_response::StoredResponse;
use crate::store::Store;
use crate::trace::TraceContext;

/// What a computation needs to know besides the request and the service.
pub(crate) struct Computation {
    pub(crate) admission: Admission,
    pub(crate) lead: Lead<Arc<StoredResponse>>,
    pub(crate) method: Method,
    /// The request's fields, for `Vary`. They are never stored.
    pub(crate) request_headers: HeaderMap,
    /// The stale response that the request asks to validate.
    pub(crate) stale: Option<Arc<StoredResponse>>,
    /// The stale response that may stand in for a failure, for a while.
    pub(crate) fallback: Option<Arc<StoredResponse>>,
    /// Why the inner service is asked.
    pub(crate) why: Forward,
    /// The authority that the groups of the response belong to.
    pub(crate) origin: Origin,
    /// The clients of the computation, except the followers that wait for its end.
    pub(crate) presence: Option<Arc<Presence>>,
    /// Whether the response may be left to a worker.
    pub(crate) may_defer: bool,
    /// The span that its task is in.
    pub(crate) task_span: Option<TaskSpan>,
    /// The name of this computation in a trace.
    pub(crate) computed_by: Option<TraceContext>,
}

impl Computation {
    /// Says that the inner service was asked. `status` is the status that it answered, where another one is sent on.
    pub(crate) fn forwarded(&self, status: Option<StatusCode>) -> Forwarded {
        let mut forwarded = Forwarded::because(self.why);
        forwarded.status = status;
        forwarded
    }

    /// The outcome of a request whose response others may have. `unstored` tells why the response is not stored, if
    /// that is known.
    pub(crate) fn led(&self, status: Option<StatusCode>, unstored: Option<Reason>, headers: &HeaderMap) -> Decision {
        let mut forwarded = self.forwarded(status);
        if let Some(reason) = unstored {
            return forwarded.led(reason);
        }
        // Only the trailers tell whether a call of gRPC succeeded, and so whether its reply is stored.
        forwarded.stored = !is_grpc(headers);
        let (store, address) = (&self.admission.shared.store, &self.admission.address);
        forwarded.led(missed(store, self.why, address))
    }

    /// Why a response that may be stored will not be, as far as that is known.
    pub(crate) fn unstorable(&self, has_labels: bool) -> Option<Reason> {
        let (lead, shared) = (&self.lead, &self.admission.shared);
        match lead.unleased {
            Some(Unleased::Store) => return Some(Reason::StoreDown),
            Some(Unleased::Lock) => return Some(Reason::NoLease),
            Some(Unleased::Leaving) => return Some(Reason::Shutdown),
            None => {}
        }
        // A value with tags needs the generation in which it was begun.
        let is_undated = lead.start.is_none() && (has_labels || shared.stamps_all());
        match () {
            () if shared.leases.is_closed() => Some(Reason::Shutdown),
            () if lead.is_over() => Some(Reason::LeaseLost),
            () if is_undated || !shared.store.accepts(&self.admission.address) => Some(Reason::StoreDown),
            () => None,
        }
    }

    /// Why a response is for its waiters only, by what its head says.
    pub(crate) fn unstored(&self, judged: Sharing, deferred: bool) -> Reason {
        match judged {
            // The second one in a row.
            Sharing::Pass(reason) => reason,
            Sharing::Store(_) if deferred => Reason::Deferred,
            Sharing::Store(_) => Reason::StoreAfter,
            Sharing::Share if self.admission.rules.no_store => Reason::StoresNothing,
            Sharing::Share => Reason::NoFreshness,
        }
    }
}
