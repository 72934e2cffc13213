//! A connection whose answers have to come in time, and what "in time" means.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::address::{Endpoint, ServerAddress};
use super::pipe::{Pipe, Replying, SOON};
use super::reply::GetReply;
use super::task::Task;
use super::traffic::Traffic;
use crate::store::redis::resp::{Command, Pipeline, RedisError, Reply};
use crate::task::BoxFuture;

/// Into how many waits a timeout is divided.
const TURNS: u32 = 4;

/// How often to look whether bytes keep coming.
const LOOK: Duration = Duration::from_millis(50);

/// How much has to pass during a timeout for the server not to be silent.
const MOVING: u64 = 4096;

/// From this many bytes in front of an answer on, other commands had better go another way.
const CROWDED: u64 = 64 * 1024;

/// The longest wait for an answer behind other answers, in timeouts.
const LONGEST: u32 = 10;

/// The speed that is assumed where bytes cannot be seen, in bytes a second.
const SLOWEST: u64 = 512 * 1024;

/// How many sent bytes may be on their way unseen, in the buffers of both sides.
const UNSEEN: u64 = 8 << 20;

/// A connection for many callers, which gives up an answer after a timeout. It tells a silent server from a process
/// that did not get to listen, and from a long answer on a slow link.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<OpenConnection>);

#[derive(Debug)]
struct OpenConnection {
    pipe: Pipe,
    /// What passes over it.
    traffic: Traffic,
    /// The tasks that drive and sweep the pipe.
    _tasks: [Task; 2],
    address: ServerAddress,
    timeout: Duration,
    /// Has no permit ever, and is closed once no more answers are expected. Callers hear of that in the order in which
    /// they asked.
    retired: Semaphore,
    /// Told when a large answer is on its way, with other answers behind it.
    crowded: Arc<Notify>,
}

/// The answer to a command that was sent already.
pub(crate) type Answering<'a, T> = BoxFuture<'a, Result<T, RedisError>>;

impl Connection {
    /// A connection over a pipe that these tasks drive and sweep.
    pub(crate) fn new(
        (pipe, traffic, tasks): (Pipe, Traffic, [Task; 2]),
        address: ServerAddress,
        timeout: Duration,
    ) -> Self {
        Self(Arc::new(OpenConnection {
            pipe,
            traffic,
            _tasks: tasks,
            address,
            timeout,
            retired: Semaphore::new(0),
            crowded: Arc::default(),
        }))
    }

    /// The server that this is a connection to, unless through a Unix socket.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match &self.0.address {
            ServerAddress::Tcp { host, port, .. } => Some((host.clone(), *port)),
            ServerAddress::Unix(_) => None,
        }
    }

    /// Sends one command. The reply may be a [`Reply::ServerError`].
    pub(crate) fn send(&self, command: &Command) -> Answering<'_, Reply> {
        self.wait(self.0.pipe.send(command))
    }

    /// Sends `GET` of this name. The reply may be a [`Reply::ServerError`].
    pub(crate) async fn get(&self, name: &str) -> Result<GetReply, RedisError> {
        let reply = self.0.pipe.get(name);
        self.answered(self.0.timeout, || self.patience(), reply).await?
    }

    /// Has the server push the messages of a channel, or stop that. Returns once the command is queued: the server
    /// pushes its confirmation as well.
    pub(crate) fn tell(&self, command: &Command) -> Answering<'_, Reply> {
        self.wait(self.0.pipe.tell(command))
    }

    /// The same, and waits until the server does it. The reply may be a [`Reply::ServerError`].
    pub(crate) fn subscribe(&self, command: &Command) -> Answering<'_, Reply> {
        self.wait(self.0.pipe.subscribe(command))
    }

    /// Sends several commands in one round trip. Each reply may be a [`Reply::ServerError`].
    pub(crate) fn send_all(&self, pipeline: &Pipeline) -> Answering<'_, Vec<Reply>> {
        self.wait(self.0.pipe.send_all(pipeline))
    }

    /// Boxed, because it is compiled wherever it is waited for.
    fn wait<T: Send + 'static>(&self, reply: Replying<'static, T>) -> Answering<'_, T> {
        Box::pin(async move { self.answered(self.0.timeout, || self.patience(), reply).await? })
    }

    /// Sends one command about a large value, of so many bytes itself, for as long as it takes.
    pub(crate) async fn send_large(&self, command: &Command, sent: usize) -> Result<Reply, RedisError> {
        let limit = Duration::from_millis((sent as u64).min(UNSEEN) * 1000 / SLOWEST).saturating_add(self.0.timeout);
        let patience = || ReplyPatience {
            limit,
            longest: Duration::MAX,
            crowded: None,
            ..self.patience()
        };
        let reply = self.0.pipe.send(command);
        self.answered(limit, patience, reply).await?
    }

    /// Waits for an answer, for as long as one may still come.
    async fn answered<T: Send>(
        &self,
        limit: Duration,
        patience: impl FnOnce() -> ReplyPatience,
        mut reply: Replying<'_, T>,
    ) -> io::Result<Result<T, RedisError>> {
        // Most answers come at once, and need not pay for the rest.
        let soon = SOON.min(limit / TURNS);
        // The sweeper takes its time.
        let is_swept = limit >= SOON * 4 * TURNS && self.0.pipe.is_swept();
        match reply.soon(soon, is_swept).await {
            Some(answer) => Ok(answer),
            // Boxed, because most never come here.
            None => Box::pin(outlasted(&self.0.retired, soon, patience(), reply)).await,
        }
    }

    /// How long its answers may take.
    fn patience(&self) -> ReplyPatience {
        ReplyPatience {
            limit: self.0.timeout,
            longest: self.0.timeout.saturating_mul(LONGEST),
            traffic: Some(self.0.traffic.clone()),
            crowded: Some(Arc::clone(&self.0.crowded)),
        }
    }

    /// Resolves when answers wait behind a large one, and other commands had better go another way.
    pub(crate) fn crowded(&self) -> Arc<Notify> {
        Arc::clone(&self.0.crowded)
    }

    /// Says that no more answers are to be expected: a caller that waits gives up now, and not only after a
    /// timeout of its own.
    pub(crate) fn retire(&self) {
        self.0.retired.close();
    }
}

/// Waits for `future` as long as `limit`, or longer where this process stood still meanwhile.
///
/// After a standstill the timer and the socket are due in the same turn of the runtime, and the caller that waits may
/// run before the task that reads the socket. So a single expiry proves nothing: the wait has several parts, and
/// between two of them the task reads all that has arrived.
pub(crate) async fn within<F: Future>(limit: Duration, mut future: Pin<&mut F>) -> io::Result<F::Output> {
    for _ in 0..TURNS {
        if let Ok(output) = tokio::time::timeout(limit / TURNS, future.as_mut()).await {
            return Ok(output);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// How long to wait for an answer.
struct ReplyPatience {
    /// Of silence.
    limit: Duration,
    longest: Duration,
    traffic: Option<Traffic>,
    crowded: Option<Arc<Notify>>,
}

impl ReplyPatience {
    /// Waits like [`within`], and anew as long as bytes keep coming.
    async fn outlast<F: Future>(self, soon: Duration, mut future: Pin<&mut F>) -> io::Result<F::Output> {
        let bytes = || self.traffic.as_ref().map_or(0, Traffic::bytes);
        let limit = self.limit.saturating_sub(soon);
        let turn = (limit / TURNS).clamp(Duration::from_millis(1), LOOK);
        let begin = bytes();
        let (mut seen, mut silent, mut waited) = (begin, Duration::ZERO, Duration::ZERO);
        while silent < limit && waited < self.longest {
            if let Ok(output) = tokio::time::timeout(turn, future.as_mut()).await {
                return Ok(output);
            }
            waited = waited.saturating_add(turn);
            silent = silent.saturating_add(turn);
            let now = bytes();
            if now - seen >= MOVING {
                (seen, silent) = (now, Duration::ZERO);
            }
            if let Some(crowded) = self.crowded.as_ref().filter(|_| now - begin >= CROWDED) {
                crowded.notify_one();
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Waits for an answer that has not come soon. All callers give up at the same moment: otherwise callers that asked for
/// the same key would miss each other, and compute it once more.
async fn outlasted<F: Future + Unpin>(
    given_up: &Semaphore,
    soon: Duration,
    patience: ReplyPatience,
    mut future: F,
) -> io::Result<F::Output> {
    tokio::select! {
        biased;
        output = patience.outlast(soon, Pin::new(&mut future)) => output,
        _ = given_up.acquire() => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::future;
    use std::pin::pin;

    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(1000);

    fn patience(traffic: Option<Traffic>) -> ReplyPatience {
        ReplyPatience {
            limit: LIMIT,
            longest: LIMIT * LONGEST,
            traffic,
            crowded: None,
        }
    }

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
        let given_up = Arc::new(Semaphore::new(0));
        let mut waiters = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let given_up = Arc::clone(&given_up);
            waiters.spawn(async move {
                let silence = pin!(future::pending::<()>());
                outlasted(&given_up, Duration::ZERO, patience(None), silence)
                    .await
                    .unwrap_err();
                Instant::now()
            });
            sleep(LIMIT / 50).await;
        }
        sleep(SOON).await;
        let since = Instant::now();
        given_up.close();
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

    /// How long a command waits for its answer, where so many bytes come in every half second, for so long.
    async fn waited_with(bytes: usize, times: usize) -> Duration {
        let traffic = Traffic::default();
        let coming = traffic.clone();
        tokio::spawn(async move {
            for _ in 0..times {
                sleep(LIMIT / 2).await;
                coming.add(bytes);
            }
        });
        let (since, given_up) = (Instant::now(), Semaphore::new(0));
        let silence = pin!(future::pending::<()>());
        outlasted(&given_up, Duration::ZERO, patience(Some(traffic)), silence)
            .await
            .unwrap_err();
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_as_long_as_bytes_keep_coming() {
        let waited = waited_with(100_000, 8).await;
        assert!(waited >= LIMIT * 5 && waited < LIMIT * 6, "{waited:?}");
        // The wait has a bound, because other commands may wait behind this one. A trickle does not prolong it.
        let waited = waited_with(100_000, 1000).await;
        assert!(
            waited >= LIMIT * LONGEST && waited < LIMIT * (LONGEST + 1),
            "{waited:?}"
        );
        assert!(waited_with(100, 1000).await < LIMIT * 2);
    }
}
