//! [`MemoBody`]: the body of every response that comes through the layer; and [`ReplyBody`], which most of them are.

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
use crate::middleware::frames::consume;
use crate::middleware::inner::{InnerBody, poll_frame};
use crate::middleware::recording::part::{BodySource, RecordingItem};
use crate::middleware::recording::recorder::Playback;
use crate::middleware::recording::trial::Trial;
use crate::middleware::shadow::Observer;

pin_project! {
    /// The body of a response: replayed from a stored one, streamed while it is recorded, or the inner service's own.
    pub struct MemoBody<B> {
        #[pin]
        kind: MemoKind<B>,
    }
}

pin_project! {
    #[project = MemoProj]
    enum MemoKind<B> {
        Reply { reply: ReplyBody },
        Inner { #[pin] body: B, observer: Option<Box<Observer>> },
    }
}

impl<B> MemoBody<B> {
    pub(crate) fn reply(reply: ReplyBody) -> Self {
        Self {
            kind: MemoKind::Reply { reply },
        }
    }

    /// The inner service's own body, and an observer that sees it pass.
    pub(crate) fn inner(body: B, observer: Option<Box<Observer>>) -> Self {
        Self {
            kind: MemoKind::Inner { body, observer },
        }
    }
}

impl<B> Body for MemoBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            MemoProj::Reply { reply } => reply.poll_frame(cx),
            MemoProj::Inner { mut body, observer } => {
                let frame = ready!(poll_frame(body.as_mut(), cx));
                if let Some(observer) = observer {
                    observer.see(frame.as_ref(), body.is_end_stream());
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            MemoKind::Reply { reply } => reply.is_end_stream(),
            MemoKind::Inner { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            MemoKind::Reply { reply } => reply.size_hint(),
            MemoKind::Inner { body, .. } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for MemoBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            MemoKind::Reply { reply } => reply.name(),
            MemoKind::Inner { .. } => "MemoBody(inner)",
        })
    }
}

/// The body of a response that the layer had a hand in.
pub(crate) struct ReplyBody {
    kind: ReplyKind,
}

enum ReplyKind {
    Replay {
        content: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    // Boxed, because otherwise each hit and each waiter would keep room for it.
    Source(Box<dyn BodySource>),
    /// The inner service's own, and the turn that the call has until the body is at its end.
    Inner(InnerBody, Option<QueueTurn>),
    /// The inner service's own body, watched to see whether it comes to its end.
    Tried(InnerBody, Box<Trial>),
    End,
}

/// A recording, for the client of the computation.
struct RecordedBody {
    playback: Playback,
    remaining: SizeHint,
    /// Only held.
    attachment: Option<Attachment>,
    // Until it has had all of it.
    client: Option<Present>,
}

impl BodySource for RecordedBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<RecordingItem> {
        let part = ready!(self.playback.poll_next(cx));
        if let RecordingItem::Frame(frame) = &part {
            consume(&mut self.remaining, frame);
        }
        if matches!(part, RecordingItem::End) || self.remaining.exact() == Some(0) {
            // The computation is about to say so itself.
            self.client.take().into_iter().for_each(Present::settle);
        }
        Poll::Ready(part)
    }

    fn remaining(&self) -> SizeHint {
        self.remaining
    }

    fn read_by(&mut self, client: Option<Present>, attachment: Attachment) {
        self.client = client;
        self.attachment = Some(attachment);
    }
}

impl ReplyBody {
    fn of(kind: ReplyKind) -> Self {
        Self { kind }
    }

    pub(crate) fn inner(body: InnerBody) -> Self {
        Self::of(ReplyKind::Inner(body, None))
    }

    /// The inner service's own body, watched to see whether it comes to its end.
    pub(crate) fn tried(body: InnerBody, trial: Trial) -> Self {
        Self::of(ReplyKind::Tried(body, Box::new(trial)))
    }

    pub(crate) fn recorded(playback: Playback, hint: SizeHint) -> Self {
        Self::read_from(RecordedBody {
            playback,
            remaining: hint,
            attachment: None,
            client: None,
        })
    }

    /// A body that comes part by part.
    pub(crate) fn read_from(source: impl BodySource + 'static) -> Self {
        Self::of(ReplyKind::Source(Box::new(source)))
    }

    /// The same, [read](BodySource::read_by) by the client of a computation.
    pub(crate) fn read_by(mut self, client: Option<Present>, attachment: Attachment) -> Self {
        match &mut self.kind {
            ReplyKind::Source(source) => source.read_by(client, attachment),
            _ => client.into_iter().for_each(Present::settle),
        }
        self
    }

    /// The same, of a call that counts against a limit until the inner service's own body is at its end or gone.
    pub(crate) fn in_turn(mut self, turn: QueueTurn) -> Self {
        if let ReplyKind::Inner(_, held) = &mut self.kind {
            *held = Some(turn);
        }
        self
    }

    pub(crate) fn replay(content: Bytes, trailers: Option<Box<HeaderMap>>) -> Self {
        if content.is_empty() && trailers.is_none() {
            return Self::empty();
        }
        Self::of(ReplyKind::Replay { content, trailers })
    }

    pub(crate) fn empty() -> Self {
        Self::of(ReplyKind::End)
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // Most bodies are in memory.
        if let ReplyKind::Replay { trailers: None, .. } = &self.kind
            && let ReplyKind::Replay { content, .. } = std::mem::replace(&mut self.kind, ReplyKind::End)
        {
            return Poll::Ready(Some(Ok(Frame::data(content))));
        }
        loop {
            let part = match &mut self.kind {
                ReplyKind::Replay { content, trailers } => {
                    let frame = match content.is_empty() {
                        true => trailers.take().map(|trailers| Frame::trailers(*trailers)),
                        false => Some(Frame::data(std::mem::take(content))),
                    };
                    if trailers.is_none() {
                        self.kind = ReplyKind::End;
                    }
                    return Poll::Ready(frame.map(Ok));
                }
                ReplyKind::Inner(body, turn) => {
                    let frame = ready!(body.poll_frame(cx));
                    if !matches!(frame, Some(Ok(_))) {
                        turn.take();
                    }
                    return Poll::Ready(frame);
                }
                ReplyKind::Tried(body, trial) => {
                    let frame = ready!(body.poll_frame(cx));
                    trial.see(frame.as_ref(), body.is_end_stream());
                    return Poll::Ready(frame);
                }
                ReplyKind::End => return Poll::Ready(None),
                ReplyKind::Source(source) => ready!(source.poll_next(cx)),
            };
            match part {
                RecordingItem::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                RecordingItem::End => *self = Self::empty(),
                RecordingItem::Failed(error) => {
                    *self = Self::empty();
                    return Poll::Ready(Some(Err(error)));
                }
                RecordingItem::Rest(body, None) => *self = Self::inner(body),
                RecordingItem::Rest(body, Some(trial)) => *self = Self::of(ReplyKind::Tried(body, trial)),
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.kind {
            ReplyKind::Inner(body, _) | ReplyKind::Tried(body, _) => body.is_end_stream(),
            ReplyKind::Source(source) => source.is_at_end(),
            ReplyKind::End => true,
            ReplyKind::Replay { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ReplyKind::Inner(body, _) | ReplyKind::Tried(body, _) => body.size_hint(),
            ReplyKind::Source(source) => source.remaining(),
            ReplyKind::End => SizeHint::with_exact(0),
            // A server that knows the exact length sends no trailers over HTTP/1, so it is not told one.
            ReplyKind::Replay { trailers: Some(_), .. } => SizeHint::default(),
            ReplyKind::Replay { content, .. } => SizeHint::with_exact(content.len() as u64),
        }
    }

    fn name(&self) -> &'static str {
        match &self.kind {
            ReplyKind::Replay { .. } => "MemoBody(replay)",
            ReplyKind::Source(_) => "MemoBody(in parts)",
            ReplyKind::Inner(..) | ReplyKind::Tried(..) => "MemoBody(inner)",
            ReplyKind::End => "MemoBody(end)",
        }
    }
}
