//! [`Connection`]: a connection to the upstream that remembers whether it ever brought an answer.

use std::error::Error as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Extensions, Response};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Error;
use hyper_util::client::legacy::connect::{Connected, Connection as Connect};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The mark that hyper's client hands out with everything that happens on one connection.
#[derive(Clone, Default)]
struct Answered(Arc<AtomicBool>);

/// Marks the connection that brought this response.
pub(crate) fn answered<B>(response: &mut Response<B>) {
    if let Some(mark) = response.extensions_mut().remove::<Answered>() {
        mark.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a request failed without a word on a connection that was alive before it: its end and the request crossed,
/// most likely.
pub(crate) fn came_to_its_end(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    if cause.is_some_and(hyper::Error::is_parse) {
        return false;
    }
    let Some(connection) = error.connect_info() else {
        return false;
    };
    let mut extras = Extensions::new();
    connection.get_extras(&mut extras);
    let mark = extras.get::<Answered>();
    mark.is_some_and(|mark| mark.0.load(Ordering::Relaxed))
}

pub(crate) struct Connection {
    io: TokioIo<TcpStream>,
    answered: Answered,
}

impl From<TokioIo<TcpStream>> for Connection {
    fn from(io: TokioIo<TcpStream>) -> Self {
        let answered = Answered::default();
        Self { io, answered }
    }
}

impl Connect for Connection {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.answered.clone())
    }
}

impl Read for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
