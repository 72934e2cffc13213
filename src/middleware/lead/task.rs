//! The leader's part: call the inner service, stream its response to the leader's client, and settle the promise.
//!
//! All of it runs in a task of its own, so that a client that hangs up stops nothing.

use std::sync::Arc;
use std::time::SystemTime;

use http::{Response, StatusCode, response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::computation::Computation;
use super::stale_if_error::{self, StaleOnPanic, is_outage, stand_in};
use super::{deferral, on_path, record};
use crate::attached::{Attachment, TaskSpan};
use crate::memo::{Path, Present, Stop};
use crate::middleware::MemoControl;
use crate::middleware::grpc;
use crate::middleware::inner::{InnerBody, InnerCall};
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::fields;
use crate::middleware::policy::freshness::Terms;
use crate::middleware::policy::reason::{Reason, RequestOutcome};
use crate::middleware::policy::revalidation;
use crate::middleware::policy::sharing::Sharing;
use crate::middleware::policy::vary::{self, Vary};
use crate::middleware::recording::budget::Reservation;
use crate::middleware::recording::recorder::recording;
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::replay;
use crate::middleware::respond::tally::Answer;
use crate::middleware::respond::trailers_only;
use crate::middleware::stored_response::StoredResponse;
use crate::middleware::stored_response::draft::Draft;
use crate::system;
use crate::task::{BoxFuture, spawn};

/// Runs the computation in a task of its own. This is no part of its callers, which every program compiles for its own
/// services.
fn start(task_span: TaskSpan, computing: BoxFuture<'static, ()>, stop: Stop, path: Path) -> JoinHandle<()> {
    let running = task_span.run(path.run(stop.or(computing)));
    spawn(Box::pin(async move {
        running.await;
    }))
}

/// Starts the task and waits for the head of the response. Boxed, because several wait for it.
pub(crate) fn run(computation: Computation, call: InnerCall) -> BoxFuture<'static, Answer> {
    Box::pin(answered(computation, call))
}

async fn answered(mut computation: Computation, call: InnerCall) -> Answer {
    let (answer, answered) = oneshot::channel();
    let fallback = computation.fallback.clone();
    let cache_status = computation.admission.cache_status;
    let is_call = grpc::is_call(&computation.request_headers);
    let path = on_path::path(&call.head.extensions);
    let (client, stop) = computation.lead.custody();
    computation.presence = client.as_ref().map(Present::presence);
    let task_span = TaskSpan::here(&computation.admission.address);
    let attachment = Attachment(task_span.clone());
    computation.task_span = Some(task_span.clone());
    let task = start(task_span, Box::pin(compute(computation, call, answer)), stop, path);
    match answered.await {
        Ok(answer) => answer.map_body(|body| body.read_by(client, attachment)),
        Err(_) => match task.await {
            Err(error) if error.is_panic() => match stand_in(fallback) {
                Some(stale) => {
                    let reason = Reason::StaleIfError;
                    let response = replay::stale(stale, Instant::now(), cache_status.then_some(reason));
                    Answer::new(response, Decision::found(RequestOutcome::Stale, reason))
                }
                // The panic goes where it would have gone without the layer.
                None => std::panic::resume_unwind(error.into_panic()),
            },
            // The runtime is shutting down.
            _ => Answer::new(
                if is_call {
                    trailers_only::unavailable()
                } else {
                    unavailable()
                },
                Decision::refused(Reason::Shutdown),
            ),
        },
    }
}

async fn compute(computation: Computation, call: InnerCall, answer: oneshot::Sender<Answer>) {
    let started = Instant::now();
    let mut this = StaleOnPanic(Some(computation));
    if let Some(this) = this.0.as_mut().filter(|this| this.may_defer) {
        this.lead.listen().await;
    }
    let response = call.send().await;
    let Some(this) = this.0.take() else { return };
    match response {
        Err(error) => {
            let decision = this.forwarded(None).passed(Reason::Error);
            let shared = stale_if_error::in_place_of(&this, &*error, started);
            if let Some(stale) = stand_in(this.fallback.clone()) {
                return stale_if_error::answer(this, stale, None, answer);
            }
            match shared {
                Some(shared) => drop(this.lead.share(shared, Vec::new())),
                // Dropping the lead hands it to exactly one follower.
                None => stale_if_error::give_up(this),
            }
            let _ = answer.send(Answer::failed(error, decision));
        }
        Ok(response) => conclude(this, response, answer, started).await,
    }
}

async fn conclude(
    mut computation: Computation,
    response: Response<InnerBody>,
    answer: oneshot::Sender<Answer>,
    started: Instant,
) {
    let (mut head, body) = response.into_parts();
    if computation.may_defer && deferral::is_deferred(&head) {
        let decision = computation.forwarded(None).led(Reason::Deferred);
        computation.lead.defer();
        let _ = answer.send(Answer::new(deferral::own(head, body), decision));
        return;
    }
    computation.admission.pause_by(head.status);
    if head.status == StatusCode::NOT_MODIFIED
        && let Some(stale) = computation.stale.take()
    {
        let _ = answer.send(validated(computation, &stale, head, started));
        return;
    }
    if is_outage(head.status)
        && let Some(stale) = stand_in(computation.fallback.clone())
    {
        return stale_if_error::answer(computation, stale, Some(head.status), answer);
    }
    let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
    let admission = &computation.admission;
    let now = system::now();
    let judged = admission.at_head(&computation.method, &head, &control, now);
    let sharing = match admission.confirmed(judged, computation.lead.past) {
        Sharing::Pass(reason) => Sharing::Pass(reason),
        // It stands in for another response, or was not asked for often enough.
        sharing if control.deferred || !admission.is_wanted() => {
            admission.at_size(body.size_hint().lower(), sharing.at_most_share())
        }
        sharing => admission.at_size(body.size_hint().lower(), sharing),
    };
    if let Sharing::Pass(reason) = sharing {
        return pass_on(computation, reason, head, body, answer);
    }
    let mut draft = Draft::new(&head, control, now, started, computation.computed_by);
    draft.began = computation.lead.start.map(|start| start.generation.number);
    let unstored = match sharing {
        Sharing::Store(_) => computation.unstorable(!draft.labels(&computation.origin).is_empty()),
        _ => Some(computation.unstored(judged, draft.control.deferred)),
    };
    let decision = computation.led(None, unstored, &head.headers);
    fields::strip_connection_fields(&mut draft.headers);
    admission.rules.set_cookie_of(&draft.control).take(&mut draft.headers);
    draft.compact();
    let reservation = Reservation::new(&admission.shared, admission.rules.max_recording);
    let (recorder, playback) = recording(admission.rules.max_body, reservation);
    // A response that ends with its head has to say so: clients of gRPC tell failed calls by that.
    let playback = match body.is_end_stream() {
        true => ReplyBody::empty(),
        false => ReplyBody::recorded(playback, body.size_hint()),
    };
    let _ = answer.send(Answer::new(Response::from_parts(head, playback), decision));
    record::to_the_end(computation, recorder, body, sharing, draft).await;
}

/// Gives a response that is not shared, for this reason, to the leader's client alone.
fn pass_on(
    computation: Computation,
    reason: Reason,
    head: response::Parts,
    body: InnerBody,
    answer: oneshot::Sender<Answer>,
) {
    computation.admission.tell(reason);
    let decision = computation.forwarded(None).passed(reason);
    computation.admission.pass(computation.lead, reason, head.status);
    let response = Response::from_parts(head, ReplyBody::inner(body));
    // The client may have gone.
    let _ = answer.send(Answer::new(response, decision));
}

/// The inner service says that the stale response is still right: it is stored anew, with the fields of the 304.
fn validated(computation: Computation, stale: &StoredResponse, mut head: response::Parts, started: Instant) -> Answer {
    let now = system::now();
    let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
    let set_cookie = computation.admission.rules.set_cookie_of(&control);
    let cookies = set_cookie.take(&mut head.headers);
    let is_about = revalidation::is_about(&head.headers, stale.headers());
    let draft = updated(&computation, stale, &head, control, now, started);
    head.status = draft.status;
    head.headers.clone_from(&draft.headers);
    // A 304 about something else updates nothing (RFC 9111, 4.3.4), but is an answer.
    let sharing = match computation
        .admission
        .at_head(&computation.method, &head, &draft.control, now)
    {
        Sharing::Store(_) if !is_about => Sharing::Share,
        sharing => sharing,
    };
    // A 304 may say that the response varies after all.
    let variant = match vary::names(&draft.headers) {
        Vary::Names(names) => Some(vary::fingerprint(&names, &computation.request_headers)),
        Vary::None => None,
        Vary::Any => stale.meta().variant,
    };
    let draft_status = draft.status;
    let (content, trailers) = (stale.body().clone(), stale.trailers().cloned());
    let terms = match sharing {
        Sharing::Store(terms) => terms,
        Sharing::Share | Sharing::Pass(_) => Terms::default(),
    };
    let left = terms.left_after(draft.received.elapsed());
    let labels = draft.labels(&computation.origin);
    let stored = Arc::new(draft.finish(content, trailers, terms, variant));
    let unstored = match (sharing, left) {
        (Sharing::Store(_), Some(_)) => computation.unstorable(!labels.is_empty()),
        (Sharing::Store(_), None) => Some(Reason::NoFreshness),
        (Sharing::Share, _) if !is_about => Some(Reason::OtherValidator),
        (Sharing::Share | Sharing::Pass(_), _) => Some(computation.unstored(sharing, false)),
    };
    let status = Some(StatusCode::NOT_MODIFIED);
    let decision = match sharing {
        Sharing::Pass(reason) => computation.forwarded(status).passed(reason),
        Sharing::Store(_) | Sharing::Share => computation.led(status, unstored, stored.headers()),
    };
    let admission = &computation.admission;
    admission.learn(&stored);
    match (sharing, left) {
        (Sharing::Store(_), Some(ttl)) => drop(computation.lead.store(Arc::clone(&stored), ttl, labels)),
        (Sharing::Store(_), None) | (Sharing::Share, _) => drop(computation.lead.share(Arc::clone(&stored), labels)),
        (Sharing::Pass(reason), _) => {
            admission.tell(reason);
            drop(admission.pass(computation.lead, reason, draft_status));
        }
    }
    let mut response = replay::followed(stored);
    for (name, value) in cookies {
        response.headers_mut().append(name, value);
    }
    Answer::new(response, decision)
}

/// The stale response as it is stored anew, with the fields of the 304.
fn updated(
    computation: &Computation,
    stale: &StoredResponse,
    head: &response::Parts,
    control: MemoControl,
    now: SystemTime,
    started: Instant,
) -> Draft {
    let mut draft = Draft::new(head, control, now, started, computation.computed_by);
    draft.began = computation.lead.start.map(|start| start.generation.number);
    draft.status = stale.status();
    draft.headers = revalidation::updated(stale.headers(), &head.headers, now);
    draft.compact();
    // A handler that answers 304 need not repeat the tags of the response.
    draft.control.add_tags(&stale.meta().groups);
    draft
}

fn unavailable() -> Response<ReplyBody> {
    let mut head = Response::new(ReplyBody::empty());
    *head.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    head
}
