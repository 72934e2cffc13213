//! The part of a response that followers get while it is still coming.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

use super::computation::Computation;
use crate::memo::{Growing, Outgoing, Piece};
use crate::middleware::policy::ending::is_grpc;
use crate::middleware::policy::freshness::Terms;
use crate::middleware::policy::sharing::Sharing;
use crate::middleware::policy::stream_followers::StreamFollowers;
use crate::middleware::policy::vary::{self, Vary};
use crate::middleware::recording::part::{BodySource, RecordingItem};
use crate::middleware::recording::recorder::Recorder;
use crate::middleware::recording::underway::{Following, Underway};
use crate::middleware::stored_response::draft::Draft;
use crate::middleware::stored_response::{StoredResponse, StreamedEncoder};

/// The response for followers while `recorder` records it; `None` where they have to wait for the end.
pub(crate) fn of(
    computation: &Computation,
    recorder: &Recorder,
    hint: SizeHint,
    sharing: Sharing,
    draft: &mut Draft,
) -> Option<(Arc<StoredResponse>, Option<Outgoing>)> {
    if computation.admission.rules.stream_followers == StreamFollowers::Off || is_grpc(&draft.headers) {
        return None;
    }
    let variant = match vary::names(&draft.headers) {
        Vary::Names(names) => Some(vary::fingerprint(&names, &computation.request_headers)),
        Vary::None => None,
        Vary::Any => return None,
    };
    draft.settle_generation();
    // The response is not stale to its followers, however short its life.
    let terms = match sharing {
        Sharing::Store(terms) => terms.for_followers_only(),
        Sharing::Share | Sharing::Pass(_) => Terms::default(),
    };
    let outgoing = outgoing(computation, recorder, hint, sharing, draft, variant);
    let head = draft.clone().finish(Bytes::new(), None, terms, variant);
    let head = Arc::new(head.underway(recorder.follow(hint, computation.presence.clone())));
    Some((head, outgoing))
}

/// The same for followers elsewhere: in the form in which it is going to be stored, if it is.
fn outgoing(
    computation: &Computation,
    recorder: &Recorder,
    hint: SizeHint,
    sharing: Sharing,
    draft: &Draft,
    variant: Option<[u8; 16]>,
) -> Option<Outgoing> {
    let (rules, shared) = (&computation.admission.rules, &computation.admission.shared);
    if rules.stream_followers != StreamFollowers::Cluster || shared.codec.is_raw() {
        return None;
    }
    let terms = match sharing {
        Sharing::Store(terms) => terms,
        Sharing::Share | Sharing::Pass(_) => Terms::default(),
    };
    let head = draft.clone().finish(Bytes::new(), None, terms, variant);
    let (address, body) = (computation.admission.address.clone(), recorder.follow(hint, None));
    Some(Outgoing::new(move |id| {
        let (encoder, head) = StreamedEncoder::begin(&address, &head, id).ok()?;
        Some(Box::new(Outbound {
            head: Some(head),
            encoder: Some(encoder),
            body,
            following: None,
            rest: Bytes::new(),
        }))
    }))
}

/// How much content is a piece at most.
const MOST: usize = 64 * 1024;

/// A response on its way to other processes.
struct Outbound {
    head: Option<Bytes>,
    /// Until the end.
    encoder: Option<StreamedEncoder>,
    body: Underway,
    /// Once it is read.
    following: Option<Following>,
    /// What has been read, and not encoded.
    rest: Bytes,
}

impl Outbound {
    /// The next content, or the trailers at its end.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Option<HeaderMap>>>> {
        // A response that no other process has asked for gives nothing a reason to go on.
        let following = self.following.get_or_insert_with(|| self.body.follow().holding());
        let mut trailers = None;
        loop {
            if !self.rest.is_empty() {
                let next = self.rest.len().min(MOST);
                return Poll::Ready(Some(Ok(self.rest.split_to(next))));
            }
            match ready!(following.poll_next(cx)) {
                RecordingItem::Frame(frame) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
                RecordingItem::End => return Poll::Ready(Some(Err(trailers))),
                RecordingItem::Failed(_) | RecordingItem::Rest(..) => return Poll::Ready(None),
            }
        }
    }
}

impl Growing for Outbound {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Piece::More(head));
        }
        let content = ready!(self.poll_content(cx));
        let Some(encoder) = &mut self.encoder else {
            return Poll::Ready(Piece::BrokenOff);
        };
        Poll::Ready(match content {
            None => Piece::BrokenOff,
            Some(Ok(content)) => Piece::More(encoder.chunk(&content)),
            Some(Err(trailers)) => {
                let end = self
                    .encoder
                    .take()
                    .and_then(|encoder| encoder.end(trailers.as_ref()).ok());
                end.map_or(Piece::BrokenOff, Piece::End)
            }
        })
    }
}
