//! The leader's part: call the inner service, stream its response to the leader's client, and settle the promise.
//!
//! All of it runs in a task of its own, so that a client that hangs up stops nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, Request, Response, StatusCode, response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;
use tracing::Instrument;

use super::body::MemoBody;
use super::cache_status::{Forward, Forwarded};
use super::control::MemoControl;
use super::draft::Draft;
use super::fallback::{StaleOnPanic, broke_off, is_outage, stand_in};
use super::marker::{self, Markers};
use super::origin::Origin;
use super::permissions::Permissions;
use super::policy::ending::{Ended, Incomplete, at_end, is_grpc};
use super::policy::fields;
use super::policy::freshness::Terms;
use super::policy::response::{Head, Reason, ResponseRules, ServerError, Sharing, at_head};
use super::policy::revalidation;
use super::policy::vary::{self, Vary};
use super::recording::{Recorded, Recorder, recording};
use super::replay;
use super::reservation::Reservation;
use super::stored_response::{BinaryHttp, StoredResponse};
use crate::error::BoxError;
use crate::key::Address;
use crate::memo::{Lead, Limit, Shared};
use crate::store::Store;

/// What a computation needs to know besides the request and the service.
pub(crate) struct Computation<St> {
    pub(crate) judge: Judge<St>,
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
    /// Whose groups the response belongs to.
    pub(crate) origin: Origin,
}

/// What decides whether a response is shared, and who is told.
pub(crate) struct Judge<St> {
    pub(crate) shared: Arc<Shared<St, BinaryHttp>>,
    pub(crate) markers: Arc<Markers>,
    pub(crate) address: Address,
    pub(crate) rules: ResponseRules,
    pub(crate) cache_status: bool,
    pub(crate) permissions: Arc<Permissions>,
}

type Answer<B, E> = Result<Response<MemoBody<B>>, E>;

impl<St: Store> Computation<St> {
    /// Starts the task and waits for the head of the response.
    pub(crate) async fn run<S, ReqBody, ResBody>(
        self,
        service: S,
        request: Request<ReqBody>,
    ) -> Answer<ResBody, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        ReqBody: Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Data: Send,
        ResBody::Error: Into<BoxError>,
    {
        let (answer, answered) = oneshot::channel();
        let fallback = self.fallback.clone();
        let cache_status = self.judge.cache_status;
        let task = tokio::spawn(self.compute(service, request, answer).in_current_span());
        match answered.await {
            Ok(answer) => answer,
            Err(_) => match task.await {
                Err(error) if error.is_panic() => match stand_in(fallback) {
                    Some(stale) => Ok(replay::stale(stale, Instant::now(), cache_status)),
                    // The panic goes where it would have gone without the layer.
                    None => std::panic::resume_unwind(error.into_panic()),
                },
                // The runtime is shutting down.
                _ => Ok(unavailable()),
            },
        }
    }

    async fn compute<S, ReqBody, ResBody>(
        self,
        mut service: S,
        request: Request<ReqBody>,
        answer: oneshot::Sender<Answer<ResBody, S::Error>>,
    ) where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ResBody: Body,
        ResBody::Error: Into<BoxError>,
    {
        let started = Instant::now();
        let mut this = StaleOnPanic(Some(self));
        let response = match poll_fn(|cx| service.poll_ready(cx)).await {
            Ok(()) => service.call(request).await,
            Err(error) => Err(error),
        };
        drop(service);
        let Some(this) = this.0.take() else { return };
        match response {
            Err(error) => match stand_in(this.fallback.clone()) {
                Some(stale) => this.stand_in(stale, None, answer),
                // Dropping the lead hands it to exactly one of those who wait.
                None => drop((this.lead, answer.send(Err(error)).is_ok())),
            },
            Ok(response) => this.conclude(response, answer, started).await,
        }
    }

    async fn conclude<ResBody, E>(
        mut self,
        response: Response<ResBody>,
        answer: oneshot::Sender<Answer<ResBody, E>>,
        started: Instant,
    ) where
        ResBody: Body,
        ResBody::Error: Into<BoxError>,
    {
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::NOT_MODIFIED
            && let Some(stale) = self.stale.take()
        {
            let validated = self.validated(&stale, head, started);
            let _ = answer.send(Ok(validated));
            return;
        }
        if is_outage(head.status)
            && let Some(stale) = stand_in(self.fallback.clone())
        {
            return self.stand_in(stale, Some(head.status), answer);
        }
        let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
        let judge = &self.judge;
        let now = SystemTime::now();
        let sharing = judge.at_head(&self.method, &head, &control, now);
        let sharing = match sharing {
            Sharing::Pass(reason) => Sharing::Pass(reason),
            sharing => judge.at_size(body.size_hint().lower(), sharing),
        };
        if let Sharing::Pass(reason) = sharing {
            judge.tell(reason);
            judge.say(self.why, None, sharing, &mut head.headers);
            self.lead.pass(judge.marker(reason, head.status));
            // The client may have gone.
            let _ = answer.send(Ok(Response::from_parts(head, MemoBody::inner(body))));
            return;
        }
        let mut draft = Draft::new(&head, control, now, started);
        judge.say(self.why, None, sharing, &mut head.headers);
        if head.status.is_server_error() && judge.rules.on_server_error == ServerError::HandOver {
            // To exactly one of those who wait.
            drop(self.lead);
            let _ = answer.send(Ok(Response::from_parts(head, MemoBody::inner(body))));
            return;
        }
        fields::strip_connection_fields(&mut draft.headers);
        let reservation = Reservation::new(Arc::clone(&judge.shared.counters), judge.rules.max_recording);
        let (recorder, playback) = recording(judge.rules.max_body, reservation);
        // A response that is over with its head has to look so: gRPC tells failed calls by that.
        let playback = if body.is_end_stream() {
            MemoBody::empty()
        } else {
            MemoBody::recorded(playback, body.size_hint())
        };
        let _ = answer.send(Ok(Response::from_parts(head, playback)));
        self.record(recorder, body, sharing, draft).await;
    }

    /// The stale response is still right, says the inner service: it is stored anew, with the fields of the 304.
    fn validated<ResBody>(
        self,
        stale: &StoredResponse,
        mut head: response::Parts,
        started: Instant,
    ) -> Response<MemoBody<ResBody>> {
        let now = SystemTime::now();
        let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
        let is_about = revalidation::is_about(&head.headers, stale.headers());
        let mut draft = Draft::new(&head, control, now, started);
        draft.status = stale.status();
        draft.headers = revalidation::updated(stale.headers(), &head.headers, now);
        // A handler that only says that nothing has changed does not say again what else it is about.
        draft.control.add_tags(&stale.meta().groups);
        head.status = draft.status;
        head.headers.clone_from(&draft.headers);
        // A 304 about something else updates nothing (RFC 9111, 4.3.4), but is an answer.
        let sharing = match self.judge.at_head(&self.method, &head, &draft.control, now) {
            Sharing::Store(_) if !is_about => Sharing::Share,
            sharing => sharing,
        };
        let variant = stale.meta().variant;
        let draft_status = draft.status;
        let (content, trailers) = (stale.body().clone(), stale.trailers().cloned());
        let terms = match sharing {
            Sharing::Store(terms) => terms,
            Sharing::Share | Sharing::Pass(_) => Terms::default(),
        };
        let left = terms.left_after(draft.received.elapsed());
        let labels = draft.labels(&self.origin);
        let stored = Arc::new(draft.finish(content, trailers, terms, variant));
        let judge = &self.judge;
        judge.permissions.learn(stored.meta());
        match (sharing, left) {
            (Sharing::Store(_), Some(ttl)) => drop(self.lead.store(Arc::clone(&stored), ttl, labels)),
            (Sharing::Store(_), None) | (Sharing::Share, _) => drop(self.lead.share(Arc::clone(&stored), labels)),
            (Sharing::Pass(reason), _) => {
                judge.tell(reason);
                drop(self.lead.pass(judge.marker(reason, draft_status)));
            }
        }
        let mut response = replay::followed(stored);
        judge.say(
            self.why,
            Some(StatusCode::NOT_MODIFIED),
            sharing,
            response.headers_mut(),
        );
        response
    }

    async fn record<ResBody>(self, recorder: Recorder<ResBody>, body: ResBody, sharing: Sharing, draft: Draft)
    where
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
        let terms = match at_end(sharing, &ended) {
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

impl<St: Store> Judge<St> {
    fn at_head(&self, method: &Method, head: &response::Parts, control: &MemoControl, now: SystemTime) -> Sharing {
        let head = Head {
            method,
            status: head.status,
            headers: &head.headers,
            control,
        };
        match at_head(&head, &self.rules, now) {
            Sharing::Store(mut terms) => {
                terms.fresh_for = self.rules.random.shortened(terms.fresh_for, self.rules.ttl_jitter);
                Sharing::Store(terms)
            }
            sharing => sharing,
        }
    }

    /// The marker that a response leaves which is not shared for this reason.
    fn marker(&self, reason: Reason, status: StatusCode) -> Option<(Arc<StoredResponse>, Duration)> {
        let (rules, is_error) = (&self.rules, status.is_client_error() || status.is_server_error());
        if !reason.is_lasting() || is_error || rules.pass_marker.is_zero() {
            return None;
        }
        let time = rules.random.shortened(rules.pass_marker, marker::SPREAD);
        self.markers.put(&self.address, Instant::now(), time);
        Some((Arc::new(StoredResponse::marker()), time))
    }

    /// Adds `Cache-Status` to a response of the inner service.
    fn say(&self, why: Forward, status: Option<StatusCode>, sharing: Sharing, headers: &mut HeaderMap) {
        if !self.cache_status {
            return;
        }
        let mut forwarded = Forwarded::because(why);
        forwarded.status = status;
        // Whether a call of gRPC succeeded, and so whether it is stored, only its trailers tell.
        forwarded.stored = matches!(sharing, Sharing::Store(_)) && !is_grpc(headers);
        if let Sharing::Pass(reason) = sharing {
            forwarded.detail = Some(reason.as_str());
        }
        forwarded.tell(headers);
    }

    /// The same, unless a body of at least `bytes` bytes is too long.
    fn at_size(&self, bytes: u64, sharing: Sharing) -> Sharing {
        let held = self.shared.counters.recorded_bytes.get();
        if bytes > self.rules.max_body {
            Sharing::Pass(Reason::TooLarge)
        } else if bytes > self.rules.max_recording.saturating_sub(held) {
            Sharing::Pass(Reason::NoRoom)
        } else {
            sharing
        }
    }

    /// Says why the response is not shared.
    fn tell(&self, reason: Reason) {
        tracing::debug!(address = %self.address.readable(), reason = reason.as_str(), "the response is not shared");
        match reason {
            Reason::TooLarge => self.shared.counters.limited_body.add(),
            Reason::HeadersTooLarge => self.shared.counters.limited_headers.add(),
            Reason::NoRoom => self.shared.limited(&self.address, Limit::Recording),
            Reason::Status
            | Reason::NoStore
            | Reason::NoCache
            | Reason::Private
            | Reason::Malformed
            | Reason::SetCookie
            | Reason::Vary
            | Reason::Tags
            | Reason::Endless => {}
        }
    }
}

fn unavailable<B>() -> Response<MemoBody<B>> {
    let mut head = Response::new(MemoBody::empty());
    *head.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    head
}
