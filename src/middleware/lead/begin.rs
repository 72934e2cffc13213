//! How a request that found nothing begins: as the leader of a computation, or as a call for itself.

use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;

use super::task;
use crate::memo::Lead;
use crate::middleware::cache::Cache;
use crate::middleware::grpc::TIMEOUT;
use crate::middleware::inner::InnerCall;
use crate::middleware::lead::admission::Admission;
use crate::middleware::lead::computation::Computation;
use crate::middleware::lead::promise::Promise;
use crate::middleware::lookup::Miss;
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::fields;
use crate::middleware::policy::origin::Origin;
use crate::middleware::policy::revalidation::add_conditions;
use crate::middleware::respond::future::{Step, direct};
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::StoredResponse;
use crate::trace::{self, TraceContext};

/// Leads with this request.
pub(crate) fn lead(cache: &Cache, lead: Lead<Arc<StoredResponse>>, mut call: InnerCall, miss: Miss) -> Step<Answer> {
    let computation = computation(cache, lead, &mut call.head, miss);
    Step::then(async move { Step::Done(task::run(computation, call).await) })
}

/// The computation that this request leads. The request is made to validate the stale response, if there is one.
pub(crate) fn computation(
    cache: &Cache,
    lead: Lead<Arc<StoredResponse>>,
    request: &mut Parts,
    miss: Miss,
) -> Computation {
    let Miss {
        variant,
        stale,
        why,
        credentials,
        first,
        can_lead: _,
        aim: _,
        caller: _,
    } = miss;
    // A response that replaces a stale one takes no more room in the store.
    let demand = cache.demand.as_ref().filter(|_| stale.is_none());
    let may_defer = cache.may_defer() && lead.held;
    if may_defer {
        let promise = Promise::new(variant.address.clone(), cache.memo.config.lease);
        request.extensions.insert(promise);
    }
    if cache.methods.is_some() {
        // The deadline is that of one call, and other calls want the reply as well.
        request.headers.remove(TIMEOUT);
    }
    let request_headers = fields::compact(&request.headers);
    // A response whose body is not in memory could not be stored anew.
    let validates = |stale: &Arc<StoredResponse>| {
        stale.apart_body().is_none() && add_conditions(&mut request.headers, stale.headers())
    };
    let validated = stale.clone().filter(validates);
    Computation {
        admission: Admission {
            shared: Arc::clone(&cache.memo.shared),
            hit_for_pass: Arc::clone(&cache.hit_for_pass),
            pauses: Arc::clone(&cache.pauses),
            misuse: Arc::clone(&cache.misuse),
            credential_history: Arc::clone(&cache.credential_history),
            address: variant.address,
            rules: cache.responses.clone(),
            cache_status: cache.cache_status,
            credentials,
            demand: demand.map(|demand| demand.of(&first)),
        },
        lead,
        method: request.method.clone(),
        request_headers,
        stale: validated,
        fallback: stale,
        why,
        origin: Origin::of(request),
        presence: None,
        may_defer,
        task_span: None,
        computed_by: computing_as(&request.headers),
    }
}

/// Sends the request to the inner service; the response goes to this client only.
pub(crate) fn by_itself(call: InnerCall, decision: Decision) -> Step<Answer> {
    Step::then(async move { Step::Done(direct(call, decision).await) })
}

/// The trace of what a request with these fields computes: the present span, or the span that sent it (W3C Trace Context).
pub(crate) fn computing_as(headers: &HeaderMap) -> Option<TraceContext> {
    trace::computing_as(|| {
        let mut lines = headers.get_all("traceparent").iter();
        let (line, more) = (lines.next()?, lines.next());
        let one = more.is_none().then_some(line)?;
        TraceContext::from_traceparent(one.to_str().ok()?)
    })
}
