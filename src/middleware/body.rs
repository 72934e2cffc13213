//! [`MemoBody`]: the body of every response that comes through the layer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::recording::{Part, Playback};
use super::stored_response::StoredResponse;
use crate::error::BoxError;

pin_project! {
    /// The body of a response: replayed from a stored one, streamed while it is recorded, or the inner service's own.
    pub struct MemoBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Replay { next: Replay, stored: Option<Arc<StoredResponse>> },
        Recorded { playback: Playback<B>, remaining: SizeHint },
        Rest { body: Pin<Box<B>> },
        Inner { #[pin] body: B },
        End,
    }
}

#[derive(Debug, Clone, Copy)]
enum Replay {
    Content,
    Trailers,
}

impl<B> MemoBody<B> {
    pub(crate) fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner { body },
        }
    }

    pub(crate) fn recorded(playback: Playback<B>, hint: SizeHint) -> Self {
        Self {
            kind: Kind::Recorded {
                playback,
                remaining: hint,
            },
        }
    }

    pub(crate) fn replay(stored: Arc<StoredResponse>) -> Self {
        let next = if stored.body().is_empty() {
            Replay::Trailers
        } else {
            Replay::Content
        };
        if stored.body().is_empty() && stored.trailers().is_none() {
            return Self::empty();
        }
        Self {
            kind: Kind::Replay {
                next,
                stored: Some(stored),
            },
        }
    }

    pub(crate) fn empty() -> Self {
        Self { kind: Kind::End }
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
            let part = match self.as_mut().project().kind.project() {
                KindProj::Replay { next, stored } => {
                    let frame = replay_frame(next, stored);
                    if stored.is_none() {
                        self.set(Self::empty());
                    }
                    return Poll::Ready(frame.map(Ok));
                }
                KindProj::Rest { body } => return poll_inner(body.as_mut(), cx),
                KindProj::Inner { body } => return poll_inner(body, cx),
                KindProj::End => return Poll::Ready(None),
                KindProj::Recorded { playback, remaining } => {
                    let part = ready!(playback.poll_next(cx));
                    if let Part::Frame(frame) = &part {
                        consume(remaining, frame);
                    }
                    part
                }
            };
            match part {
                Part::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Part::End => self.set(Self::empty()),
                Part::Failed(error) => {
                    self.set(Self::empty());
                    return Poll::Ready(Some(Err(error)));
                }
                Part::Rest(body) => self.set(Self {
                    kind: Kind::Rest { body },
                }),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Rest { body } => body.is_end_stream(),
            Kind::End => true,
            Kind::Replay { .. } | Kind::Recorded { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Rest { body } => body.size_hint(),
            Kind::Recorded { remaining, .. } => *remaining,
            Kind::End => SizeHint::with_exact(0),
            Kind::Replay { next, stored } => replay_hint(*next, stored.as_deref()),
        }
    }
}

fn replay_frame(next: &mut Replay, stored: &mut Option<Arc<StoredResponse>>) -> Option<Frame<Bytes>> {
    let response = stored.as_ref()?;
    match *next {
        Replay::Content => {
            let content = Frame::data(response.body().clone());
            if response.trailers().is_some() {
                *next = Replay::Trailers;
            } else {
                *stored = None;
            }
            Some(content)
        }
        Replay::Trailers => stored.take()?.trailers().cloned().map(Frame::trailers),
    }
}

/// A server that knows the exact length sends no trailers over HTTP/1, so it is not told one.
fn replay_hint(next: Replay, stored: Option<&StoredResponse>) -> SizeHint {
    match (next, stored) {
        (Replay::Content, Some(stored)) if stored.trailers().is_none() => {
            SizeHint::with_exact(stored.body().len() as u64)
        }
        _ => SizeHint::default(),
    }
}

fn consume(remaining: &mut SizeHint, frame: &Frame<Bytes>) {
    let Some(data) = frame.data_ref() else { return };
    let length = data.len() as u64;
    let upper = remaining.upper().map(|upper| upper.saturating_sub(length));
    let mut hint = SizeHint::new();
    hint.set_lower(remaining.lower().saturating_sub(length));
    if let Some(upper) = upper {
        hint.set_upper(upper);
    }
    *remaining = hint;
}

fn poll_inner<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    body.poll_frame(cx)
        .map(|frame| frame.map(|frame| frame.map(into_bytes).map_err(Into::into)))
}

/// The frame with its data as `Bytes`, which copies nothing where it is `Bytes` already.
pub(crate) fn into_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

impl<B> fmt::Debug for MemoBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Replay { .. } => "MemoBody(replay)",
            Kind::Recorded { .. } => "MemoBody(recorded)",
            Kind::Rest { .. } | Kind::Inner { .. } => "MemoBody(inner)",
            Kind::End => "MemoBody(end)",
        })
    }
}
