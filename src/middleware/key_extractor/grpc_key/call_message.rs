//! [`CallMessage`]: the one message of a unary call, read ahead.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use sha2::{Digest, Sha256};

use crate::middleware::frames::into_bytes;
use crate::middleware::grpc::Framing;
use crate::middleware::key_extractor::BufferedBody;

/// The body of a call, with what has been read of it.
pub(super) struct CallMessage<B: Body> {
    body: B,
    read: BytesMut,
    /// What was read last, where it ended the reading.
    last: Last<B::Error>,
    limit: u64,
    pub(super) framing: Framing,
}

enum Last<E> {
    /// Something, and there may be more.
    More,
    /// The end.
    End,
    /// Something that does not belong to one message.
    Frame(Result<Frame<Bytes>, E>),
}

impl<B: Body + Unpin> CallMessage<B> {
    pub(super) fn new(body: B, limit: u64) -> Self {
        Self {
            body,
            read: BytesMut::new(),
            last: Last::More,
            limit,
            framing: Framing::default(),
        }
    }

    /// Whether the body is one whole message of at most `limit` bytes, and nothing else. Reads no more than is needed
    /// to tell. Cancel safe.
    pub(super) async fn read(&mut self) -> bool {
        loop {
            let frame = match poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
                None => {
                    self.last = Last::End;
                    return self.framing.is_one();
                }
                Some(frame) => frame.map(into_bytes),
            };
            if let Ok(frame) = &frame
                && let Some(data) = frame.data_ref()
            {
                self.framing.see(data);
                if self.may_be_one() {
                    self.read.extend_from_slice(data);
                    continue;
                }
            }
            // Another message, trailers, which the service may look at, or an error.
            self.last = Last::Frame(frame);
            return false;
        }
    }

    /// Whether all that has come so far may be the beginning of one message that is not too long.
    fn may_be_one(&self) -> bool {
        let fits = self.framing.declared().is_none_or(|declared| declared <= self.limit);
        fits && self.framing.flag() <= 1 && !self.framing.is_more_than_one()
    }

    /// The digest of the message with its prefix.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.read).into()
    }

    /// The body as it was, to be read from its beginning.
    pub(super) fn into_body(self) -> BufferedBody<B> {
        let read = self.read.freeze();
        match self.last {
            Last::More => BufferedBody::begun(read, self.body),
            Last::End => BufferedBody::complete(read),
            Last::Frame(frame) => BufferedBody::partial(read, frame, self.body),
        }
    }
}
