//! The leader's part: call the inner service, stream its response to the leader's client, and settle the promise.
//!
//! All of it runs in a task of its own, so that a client that hangs up stops nothing.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method, Response, StatusCode, response};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::admission::Admission;
use super::deferred;
use super::on_path;
use super::stale_if_error::{StaleOnPanic, is_outage, stand_in};
use crate::attached::{Attachment, TaskSpan};
use crate::memo::{Lead, Path, Presence, Present, Stop};
use crate::middleware::MemoControl;
use crate::middleware::grpc;
use crate::middleware::inner::{InnerBody, InnerCall};
use crate::middleware::policy::cache_status::Forward;
use crate::middleware::policy::decision::Decision;
use crate::middleware::policy::fields;
use crate::middleware::policy::freshness::Terms;
use crate::middleware::policy::origin::Origin;
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

/// Runs the computation in a task of its own. This is no part of its callers, which every program compiles for its own
/// services.
fn start(task_span: TaskSpan, computing: BoxFuture<'static, ()>, stop: Stop, path: Path) -> JoinHandle<()> {
    let running = task_span.run(path.run(stop.or(computing)));
    spawn(Box::pin(async move {
        running.await;
    }))
}

impl Computation {
    /// Starts the task and waits for the head of the response. Boxed, because several wait for it.
    pub(crate) fn run(self, call: InnerCall) -> BoxFuture<'static, Answer> {
        Box::pin(self.answered(call))
    }

    async fn answered(mut self, call: InnerCall) -> Answer {
        let (answer, answered) = oneshot::channel();
        let fallback = self.fallback.clone();
        let cache_status = self.admission.cache_status;
        let is_call = grpc::is_call(&self.request_headers);
        let path = on_path::path(&call.head.extensions);
        let (client, stop) = self.lead.custody();
        self.presence = client.as_ref().map(Present::presence);
        let task_span = TaskSpan::here(&self.admission.address);
        let attachment = Attachment(task_span.clone());
        self.task_span = Some(task_span.clone());
        let task = start(task_span, Box::pin(self.compute(call, answer)), stop, path);
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

    async fn compute(self, call: InnerCall, answer: oneshot::Sender<Answer>) {
        let started = Instant::now();
        let mut this = StaleOnPanic(Some(self));
        if let Some(this) = this.0.as_mut().filter(|this| this.may_defer) {
            this.lead.listen().await;
        }
        let response = call.send().await;
        let Some(this) = this.0.take() else { return };
        match response {
            Err(error) => {
                let decision = this.forwarded(None).passed(Reason::Error);
                let shared = this.of_error(&*error, started);
                if let Some(stale) = stand_in(this.fallback.clone()) {
                    return this.stand_in(stale, None, answer);
                }
                match shared {
                    Some(shared) => drop(this.lead.share(shared, Vec::new())),
                    // Dropping the lead hands it to exactly one follower.
                    None => this.give_up(),
                }
                let _ = answer.send(Answer::failed(error, decision));
            }
            Ok(response) => this.conclude(response, answer, started).await,
        }
    }

    async fn conclude(mut self, response: Response<InnerBody>, answer: oneshot::Sender<Answer>, started: Instant) {
        let (mut head, body) = response.into_parts();
        if self.may_defer && deferred::is_deferred(&head) {
            let decision = self.forwarded(None).led(Reason::Deferred);
            self.lead.defer();
            let _ = answer.send(Answer::new(deferred::own(head, body), decision));
            return;
        }
        self.admission.pause_by(head.status);
        if head.status == StatusCode::NOT_MODIFIED
            && let Some(stale) = self.stale.take()
        {
            let _ = answer.send(self.validated(&stale, head, started));
            return;
        }
        if is_outage(head.status)
            && let Some(stale) = stand_in(self.fallback.clone())
        {
            return self.stand_in(stale, Some(head.status), answer);
        }
        let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
        let admission = &self.admission;
        let now = system::now();
        let judged = admission.at_head(&self.method, &head, &control, now);
        let sharing = match admission.confirmed(judged, self.lead.past) {
            Sharing::Pass(reason) => Sharing::Pass(reason),
            // It stands in for another response, or was not asked for often enough.
            sharing if control.deferred || !admission.is_wanted() => {
                admission.at_size(body.size_hint().lower(), sharing.at_most_share())
            }
            sharing => admission.at_size(body.size_hint().lower(), sharing),
        };
        if let Sharing::Pass(reason) = sharing {
            return self.pass_on(reason, head, body, answer);
        }
        let mut draft = Draft::new(&head, control, now, started, self.computed_by);
        draft.began = self.lead.start.map(|start| start.generation.number);
        let unstored = match sharing {
            Sharing::Store(_) => self.unstorable(!draft.labels(&self.origin).is_empty()),
            _ => Some(self.unstored(judged, draft.control.deferred)),
        };
        let decision = self.led(None, unstored, &head.headers);
        fields::strip_connection_fields(&mut draft.headers);
        admission.rules.set_cookie_of(&draft.control).take(&mut draft.headers);
        draft.compact();
        let reservation = Reservation::new(&admission.shared, admission.rules.max_recording);
        let (recorder, playback) = recording(admission.rules.max_body, reservation);
        // A response that ends with its head has to say so: clients of gRPC tell failed calls by that.
        let playback = if body.is_end_stream() {
            ReplyBody::empty()
        } else {
            ReplyBody::recorded(playback, body.size_hint())
        };
        let _ = answer.send(Answer::new(Response::from_parts(head, playback), decision));
        self.record(recorder, body, sharing, draft).await;
    }

    /// Gives a response that is not shared, for this reason, to the leader's client alone.
    fn pass_on(self, reason: Reason, head: response::Parts, body: InnerBody, answer: oneshot::Sender<Answer>) {
        self.admission.tell(reason);
        let decision = self.forwarded(None).passed(reason);
        self.admission.pass(self.lead, reason, head.status);
        let response = Response::from_parts(head, ReplyBody::inner(body));
        // The client may have gone.
        let _ = answer.send(Answer::new(response, decision));
    }

    /// The inner service says that the stale response is still right: it is stored anew, with the fields of the 304.
    fn validated(self, stale: &StoredResponse, mut head: response::Parts, started: Instant) -> Answer {
        let now = system::now();
        let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
        let set_cookie = self.admission.rules.set_cookie_of(&control);
        let cookies = set_cookie.take(&mut head.headers);
        let is_about = revalidation::is_about(&head.headers, stale.headers());
        let draft = self.updated(stale, &head, control, now, started);
        head.status = draft.status;
        head.headers.clone_from(&draft.headers);
        // A 304 about something else updates nothing (RFC 9111, 4.3.4), but is an answer.
        let sharing = match self.admission.at_head(&self.method, &head, &draft.control, now) {
            Sharing::Store(_) if !is_about => Sharing::Share,
            sharing => sharing,
        };
        // A 304 may say that the response varies after all.
        let variant = match vary::names(&draft.headers) {
            Vary::Names(names) => Some(vary::fingerprint(&names, &self.request_headers)),
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
        let labels = draft.labels(&self.origin);
        let stored = Arc::new(draft.finish(content, trailers, terms, variant));
        let unstored = match (sharing, left) {
            (Sharing::Store(_), Some(_)) => self.unstorable(!labels.is_empty()),
            (Sharing::Store(_), None) => Some(Reason::NoFreshness),
            (Sharing::Share, _) if !is_about => Some(Reason::OtherValidator),
            (Sharing::Share | Sharing::Pass(_), _) => Some(self.unstored(sharing, false)),
        };
        let status = Some(StatusCode::NOT_MODIFIED);
        let decision = match sharing {
            Sharing::Pass(reason) => self.forwarded(status).passed(reason),
            Sharing::Store(_) | Sharing::Share => self.led(status, unstored, stored.headers()),
        };
        let admission = &self.admission;
        admission.learn(&stored);
        match (sharing, left) {
            (Sharing::Store(_), Some(ttl)) => drop(self.lead.store(Arc::clone(&stored), ttl, labels)),
            (Sharing::Store(_), None) | (Sharing::Share, _) => drop(self.lead.share(Arc::clone(&stored), labels)),
            (Sharing::Pass(reason), _) => {
                admission.tell(reason);
                drop(admission.pass(self.lead, reason, draft_status));
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
        &self,
        stale: &StoredResponse,
        head: &response::Parts,
        control: MemoControl,
        now: SystemTime,
        started: Instant,
    ) -> Draft {
        let mut draft = Draft::new(head, control, now, started, self.computed_by);
        draft.began = self.lead.start.map(|start| start.generation.number);
        draft.status = stale.status();
        draft.headers = revalidation::updated(stale.headers(), &head.headers, now);
        draft.compact();
        // A handler that answers 304 need not repeat the tags of the response.
        draft.control.add_tags(&stale.meta().groups);
        draft
    }
}

fn unavailable() -> Response<ReplyBody> {
    let mut head = Response::new(ReplyBody::empty());
    *head.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    head
}
