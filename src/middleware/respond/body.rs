//! [`MemoBody`]: the body of every response that comes through the layer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::attached::Attachment;
use crate::error::BoxError;
use crate::memo::{Present, QueueTurn};
use crate::middleware::frames::{consume, into_bytes};
use crate::middleware::recording::part::Part;
use crate::middleware::recording::recorder::Playback;
use crate::middleware::recording::trial::Trial;
use crate::middleware::recording::underway::Following;
use crate::middleware::stored_response::PartedBody;

pin_project! {
    /// The body of a response: replayed from a stored one, streamed while it is recorded, or the inner service's own.
    pub struct MemoBody<B> {
        #[pin]
        kind: BodyKind<B>,
        // Until it has had all of it.
        client: Option<Present>,
        turn: Option<QueueTurn>,
    }
}

pin_project! {
    #[project = KindProj]
    enum BodyKind<B> {
        Replay { content: Bytes, trailers: Option<Box<HeaderMap>> },
        // Boxed, because each hit and each waiter would keep room for it.
        Recorded { recorded: Box<RecordedBody<B>> },
        Followed { following: Box<Following> },
        Parted { body: Box<PartedBody> },
        Rest { body: Pin<Box<B>> },
        Inner { #[pin] body: B },
        Tried { body: Pin<Box<B>>, trial: Box<Trial> },
        End,
    }
}

struct RecordedBody<B> {
    playback: Playback<B>,
    remaining: SizeHint,
    /// Only kept.
    _attachment: Option<Attachment>,
}

impl<B> MemoBody<B> {
    fn of(kind: BodyKind<B>) -> Self {
        Self {
            kind,
            client: None,
            turn: None,
        }
    }

    pub(crate) fn inner(body: B) -> Self {
        Self::of(BodyKind::Inner { body })
    }

    /// The inner service's own, with an eye on whether it comes to its end.
    pub(crate) fn tried(body: B, trial: Trial) -> Self {
        Self::of(BodyKind::Tried {
            body: Box::pin(body),
            trial: Box::new(trial),
        })
    }

    pub(crate) fn recorded(playback: Playback<B>, hint: SizeHint) -> Self {
        let recorded = RecordedBody {
            playback,
            remaining: hint,
            _attachment: None,
        };
        Self::of(BodyKind::Recorded {
            recorded: Box::new(recorded),
        })
    }

    /// The same, where it comes from a task that is to stay in a span as long as it does.
    pub(crate) fn attached(mut self, attached: Attachment) -> Self {
        if let BodyKind::Recorded { recorded } = &mut self.kind {
            recorded._attachment = Some(attached);
        }
        self
    }

    /// The same, whose computation is not left alone before its client has read it, or gone.
    pub(crate) fn read_by(mut self, client: Option<Present>) -> Self {
        match &self.kind {
            BodyKind::Recorded { .. } => self.client = client,
            _ => client.into_iter().for_each(Present::settle),
        }
        self
    }

    /// The same, of a call that goes on, as a limit counts, until the body is at its end or gone.
    pub(crate) fn in_turn(mut self, turn: QueueTurn) -> Self {
        self.turn = Some(turn);
        self
    }

    pub(crate) fn followed(following: Following) -> Self {
        Self::of(BodyKind::Followed {
            following: Box::new(following),
        })
    }

    pub(crate) fn replay(content: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        if content.is_empty() && trailers.is_none() {
            return Self::empty();
        }
        Self::of(BodyKind::Replay { content, trailers })
    }

    /// Read from the store as the client reads.
    pub(crate) fn parted(body: PartedBody) -> Self {
        let body = Box::new(body);
        Self::of(BodyKind::Parted { body })
    }

    pub(crate) fn empty() -> Self {
        Self::of(BodyKind::End)
    }
}

impl<B> Body for MemoBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let this = self.as_mut().project();
            let part = match this.kind.project() {
                KindProj::Replay { content, trailers } => {
                    let frame = if content.is_empty() {
                        trailers.take().map(|trailers| Frame::trailers(*trailers))
                    } else {
                        Some(Frame::data(std::mem::take(content)))
                    };
                    if trailers.is_none() {
                        self.set(Self::empty());
                    }
                    return Poll::Ready(frame.map(Ok));
                }
                KindProj::Rest { body } => return poll_inner(body.as_mut(), cx),
                KindProj::Parted { body } => return body.poll_next(cx),
                KindProj::Inner { body } => {
                    let frame = ready!(poll_inner(body, cx));
                    if !matches!(frame, Some(Ok(_))) {
                        this.turn.take();
                    }
                    return Poll::Ready(frame);
                }
                KindProj::Tried { body, trial } => {
                    let frame = ready!(poll_inner(body.as_mut(), cx));
                    trial.see(frame.as_ref(), body.is_end_stream());
                    return Poll::Ready(frame);
                }
                KindProj::End => return Poll::Ready(None),
                KindProj::Followed { following } => ready!(following.poll_next(cx)),
                KindProj::Recorded { recorded } => {
                    let part = ready!(recorded.playback.poll_next(cx));
                    if let Part::Frame(frame) = &part {
                        consume(&mut recorded.remaining, frame);
                    }
                    part
                }
            };
            if matches!(part, Part::End) || self.size_hint().exact() == Some(0) {
                // The computation is about to say so itself.
                self.as_mut()
                    .project()
                    .client
                    .take()
                    .into_iter()
                    .for_each(Present::settle);
            }
            match part {
                Part::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Part::End => self.set(Self::empty()),
                Part::Failed(error) => {
                    self.set(Self::empty());
                    return Poll::Ready(Some(Err(error)));
                }
                Part::Rest(body, None) => self.set(Self::of(BodyKind::Rest { body })),
                Part::Rest(body, Some(trial)) => self.set(Self::of(BodyKind::Tried { body, trial })),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Inner { body } => body.is_end_stream(),
            BodyKind::Rest { body } | BodyKind::Tried { body, .. } => body.is_end_stream(),
            BodyKind::Parted { body } => body.is_at_end(),
            BodyKind::End => true,
            BodyKind::Replay { .. } | BodyKind::Recorded { .. } | BodyKind::Followed { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Inner { body } => body.size_hint(),
            BodyKind::Rest { body } | BodyKind::Tried { body, .. } => body.size_hint(),
            BodyKind::Recorded { recorded } => recorded.remaining,
            BodyKind::Followed { following } => following.remaining(),
            BodyKind::Parted { body } => body.remaining(),
            BodyKind::End => SizeHint::with_exact(0),
            // A server that knows the exact length sends no trailers over HTTP/1, so it is not told one.
            BodyKind::Replay { trailers: Some(_), .. } => SizeHint::default(),
            BodyKind::Replay { content, .. } => SizeHint::with_exact(content.len() as u64),
        }
    }
}

fn poll_inner<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    body.poll_frame(cx)
        .map(|frame| frame.map(|frame| frame.map(into_bytes).map_err(Into::into)))
}

impl<B> fmt::Debug for MemoBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            BodyKind::Replay { .. } | BodyKind::Parted { .. } => "MemoBody(replay)",
            BodyKind::Recorded { .. } | BodyKind::Followed { .. } => "MemoBody(recorded)",
            BodyKind::Rest { .. } | BodyKind::Inner { .. } | BodyKind::Tried { .. } => "MemoBody(inner)",
            BodyKind::End => "MemoBody(end)",
        })
    }
}
