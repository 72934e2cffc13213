//! A response that a worker gives: its own client waits with the others.
//!
//! The leader stands by as a follower from the beginning, while its request goes to the inner service. Where the
//! handler says that a worker will answer, the computation tells all followers and is over. If no worker answers, the
//! handler is called again with the request of a follower, because the leader's own request is gone.

use std::pin::pin;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::deferral::Deferred;
use super::{begin, task};
use crate::memo::{self, Lead, Obtained, Outcome, Patience, Role};
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::lookup::Miss;
use crate::middleware::lookup::is_variant;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::ending::is_grpc;
use crate::middleware::policy::reason::Reason;
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::replay;
use crate::middleware::respond::tally::Answer;
use crate::middleware::respond::trailers_only::{DEADLINE_EXCEEDED, trailers_only};
use crate::middleware::stored_response::StoredResponse;
use crate::trace::{self, TraceContext};

/// The answer to a client that has waited in vain, in the form that the client understands.
enum WaitedFor {
    Http,
    /// With the content type of its request.
    Grpc(HeaderValue),
}

impl WaitedFor {
    fn of(request: &HeaderMap) -> Self {
        let content_type = request.get(CONTENT_TYPE).filter(|_| is_grpc(request));
        content_type.cloned().map_or(Self::Http, Self::Grpc)
    }
}

/// 504, or DEADLINE_EXCEEDED in a response that is over with its head.
fn timed_out(waited_for: &WaitedFor) -> Response<ReplyBody> {
    match waited_for {
        WaitedFor::Http => {
            let mut response = Response::new(ReplyBody::empty());
            *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
            response
        }
        WaitedFor::Grpc(content_type) => trailers_only(
            content_type.clone(),
            DEADLINE_EXCEEDED,
            "no program has answered in time",
        ),
    }
}

/// Leads with this request, and waits with the others if a worker is to give the response.
pub(crate) fn lead_or_wait(
    cache: Arc<Cache>,
    lead: Lead<Arc<StoredResponse>>,
    mut call: InnerCall,
    miss: Miss,
    mut patience: Patience,
) -> Step<Answer> {
    let address = miss.variant.address.clone();
    let (waited_for, why) = (WaitedFor::of(call.headers()), miss.why);
    let (credentials, headers) = (miss.credentials, call.headers().clone());
    let suits = move |given: &StoredResponse| {
        given.is_fresh_at(Instant::now()) && credentials.may_have(given.meta()) && is_variant(given, &headers)
    };
    Step::then(async move {
        let (shared, config) = (&cache.memo.shared, &cache.memo.config);
        let (given, mut back) = oneshot::channel();
        let then = |lead| drop(given.send(lead));
        let waiting = memo::join::step_down(shared, lead, &address, config, &mut patience, Role::StandBy, then);
        let Ok(lead) = back.try_recv() else {
            let decision = Forwarded::because(why).refused(Reason::Timeout);
            return Step::Done(Answer::new(timed_out(&waited_for), decision));
        };
        let computation = begin::computation(&cache, lead, &mut call.head, miss);
        let computing = task::run(computation, call);
        let answer = match first(computing, waiting, suits).await {
            First::Answer(answer) => answer,
            First::Given(stored, by) => {
                trace::computed_by(stored.meta().computed_by.or(by));
                cache.credential_history.learn(stored.meta());
                let decision = Forwarded::because(why).followed(Reason::Deferred);
                Answer::new(replay::followed(stored), decision)
            }
            First::Own(own) => its_own(own, why, &waited_for),
        };
        Step::Done(answer)
    })
}

/// The answer to a request that never was with the handler.
pub(crate) fn waited_too_long(request: &HeaderMap, why: Forward) -> Answer {
    let decision = Forwarded::because(why).collapsed(true).refused(Reason::Timeout);
    Answer::new(timed_out(&WaitedFor::of(request)), decision)
}

/// The handler's own response. Not for gRPC, whose clients could not tell it from the response that they asked for.
fn its_own(own: Response<ReplyBody>, why: Forward, waited_for: &WaitedFor) -> Answer {
    let forwarded = Forwarded::because(why);
    match waited_for {
        WaitedFor::Http => Answer::new(own, forwarded.passed(Reason::Timeout)),
        WaitedFor::Grpc(_) => Answer::new(timed_out(waited_for), forwarded.refused(Reason::Timeout)),
    }
}

/// The first of these that happens ends the leader's wait.
enum First {
    /// The inner service has answered.
    Answer(Answer),
    /// A worker has answered.
    Given(Arc<StoredResponse>, Option<TraceContext>),
    /// No worker has answered in time, or none ever will. With the inner service's own answer, if there is one.
    Own(Response<ReplyBody>),
}

async fn first(
    computing: impl Future<Output = Answer>,
    waiting: impl Future<Output = Obtained<Arc<StoredResponse>>>,
    suits: impl Fn(&StoredResponse) -> bool,
) -> First {
    let (mut computing, mut waiting) = (pin!(computing), pin!(waiting));
    let mut own = None;
    let mut waits = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut computing, if own.is_none() => match answer {
                Answer { result: Ok(mut response), .. } if response.extensions().get::<Deferred>().is_some() => {
                    response.extensions_mut().remove::<Deferred>();
                    own = Some(response);
                }
                answer => return First::Answer(answer),
            },
            obtained = &mut waiting, if waits => match obtained {
                Obtained::Told(Outcome::Ready(stored), by) if suits(&stored) => return First::Given(stored, by),
                _ => waits = false,
            },
        }
        if let Some(own) = own.take_if(|_| !waits) {
            return First::Own(own);
        }
    }
}
