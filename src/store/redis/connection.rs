//! A connection whose answers have to come in time, and what "in time" means.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionAddr, Pipeline, RedisError, Value as Reply};
use tokio::sync::watch;

use super::sentinel::Endpoint;

/// Into how many waits a timeout is divided.
const TURNS: u32 = 4;

/// How long an answer takes that is no reason to think about what else may happen.
const SOON: Duration = Duration::from_millis(10);

/// A multiplexed connection that gives up an answer after a timeout of its own. The crate's is to be off: it cannot
/// tell a silent server from a process that did not get to listen.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    address: Arc<ConnectionAddr>,
    timeout: Duration,
    retired: Arc<watch::Sender<bool>>,
}

impl Connection {
    pub(super) fn new(inner: MultiplexedConnection, address: ConnectionAddr, timeout: Duration) -> Self {
        Self {
            inner,
            address: Arc::new(address),
            timeout,
            retired: Arc::new(watch::Sender::new(false)),
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

    /// Says that no more answers are to be expected: whoever waits for one gives up now, and not only after a
    /// timeout of its own.
    pub(super) fn retire(&self) {
        self.retired.send_replace(true);
    }
}

/// Waits for `future` as long as `limit`, or longer where this process stood still meanwhile.
///
/// After a standstill the timer and the socket are due in the same turn of the runtime, and the one who waits may
/// run before the task that reads the socket. So no single expiry is believed: the wait has several parts, and
/// whatever has arrived is read between two of them.
pub(super) async fn within<F: Future>(limit: Duration, mut future: Pin<&mut F>) -> io::Result<F::Output> {
    for _ in 0..TURNS {
        if let Ok(output) = tokio::time::timeout(limit / TURNS, future.as_mut()).await {
            return Ok(output);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The same, as long as it is worth waiting. All who wait give up at the same moment: those who asked for the same would
/// otherwise miss each other, and compute it once more.
async fn within_unless<F: Future>(
    given_up: &watch::Sender<bool>,
    limit: Duration,
    mut future: Pin<&mut F>,
) -> io::Result<F::Output> {
    // Most answers come at once, and need not pay for the rest.
    let soon = SOON.min(limit / TURNS);
    if let Ok(output) = tokio::time::timeout(soon, future.as_mut()).await {
        return Ok(output);
    }
    let mut given_up = given_up.subscribe();
    tokio::select! {
        biased;
        output = within(limit.saturating_sub(soon), future) => output,
        _ = given_up.wait_for(|given_up| *given_up) => Err(io::ErrorKind::TimedOut.into()),
    }
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
    async fn all_give_up_at_the_same_moment() {
        let given_up = Arc::new(watch::Sender::new(false));
        let mut waiters = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let given_up = Arc::clone(&given_up);
            waiters.spawn(async move {
                let silence = pin!(future::pending::<()>());
                within_unless(&given_up, LIMIT, silence).await.unwrap_err();
                Instant::now()
            });
            sleep(LIMIT / 50).await;
        }
        sleep(SOON).await;
        let since = Instant::now();
        given_up.send_replace(true);
        for gave_up in waiters.join_all().await {
            assert_eq!(gave_up, since);
        }
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
