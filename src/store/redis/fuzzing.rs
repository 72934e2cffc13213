//! What only the fuzzers reach: this module exists only under `--cfg fuzzing`.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conn::address::ServerUrl;
use super::conn::pipe::{Pipe, PipeDriver, Replying};
#[cfg(feature = "tls")]
use super::conn::tls::{Certificates, Identity};
use super::resp::{Pipeline, Reply};
use crate::error::StoreError;

/// Where the server of a URL is.
///
/// # Errors
///
/// As for [`RedisStore::connect`](crate::RedisStore::connect).
pub fn redis_address(url: &str) -> Result<String, StoreError> {
    Ok(ServerUrl::read(url)?.address.to_string())
}

/// Checks certificates as the builder does.
///
/// # Errors
///
/// Where they cannot be used.
#[cfg(feature = "tls")]
pub fn certificates(roots: &[u8], certificate: &[u8], key: &[u8]) -> Result<(), StoreError> {
    let given = Certificates {
        roots: Some(roots.to_vec()),
        client: Some(Identity {
            certificate: certificate.to_vec(),
            key: key.to_vec(),
        }),
    };
    given.add_to(ServerUrl::read("rediss://localhost")?).map(drop)
}

/// A connection for many callers, whose task runs and whose server answers when the fuzzer says so.
pub struct FuzzedPipe {
    pipe: Pipe,
    server: FuzzedServer,
    /// Until the connection is closed.
    driver: Option<PipeDriver<FuzzedServer>>,
    callers: Vec<Option<Replying<'static, Vec<Reply>>>>,
}

/// The other end.
#[derive(Clone, Debug, Default)]
struct FuzzedServer(Arc<Mutex<Exchanged>>);

#[derive(Debug, Default)]
struct Exchanged {
    received: Vec<u8>,
    /// Bytes that the server has sent and the connection has not read yet.
    sent: Vec<u8>,
}

impl FuzzedPipe {
    /// An open connection.
    #[must_use]
    pub fn open() -> Self {
        let server = FuzzedServer::default();
        let (pipe, driver) = Pipe::new(server.clone(), None);
        Self {
            pipe,
            server,
            driver: Some(driver),
            callers: Vec::new(),
        }
    }

    /// A further caller sends so many commands at once. Those of the n-th caller are all `GET n`.
    pub fn send(&mut self, commands: usize) {
        let mut pipeline = Pipeline::with_capacity(commands);
        for _ in 0..commands {
            pipeline.command("GET").number(self.callers.len() as u64);
        }
        self.callers.push(Some(self.pipe.send_all(&pipeline)));
    }

    /// This caller waits no longer, if there is one.
    pub fn leave(&mut self, caller: usize) {
        self.callers.get_mut(caller).map(Option::take);
    }

    /// The server sends these bytes.
    pub fn answer(&mut self, bytes: &[u8]) {
        self.server.lock().sent.extend_from_slice(bytes);
    }

    /// The task of the connection runs until it waits, or has closed it.
    pub fn run(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // It lets others go first, once.
        for _ in 0..2 {
            self.driver.take_if(|driver| Pin::new(driver).poll(&mut cx).is_ready());
        }
    }

    /// Whether the connection is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.driver.is_some()
    }

    /// All that the server has been sent.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        self.server.lock().received.clone()
    }

    /// What each caller has got: `None` where it has left or still waits, and no answers where the connection has
    /// ended. Each answer in the form in which the server may have sent it.
    #[must_use]
    pub fn answers(self) -> Vec<Option<Option<Vec<Vec<u8>>>>> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut answered = |mut caller: Replying<'_, Vec<Reply>>| match Pin::new(&mut caller).poll(&mut cx) {
            Poll::Ready(answer) => Some(answer.ok().map(|replies| replies.iter().map(sent).collect())),
            Poll::Pending => None,
        };
        self.callers
            .into_iter()
            .map(|caller| caller.and_then(&mut answered))
            .collect()
    }
}

/// A reply as it is sent.
fn sent(reply: &Reply) -> Vec<u8> {
    let line = |kind: char, text: &dyn fmt::Display| format!("{kind}{text}\r\n").into_bytes();
    match reply {
        Reply::Nil => line('$', &-1),
        Reply::Okay => line('+', &"OK"),
        Reply::SimpleString(text) => line('+', text),
        Reply::ServerError(error) => line('-', error),
        Reply::Int(number) => line(':', number),
        Reply::BulkString(bytes) => [&line('$', &bytes.len())[..], bytes, b"\r\n"].concat(),
        Reply::Array(items) => {
            let count = line('*', &items.len());
            count.into_iter().chain(items.iter().flat_map(sent)).collect()
        }
        Reply::Push(_) => panic!("no reply of RESP2"),
    }
}

impl fmt::Debug for FuzzedPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FuzzedPipe")
    }
}

impl FuzzedServer {
    fn lock(&self) -> MutexGuard<'_, Exchanged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for FuzzedServer {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let sent = &mut self.lock().sent;
        if sent.is_empty() {
            return Poll::Pending;
        }
        let len = sent.len().min(buf.remaining());
        buf.put_slice(&sent[..len]);
        sent.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FuzzedServer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().received.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
