//! A connection whose answers have to come in time, and what "in time" means.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionAddr, Pipeline, RedisError, Value as Reply};

use super::sentinel::Endpoint;

/// Into how many waits a timeout is divided.
const TURNS: u32 = 4;

/// A multiplexed connection that gives up an answer after a timeout of its own. The crate's is to be off: it cannot
/// tell a silent server from a process that did not get to listen.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    address: Arc<ConnectionAddr>,
    timeout: Duration,
    retired: Arc<AtomicBool>,
}

impl Connection {
    pub(super) fn new(inner: MultiplexedConnection, address: ConnectionAddr, timeout: Duration) -> Self {
        Self {
            inner,
            address: Arc::new(address),
            timeout,
            retired: Arc::default(),
        }
    }

    /// Whom this is a connection to, unless through a Unix socket.
    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        match &*self.address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host.clone(), *port)),
            _ => None,
        }
    }

    /// Sends one command. The reply may be a [`Reply::ServerError`].
    pub(super) async fn send(&mut self, command: &Cmd) -> Result<Reply, RedisError> {
        let reply = self.inner.send_packed_command(command);
        within_unless(&self.retired, self.timeout, pin!(reply)).await?
    }

    /// Sends several commands in one round trip. Each reply may be a [`Reply::ServerError`].
    pub(super) async fn send_all(&mut self, pipeline: &Pipeline) -> Result<Vec<Reply>, RedisError> {
        let replies = self.inner.send_packed_commands(pipeline, 0, pipeline.len());
        within_unless(&self.retired, self.timeout, pin!(replies)).await?
    }

    /// Says that no more answers are to be expected: whoever waits for one gives up soon, and not only after a
    /// timeout of its own.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }
}

/// Waits for `future` as long as `limit`, or longer where this process stood still meanwhile.
///
/// After a standstill the timer and the socket are due in the same turn of the runtime, and the one who waits may
/// run before the task that reads the socket. So no single expiry is believed: the wait has several parts, and
/// whatever has arrived is read between two of them.
pub(super) async fn within<F: Future>(limit: Duration, future: Pin<&mut F>) -> io::Result<F::Output> {
    within_unless(&AtomicBool::new(false), limit, future).await
}

/// The same, as long as it is worth waiting.
async fn within_unless<F: Future>(
    given_up: &AtomicBool,
    limit: Duration,
    mut future: Pin<&mut F>,
) -> io::Result<F::Output> {
    for _ in 0..TURNS {
        if let Ok(output) = tokio::time::timeout(limit / TURNS, future.as_mut()).await {
            return Ok(output);
        }
        // Looked at only where the answer did not come anyway.
        if given_up.load(Ordering::Relaxed) {
            break;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use std::future;

    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(1000);

    #[tokio::test(start_paused = true)]
    async fn silence_is_given_up_after_the_limit() {
        let since = Instant::now();
        let error = within(LIMIT, pin!(future::pending::<()>())).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(since.elapsed() >= LIMIT);
        assert!(since.elapsed() <= LIMIT + Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_just_before_the_limit_is_in_time() {
        let late = sleep(LIMIT.mul_f64(0.99));
        assert!(within(LIMIT, pin!(late)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_due_together_with_the_timer_runs_first() {
        let (sender, answer) = oneshot::channel();
        let (arrived, arrival) = oneshot::channel();
        let waiter = tokio::spawn(async { within(LIMIT, pin!(answer)).await });
        let reader = tokio::spawn(async {
            arrival.await.unwrap();
            sender.send(()).unwrap();
        });
        tokio::task::yield_now().await;
        // The process stands still for longer than the limit, and the answer arrives.
        tokio::time::advance(LIMIT * 2).await;
        arrived.send(()).unwrap();
        waiter.await.unwrap().unwrap().unwrap();
        reader.await.unwrap();
    }
}
