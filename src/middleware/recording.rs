//! Recording a response while it streams: one producer, the computation, and one reader, the leader's client.
//!
//! The computation drains the inner body at its own speed, however slowly the client reads; what the client has not
//! read yet is the same memory that is recorded, so the most that can pile up is the limit. Past the limit nothing is
//! recorded any more and the reader gets the inner body itself: from there on the client's speed is the inner body's.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::body::into_bytes;
use crate::error::BoxError;

/// What the reader gets, in this order: frames, then one of the others.
pub(crate) enum Part<B> {
    Frame(Frame<Bytes>),
    End,
    Failed(BoxError),
    /// The limit is passed; this is what has not been read from the inner body yet.
    Rest(Pin<Box<B>>),
}

/// The reader's end.
pub(crate) struct Playback<B> {
    parts: UnboundedReceiver<Part<B>>,
}

impl<B> Playback<B> {
    /// The next part. A recording that breaks off is a failure, never an end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Part<B>> {
        self.parts
            .poll_recv(cx)
            .map(|part| part.unwrap_or_else(|| Part::Failed("the response was given up".into())))
    }
}

/// The producer's end.
pub(crate) struct Recorder<B> {
    parts: UnboundedSender<Part<B>>,
    content: Content,
    limit: u64,
}

/// What became of a recording.
pub(crate) enum Recorded {
    /// The inner body came to its end.
    Complete {
        content: Bytes,
        trailers: Option<HeaderMap>,
    },
    /// The inner body failed; the reader has its error.
    Failed,
    /// The inner body is longer than the limit; the reader has the rest of it.
    TooLarge,
}

pub(crate) fn recording<B>(limit: u64) -> (Recorder<B>, Playback<B>) {
    let (sender, parts) = unbounded_channel();
    let recorder = Recorder {
        parts: sender,
        content: Content::default(),
        limit,
    };
    (recorder, Playback { parts })
}

impl<B> Recorder<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    /// Drains `body`, up to the limit. Reader or no reader: it may have gone, and others wait.
    ///
    /// `on_limit` runs before the reader is handed the rest.
    pub(crate) async fn record(mut self, body: B, on_limit: impl FnOnce()) -> Recorded {
        let mut body = Box::pin(body);
        let mut trailers: Option<HeaderMap> = None;
        loop {
            let frame = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => into_bytes(frame),
                Some(Err(error)) => {
                    self.send(Part::Failed(error.into()));
                    return Recorded::Failed;
                }
                None => break,
            };
            if let Some(data) = frame.data_ref() {
                self.content.push(data.clone());
            } else if let Some(fields) = frame.trailers_ref() {
                trailers.get_or_insert_default().extend(fields.clone());
            }
            self.send(Part::Frame(frame));
            if self.content.length as u64 > self.limit {
                on_limit();
                self.send(Part::Rest(body));
                return Recorded::TooLarge;
            }
        }
        self.send(Part::End);
        Recorded::Complete {
            content: self.content.join(),
            trailers,
        }
    }

    fn send(&self, part: Part<B>) {
        // A client that hangs up stops nothing.
        let _ = self.parts.send(part);
    }
}

/// The pieces of the content, joined only if there are several.
#[derive(Default)]
struct Content {
    pieces: Vec<Bytes>,
    length: usize,
}

impl Content {
    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    fn join(mut self) -> Bytes {
        if self.pieces.len() <= 1 {
            return self.pieces.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for piece in &self.pieces {
            whole.extend_from_slice(piece);
        }
        whole.freeze()
    }
}
