//! The leader's part: call the inner service, stream its response to the leader's client, and settle the promise.
//!
//! All of it runs in a task of its own, so that a client that hangs up stops nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;
use tracing::Instrument;

use super::body::MemoBody;
use super::policy::ending::{Ended, Incomplete, at_end};
use super::policy::response::{Reason, ResponseRules, Sharing, at_head};
use super::policy::vary::{self, Vary};
use super::policy::{age, fields};
use super::recording::{Recorded, Recorder, recording};
use super::reservation::Reservation;
use super::stored_response::{BinaryHttp, Meta, StoredResponse};
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
}

/// What decides whether a response is shared, and who is told.
pub(crate) struct Judge<St> {
    pub(crate) shared: Arc<Shared<St, BinaryHttp>>,
    pub(crate) address: Address,
    pub(crate) rules: ResponseRules,
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
        let task = tokio::spawn(self.compute(service, request, answer).in_current_span());
        match answered.await {
            Ok(answer) => answer,
            Err(_) => match task.await {
                // The panic goes where it would have gone without the layer.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
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
        let response = match poll_fn(|cx| service.poll_ready(cx)).await {
            Ok(()) => service.call(request).await,
            Err(error) => Err(error),
        };
        drop(service);
        match response {
            // Dropping the lead hands it to exactly one of those who wait.
            Err(error) => drop((self.lead, answer.send(Err(error)).is_ok())),
            Ok(response) => self.conclude(response, answer, started).await,
        }
    }

    async fn conclude<ResBody, E>(
        self,
        response: Response<ResBody>,
        answer: oneshot::Sender<Answer<ResBody, E>>,
        started: Instant,
    ) where
        ResBody: Body,
        ResBody::Error: Into<BoxError>,
    {
        let (head, body) = response.into_parts();
        let now = SystemTime::now();
        let judge = &self.judge;
        let sharing = match at_head(&self.method, head.status, &head.headers, &judge.rules, now) {
            Sharing::Pass(reason) => Sharing::Pass(reason),
            sharing => judge.at_size(body.size_hint().lower(), sharing),
        };
        if let Sharing::Pass(reason) = sharing {
            judge.tell(reason);
            self.lead.pass();
            // The client may have gone.
            let _ = answer.send(Ok(Response::from_parts(head, MemoBody::inner(body))));
            return;
        }
        let mut headers = head.headers.clone();
        fields::strip_connection_fields(&mut headers);
        let draft = Draft {
            status: head.status,
            headers,
            age: age::on_arrival(&head.headers, now),
            stored_at: now,
            received: Instant::now(),
            cost: started.elapsed(),
        };
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

    async fn record<ResBody>(self, recorder: Recorder<ResBody>, body: ResBody, sharing: Sharing, draft: Draft)
    where
        ResBody: Body,
        ResBody::Error: Into<BoxError>,
    {
        let judge = self.judge;
        let mut lead = Some(self.lead);
        let mut pass = |reason| {
            judge.tell(reason);
            lead.take().map(Lead::pass);
        };
        let Recorded::Complete {
            content,
            trailers,
            reservation,
        } = recorder.record(body, &mut pass).await
        else {
            return;
        };
        let ended = Ended {
            method: &self.method,
            status: draft.status,
            headers: &draft.headers,
            trailers: trailers.as_ref(),
            body_len: content.len() as u64,
        };
        let fresh_for = match at_end(sharing, &ended) {
            Ok(Sharing::Store { fresh_for }) => fresh_for,
            Ok(Sharing::Share) => Duration::ZERO,
            Ok(Sharing::Pass(reason)) => return pass(reason),
            // Dropping the lead lets somebody else try again.
            Err(Incomplete) => return,
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
        let ttl = fresh_for.saturating_sub(draft.received.elapsed());
        let stored = Arc::new(draft.finish(content, trailers, fresh_for, variant));
        let Some(lead) = lead else { return };
        let settled = if ttl.is_zero() {
            lead.share(stored, Vec::new())
        } else {
            lead.store(stored, ttl, Vec::new())
        };
        settled.wait().await;
        drop(reservation);
    }
}

impl<St: Store> Judge<St> {
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
            | Reason::Endless => {}
        }
    }
}

/// What is known of the response to store once its head is there.
struct Draft {
    status: http::StatusCode,
    headers: HeaderMap,
    age: Duration,
    stored_at: SystemTime,
    received: Instant,
    cost: Duration,
}

impl Draft {
    fn finish(
        self,
        content: bytes::Bytes,
        trailers: Option<HeaderMap>,
        fresh_for: Duration,
        variant: Option<[u8; 16]>,
    ) -> StoredResponse {
        let meta = Meta {
            stored_at: self.stored_at,
            fresh_for,
            age: self.age,
            cost: self.cost + self.received.elapsed(),
            variant,
            ..Meta::default()
        };
        StoredResponse::new(self.status, self.headers, content, trailers, meta)
    }
}

fn unavailable<B>() -> Response<MemoBody<B>> {
    let mut head = Response::new(MemoBody::empty());
    *head.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    head
}
