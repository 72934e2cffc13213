//! Recording a response while it streams: one producer, the computation, and one reader, the leader's client.
//!
//! The computation drains the inner body at the body's speed, however slowly the client reads. The bytes that the
//! client has not read yet are the recorded ones, so no more than the limit can pile up. Past the limit, or where all
//! recordings together hold as much as they may, nothing is recorded any more and the reader gets the inner body
//! itself, which then goes on at the client's speed. The same happens to a body that has no end to wait for, see
//! `endless.rs`.
//!
//! Followers that need not wait for the end read the same pieces: see `underway.rs`. Past the limit they read on, and
//! the recording is a window on the body, as long as the body was when it passed the limit. The quickest of all readers
//! sets the pace. A follower that falls out of the window gets an error. The leader's client never falls out: the body
//! waits for it. If that client does not read for [`STALL`], the body becomes its own, and the followers get the error.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::broadcast::{Broadcast, BroadcastItem, Producer, Reader};
use super::budget::Reservation;
use super::endless::Horizon;
use super::part::RecordingItem;
use super::trial::Trial;
use super::underway::Underway;
use crate::memo::Presence;
use crate::middleware::grpc::Framing;
use crate::middleware::inner::InnerBody;
use crate::middleware::policy::sharing::Reason;
use crate::simulation::{Planted, planted};

/// For how long a body that is not recorded any more waits for its readers before it breaks off for the followers.
pub(crate) const STALL: Duration = Duration::from_secs(30);

/// The reader's end.
pub(crate) struct Playback {
    data: Reader<Option<HeaderMap>>,
    /// What comes after the data.
    parts: UnboundedReceiver<RecordingItem>,
    /// The first of these.
    next: Option<RecordingItem>,
    /// Held as long as the reader, because unread bytes are in memory for as long.
    _reservation: Arc<Reservation>,
}

impl Playback {
    /// The next part. A recording that breaks off is a failure, never an end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<RecordingItem> {
        loop {
            if let Poll::Ready(BroadcastItem::Data(data)) = self.data.poll_next(cx) {
                return Poll::Ready(RecordingItem::Frame(Frame::data(data)));
            }
            if let Some(part) = self.next.take() {
                return Poll::Ready(part);
            }
            let part = ready!(self.parts.poll_recv(cx));
            // Data that comes before it may have arrived meanwhile.
            self.next = Some(part.unwrap_or_else(|| RecordingItem::Failed("the response was given up".into())));
        }
    }
}

/// The producer's end.
pub(crate) struct Recorder {
    parts: UnboundedSender<RecordingItem>,
    data: Producer<Option<HeaderMap>>,
    audience: Arc<Broadcast<Option<HeaderMap>>>,
    length: u64,
    limit: u64,
    /// Of a body that may have one message only.
    framing: Option<Framing>,
    reservation: Arc<Reservation>,
}

/// What became of a recording.
pub(crate) enum Recorded {
    /// The inner body came to its end.
    Complete {
        content: Bytes,
        trailers: Option<HeaderMap>,
        /// To be finished, or followers get an error.
        followed: Producer<Option<HeaderMap>>,
        /// To be held as long as the content.
        reservation: Arc<Reservation>,
    },
    /// The inner body came to its end past a limit: followers read it along, and it was not kept.
    Along {
        length: u64,
        trailers: Option<HeaderMap>,
        /// To be finished, or followers get an error.
        followed: Producer<Option<HeaderMap>>,
    },
    /// The inner body failed; the reader has its error.
    Failed,
    /// A limit is passed; the reader has the rest of the inner body.
    Passed,
}

/// Records up to `limit` bytes, as far as `reservation` has room for them.
pub(crate) fn recording(limit: u64, reservation: Reservation) -> (Recorder, Playback) {
    let (sender, parts) = unbounded_channel();
    let (data, audience) = Broadcast::new();
    let reservation = Arc::new(reservation);
    let playback = Playback {
        data: Broadcast::join(&audience).until_the_last(),
        parts,
        next: None,
        _reservation: Arc::clone(&reservation),
    };
    let recorder = Recorder {
        parts: sender,
        data,
        audience,
        length: 0,
        limit,
        framing: None,
        reservation,
    };
    (recorder, playback)
}

impl Recorder {
    /// Lets others read what is recorded from here on.
    pub(crate) fn follow(&self, hint: SizeHint, presence: Option<Arc<Presence>>) -> Underway {
        Underway::new(
            Arc::clone(&self.audience),
            hint,
            Arc::clone(&self.reservation),
            presence,
        )
    }
}

impl Recorder {
    /// The body is to be one message of gRPC: another one is at a limit.
    pub(crate) fn of_one_message(mut self) -> Self {
        self.framing = Some(Framing::default());
        self
    }

    /// Drains `body`, up to the limit, whether there is a reader or not: the reader may have gone, and others wait. No
    /// request waits for a body that goes on past its `horizon`: it is drained for the followers that read along
    /// already, and left to the reader once no follower is left.
    ///
    /// `on_limit` runs before the reader is handed the rest, and may have that watched. The rest of the body stays with
    /// the caller, to be dropped last: dropping it may panic.
    pub(crate) async fn record(
        mut self,
        body: &mut Option<InnerBody>,
        mut horizon: Horizon,
        mut on_limit: impl FnMut(Reason) -> Option<Trial>,
    ) -> Recorded {
        let mut trailers: Option<HeaderMap> = None;
        let mut endless: Option<Option<Trial>> = None;
        if self.framing.is_some() {
            horizon = horizon.never();
        }
        while let Some(going) = body {
            let next = tokio::select! {
                biased;
                frame = poll_fn(|cx| going.poll_frame(cx)) => frame,
                () = horizon.reached() => {
                    if horizon.is_endless(self.length) {
                        endless = Some(on_limit(self.why_endless()));
                    }
                    continue;
                }
                () = poll_fn(|cx| self.data.poll_unfollowed(cx)), if endless.is_some() => {
                    self.hand_over(body, endless.flatten());
                    return Recorded::Passed;
                }
            };
            let frame = match next {
                Some(Ok(frame)) => frame,
                Some(Err(_)) if planted(Planted::Truncated) => break,
                Some(Err(error)) => {
                    self.send(RecordingItem::Failed(error));
                    return Recorded::Failed;
                }
                None => break,
            };
            let reason = self.take(frame, &mut trailers);
            if self.framing.is_some_and(|framing| framing.is_one()) && endless.is_none() {
                // A reply is over with its message.
                horizon.restart();
            }
            if let Some(reason) = reason {
                let trial = on_limit(reason);
                if self.data.is_followed() {
                    return self.pass_along(body, trailers).await;
                }
                self.hand_over(body, trial);
                return Recorded::Passed;
            }
        }
        if let Some(Some(trial)) = endless {
            trial.ended(self.length, trailers.as_ref());
        }
        self.send(RecordingItem::End);
        Recorded::Complete {
            content: self.data.content(),
            trailers,
            followed: self.data,
            reservation: self.reservation,
        }
    }

    /// Drains the body beyond the limit for the followers that read along, and keeps no more of it than is recorded by
    /// now.
    async fn pass_along(mut self, body: &mut Option<InnerBody>, mut trailers: Option<HeaderMap>) -> Recorded {
        let window = usize::try_from(self.length).unwrap_or(usize::MAX);
        while let Some(going) = body {
            let data = &self.data;
            let next = async {
                let wanted = poll_fn(|cx| data.poll_wanted(window, cx));
                timeout(STALL, wanted).await.ok()?;
                Some(poll_fn(|cx| going.poll_frame(cx)).await)
            };
            let next = tokio::select! {
                biased;
                () = poll_fn(|cx| data.poll_unfollowed(cx)) => None,
                next = next => next,
            };
            let Some(next) = next else {
                self.hand_over(body, None);
                return Recorded::Passed;
            };
            let frame = match next {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.send(RecordingItem::Failed(error));
                    return Recorded::Failed;
                }
                None => break,
            };
            match frame.into_data() {
                Ok(data) => {
                    self.length += data.len() as u64;
                    self.data.push_on(data, window);
                }
                Err(frame) => self.take_trailers(frame, &mut trailers),
            }
        }
        self.send(RecordingItem::End);
        Recorded::Along {
            length: self.length,
            trailers,
            followed: self.data,
        }
    }

    fn take_trailers(&self, frame: Frame<Bytes>, trailers: &mut Option<HeaderMap>) {
        if let Some(fields) = frame.trailers_ref() {
            trailers.get_or_insert_default().extend(fields.clone());
        }
        self.send(RecordingItem::Frame(frame));
    }

    /// Records a frame. Returns the limit that is passed, if any.
    fn take(&mut self, frame: Frame<Bytes>, trailers: &mut Option<HeaderMap>) -> Option<Reason> {
        let mut room = true;
        match frame.into_data() {
            Ok(data) => {
                self.length += data.len() as u64;
                if let Some(framing) = &mut self.framing {
                    framing.see(&data);
                }
                room = self.reservation.grow(self.data.push(data) as u64);
            }
            Err(frame) => self.take_trailers(frame, trailers),
        }
        match self.length > self.limit {
            true => Some(Reason::TooLarge),
            false if self.framing.is_some_and(|framing| framing.is_more_than_one()) => Some(Reason::Messages),
            false => (!room).then_some(Reason::NoRoom),
        }
    }

    fn why_endless(&self) -> Reason {
        match self.framing {
            Some(_) => Reason::Messages,
            None => Reason::Endless,
        }
    }

    /// Leaves the rest of the body to the reader.
    fn hand_over(&self, body: &mut Option<InnerBody>, trial: Option<Trial>) {
        let trial = trial.map(|trial| Box::new(trial.after(self.length)));
        if let Some(rest) = body.take() {
            self.send(RecordingItem::Rest(rest, trial));
        }
    }

    fn send(&self, part: RecordingItem) {
        // A client that hangs up stops nothing.
        let _ = self.parts.send(part);
    }
}
