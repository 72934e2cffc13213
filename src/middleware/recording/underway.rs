//! [`Underway`]: a response whose head is there, for followers that read its body while it comes.
//!
//! Off unless [`stream_followers`](crate::MemoLockLayer::stream_followers) is set. A response that may be shared by its
//! head may turn out at its end to be broken, or private after all. Followers that have begun to read then get an error
//! in place of the end. Trailers are kept back until the end has been judged. Calls of gRPC are left out: only their
//! trailers tell their outcome.
//!
//! One recording serves the store and all readers. It counts against the bound on recordings until the last of them is
//! done.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::broadcast::{Broadcast, BroadcastItem, Reader};
use super::budget::Reservation;
use super::part::{BodySource, RecordingItem};
use crate::memo::{Presence, Present};
use crate::middleware::frames::consume;

/// The body of a response that is still coming.
pub(crate) struct Underway {
    audience: Arc<Broadcast<Option<HeaderMap>>>,
    hint: SizeHint,
    reservation: Arc<Reservation>,
    presence: Option<Arc<Presence>>,
}

impl Underway {
    /// The same body, of about this size.
    pub(crate) fn new(
        audience: Arc<Broadcast<Option<HeaderMap>>>,
        hint: SizeHint,
        reservation: Arc<Reservation>,
        presence: Option<Arc<Presence>>,
    ) -> Self {
        Self {
            audience,
            hint,
            reservation,
            presence,
        }
    }

    /// Whether the body broke off.
    pub(crate) fn has_broken_off(&self) -> bool {
        self.audience.has_broken_off()
    }

    /// All of the body, from its beginning.
    pub(crate) fn follow(&self) -> Following {
        Following {
            reader: Broadcast::join(&self.audience),
            remaining: self.hint,
            has_ended: false,
            client: self.presence.as_ref().map(Presence::enter),
            _reservation: Arc::clone(&self.reservation),
        }
    }
}

impl Following {
    /// The same, for a reader that the body waits for, as it waits for the leader's client: others read from that
    /// reader.
    pub(crate) fn holding(mut self) -> Self {
        self.reader = self.reader.holding();
        self
    }
}

/// A follower's end of the body.
pub(crate) struct Following {
    reader: Reader<Option<HeaderMap>>,
    remaining: SizeHint,
    has_ended: bool,
    client: Option<Present>,
    /// Held because the recording is in memory as long as its readers.
    _reservation: Arc<Reservation>,
}

impl BodySource for Following {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<RecordingItem> {
        if self.has_ended {
            return Poll::Ready(RecordingItem::End);
        }
        let next = ready!(self.reader.poll_next(cx));
        if matches!(next, BroadcastItem::End(_)) {
            // The computation is about to say so itself.
            self.client.take().into_iter().for_each(Present::settle);
        }
        let frame = match next {
            BroadcastItem::Data(data) => Frame::data(data),
            BroadcastItem::End(Some(trailers)) => {
                self.has_ended = true;
                Frame::trailers(trailers)
            }
            BroadcastItem::End(None) => return Poll::Ready(RecordingItem::End),
            BroadcastItem::BrokenOff => {
                return Poll::Ready(RecordingItem::Failed("the response that was followed broke off".into()));
            }
        };
        consume(&mut self.remaining, &frame);
        Poll::Ready(RecordingItem::Frame(frame))
    }

    fn remaining(&self) -> SizeHint {
        self.remaining
    }
}
