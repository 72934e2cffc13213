//! Counts the bytes of a connection, to tell a reply that keeps arriving from a silent server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::address::{ServerAddress, ServerUrl};
use super::error::DialError;
use super::pipe::Pipe;
use super::socket::tcp;
use super::task::Task;
#[cfg(feature = "tls")]
use super::tls;
use crate::store::redis::resp::PushHandler;

/// How many bytes have come in and gone out. A clone counts on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic(Arc<AtomicU64>);

impl Traffic {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A stream whose bytes are counted.
struct CountedStream<S> {
    stream: S,
    traffic: Traffic,
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.traffic.add(buf.filled().len() - before);
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        self.traffic.add(*written.as_ref().unwrap_or(&0));
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Opens a connection whose bytes are counted, and starts the tasks that drive and sweep it.
pub(super) async fn open(
    url: &ServerUrl,
    pushes: Option<PushHandler>,
) -> Result<(Pipe, Traffic, [Task; 2]), DialError> {
    #[cfg(feature = "test-util")]
    if let ServerAddress::Tcp { host, port, .. } = &url.address
        && let Some(stream) = simulated(host, *port)
    {
        return Ok(boxed(stream?, pushes));
    }
    let opened = match &url.address {
        #[cfg(feature = "tls")]
        ServerAddress::Tcp {
            host,
            port,
            secure: true,
        } => boxed(tls::open(url, host, *port).await?, pushes),
        ServerAddress::Tcp { host, port, .. } => start(tcp(host, *port).await?, pushes),
        #[cfg(unix)]
        ServerAddress::Unix(path) => boxed(tokio::net::UnixStream::connect(path).await?, pushes),
        #[cfg(not(unix))]
        ServerAddress::Unix(_) => return Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    };
    Ok(opened)
}

/// Any other stream, in a box: only the usual one is worth a driver of its own.
trait AnyStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AnyStream for S {}

fn boxed(stream: impl AnyStream + 'static, pushes: Option<PushHandler>) -> (Pipe, Traffic, [Task; 2]) {
    start::<Box<dyn AnyStream>>(Box::new(stream), pushes)
}

fn start<S>(stream: S, pushes: Option<PushHandler>) -> (Pipe, Traffic, [Task; 2])
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let traffic = Traffic::default();
    let stream = CountedStream {
        stream,
        traffic: traffic.clone(),
    };
    let (pipe, driver) = Pipe::new(stream, pushes);
    let tasks = [Task::spawn(driver), Task::spawn(pipe.sweeper())];
    (pipe, traffic, tasks)
}

/// What a simulation has at this address, if the task runs in one.
#[cfg(feature = "test-util")]
fn simulated(host: &str, port: u16) -> Option<io::Result<tokio::io::DuplexStream>> {
    crate::simulation::here()?.connect(host, port)
}
