//! What passes over a connection: a reply that keeps arriving is not a silent server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use redis::io::tcp::{TcpSettings, socket2::SockRef};
use redis::{ConnectionAddr, ConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pipe::Pipe;
use super::task::Task;

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

/// Opens a connection whose bytes are counted, and starts the tasks that drive and sweep it. Not with TLS.
pub(crate) async fn open(info: &ConnectionInfo) -> Result<(Pipe, Traffic, [Task; 2]), RedisError> {
    #[cfg(feature = "test-util")]
    if let Some(stream) = simulated(info) {
        return Ok(start(stream?));
    }
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => Ok(start(tcp(host, *port, info.tcp_settings()).await?)),
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Ok(start(tokio::net::UnixStream::connect(path).await?)),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
    }
}

/// What a simulation has at this address, if the task runs in one.
#[cfg(feature = "test-util")]
pub(super) fn simulated(info: &ConnectionInfo) -> Option<io::Result<tokio::io::DuplexStream>> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => crate::simulation::here()?.connect(host, *port),
        _ => None,
    }
}

fn start<S>(stream: S) -> (Pipe, Traffic, [Task; 2])
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let traffic = Traffic::default();
    let stream = CountedStream {
        stream,
        traffic: traffic.clone(),
    };
    let (pipe, driver) = Pipe::new(stream);
    let tasks = [Task::spawn(driver), Task::spawn(pipe.sweeper())];
    (pipe, traffic, tasks)
}

/// A connection to the first address of the host that takes it.
async fn tcp(host: &str, port: u16, settings: &TcpSettings) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(settings.nodelay())?;
    let socket = SockRef::from(&stream);
    if let Some(keepalive) = settings.keepalive() {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    socket.set_tcp_user_timeout(settings.user_timeout())?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::conn::address::with_tcp_settings;

    #[tokio::test]
    async fn a_socket_sends_at_once_and_notices_a_peer_that_is_gone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let info: ConnectionInfo = format!("redis://127.0.0.1:{port}").parse().unwrap();
        let stream = tcp("127.0.0.1", port, with_tcp_settings(info).tcp_settings())
            .await
            .unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert!(socket.tcp_user_timeout().unwrap().is_some());
    }
}
