//! [`PipeDriver`]: the task behind a [`Pipe`](super::Pipe).

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::{PipeShared, closed};
use crate::store::redis::conn::reply::GetReply;
use crate::store::redis::resp::extent::{Protocol, ReplyExtent, extent};
use crate::store::redis::resp::{Push, PushHandler, PushKind, RedisError, RedisResult, Reply};

/// How much is read at once at least.
const READ: usize = 16 * 1024;

/// The longest string that is left in the read buffer. Its caller holds the whole buffer for a moment.
const MOST_LENT: usize = 4 * 1024;

/// How many buffers are kept whose strings callers may still look at.
const MOST_USED: usize = 8;

/// A buffer that had to grow beyond this is given back.
const MOST_KEPT: usize = 256 * 1024;

/// Writes commands and reads answers, until the connection is closed.
pub(crate) struct PipeDriver<S> {
    stream: S,
    shared: Arc<PipeShared>,
    /// Where a server may push.
    pushes: Option<PushHandler>,
    /// The bytes that are being written, and how many of them were.
    writing: Vec<u8>,
    written: usize,
    read: BytesMut,
    /// Buffers that were read into before, which callers may still use.
    used: VecDeque<BytesMut>,
    /// Whether it has let others go first.
    yielded: bool,
}

impl<S> PipeDriver<S> {
    pub(super) fn new(stream: S, shared: Arc<PipeShared>, pushes: Option<PushHandler>) -> Self {
        Self {
            stream,
            shared,
            pushes,
            writing: Vec::new(),
            written: 0,
            read: BytesMut::with_capacity(READ),
            used: VecDeque::new(),
            yielded: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> PipeDriver<S> {
    /// Goes on until the connection has an end, and says which.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<RedisError> {
        loop {
            // Writing and reading go on together: a server whose answers are not read may stop reading.
            if let Poll::Ready(Err(error)) = self.write(cx) {
                return Poll::Ready(error.into());
            }
            if let Err(error) = task::ready!(self.read(cx)) {
                return Poll::Ready(error);
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.writing.len() || self.take(cx) {
            let rest = &self.writing[self.written..];
            let written = task::ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Takes over what is to be sent. Where there is nothing, the next command wakes the driver.
    fn take(&mut self, cx: &mut Context<'_>) -> bool {
        self.writing.clear();
        self.written = 0;
        if self.writing.capacity() > MOST_KEPT {
            self.writing = Vec::new();
        }
        let mut queue = self.shared.queue();
        if queue.bytes.is_empty() {
            queue.idle = Some(cx.waker().clone());
            return false;
        }
        // The first of many callers wakes the driver, which would run before all others have added theirs, and write each
        // by itself.
        self.yielded = !self.yielded;
        if self.yielded {
            cx.waker().wake_by_ref();
            return false;
        }
        queue.hand_over(&mut self.writing);
        let has_some = !self.writing.is_empty();
        if !has_some {
            queue.idle = Some(cx.waker().clone());
        }
        drop(queue);
        self.shared.room.notify_waiters();
        has_some
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<RedisResult<()>> {
        if self.read.is_empty() && self.read.capacity() > MOST_KEPT {
            self.read = BytesMut::with_capacity(READ);
        }
        self.make_room(READ / 4);
        let read = task::ready!(pin!(self.stream.read_buf(&mut self.read)).poll(cx));
        match read {
            Ok(0) => return Poll::Ready(Err(closed())),
            Ok(_) => {}
            Err(error) => return Poll::Ready(Err(error.into())),
        }
        while let Some(reply) = self.next()? {
            let is_right = match (reply, &self.pushes) {
                (GetReply::Other(Reply::Push(push)), Some(pushes)) => {
                    self.shared.confirm(&push);
                    pushes(push);
                    true
                }
                (reply, _) => self.shared.answer(reply),
            };
            if !is_right {
                return Poll::Ready(Err(io::Error::other("an answer that no command has asked for").into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn protocol(&self) -> Protocol {
        match self.pushes {
            Some(_) => Protocol::Resp3,
            None => Protocol::Resp2,
        }
    }

    /// Makes room for so many bytes behind those that were read. Where callers still use the buffer, it goes on in the
    /// oldest of the used buffers, if that is free again.
    fn make_room(&mut self, more: usize) {
        if self.read.capacity() - self.read.len() >= more || self.read.try_reclaim(READ.max(more)) {
            return;
        }
        if self.read.len() + more > READ {
            return self.read.reserve(READ.max(more));
        }
        let is_free = self.used.front_mut().is_some_and(|oldest| oldest.try_reclaim(READ));
        let oldest = if is_free { self.used.pop_front() } else { None };
        let mut next = oldest.unwrap_or_else(|| BytesMut::with_capacity(READ));
        next.extend_from_slice(&self.read);
        let mut used = std::mem::replace(&mut self.read, next);
        used.clear();
        self.used.push_back(used);
        // A caller that never looks at its answer must not keep the driver from reading.
        if self.used.len() > MOST_USED {
            self.used.pop_front();
        }
    }

    /// The next answer or push, if all of it is there.
    fn next(&mut self) -> RedisResult<Option<GetReply>> {
        let (reply, len) = match extent(&self.read, self.protocol())? {
            // Lent, because an allocation takes longer than all the rest of reading an answer.
            ReplyExtent::Text { content, len } if len <= MOST_LENT => {
                let mut text = self.read.split_to(len);
                text.truncate(content.end);
                text.advance(content.start);
                return Ok(Some(GetReply::Lent(text.freeze())));
            }
            ReplyExtent::Text { content, len } => (Reply::BulkString(self.read[content].to_vec()), len),
            ReplyExtent::Value { len } => (Reply::read(&self.read[..len])?, len),
            ReplyExtent::Part { missing } => {
                // Not all at once, however much the server promises.
                self.make_room(missing.min(4 * READ));
                return Ok(None);
            }
        };
        self.read.advance(len);
        Ok(Some(GetReply::Other(reply)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for PipeDriver<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let error = task::ready!(this.drive(cx));
        this.shared.close(&error);
        if let Some(pushes) = this.pushes.take() {
            pushes(Push {
                kind: PushKind::Disconnection,
                data: Vec::new(),
            });
        }
        Poll::Ready(())
    }
}

impl<S> Drop for PipeDriver<S> {
    fn drop(&mut self) {
        self.shared.close(&closed());
    }
}

#[cfg(test)]
mod tests;
