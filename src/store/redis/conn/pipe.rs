//! A connection on which many send commands at once: [`Pipe`].
//!
//! The connection of the `redis` crate costs a command a message through a channel, a future of a kilobyte and a parser made
//! of combinators: of 25,000 instructions and 6.5 kB that a hit of 1 KiB took, it took 7,300 and 1.6 kB, and 4,100 and 1.9 kB are
//! saved by this one. It can do what the command plane needs and no more: RESP2 without subscriptions, over a stream whose bytes
//! can be seen. Connections with TLS and those for subscriptions are the crate's, as is the parser of whatever is not a plain
//! string.
//!
//! # Which answer is whose
//!
//! A command and the place of its answer are added under one lock, so both are in the same order. A caller that leaves keeps
//! its place: the answer is taken off and dropped. Where something comes that no command waits for, or that cannot be read, or
//! that RESP2 does not have, the order is no longer known: the connection is closed, and every caller that waits learns it. Nothing
//! reconnects here. How long to wait is for the callers, who replace a connection that does not answer.

mod driver;

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use redis::{Cmd, Pipeline, RedisError, RedisResult, Value as Reply};
use tokio::sync::{Notify, oneshot};

pub(crate) use self::driver::PipeDriver;
use crate::task::BoxFuture;

/// So many bytes wait to be sent before a caller has to wait as well.
const MOST_WAITING: usize = 256 * 1024;

/// A handle on the connection. It is closed when its [`PipeDriver`] is dropped.
#[derive(Clone)]
pub(crate) struct Pipe {
    shared: Arc<PipeShared>,
}

struct PipeShared {
    queue: Mutex<SendQueue>,
    /// Told when there is room again, or never will be.
    room: Notify,
}

/// What is to be sent.
#[derive(Default)]
struct SendQueue {
    bytes: Vec<u8>,
    /// One for each command in `bytes`.
    slots: VecDeque<ReplySlot>,
    /// The driver, where it waits for a command.
    idle: Option<Waker>,
    closed: Option<RedisError>,
}

/// The place of an answer.
enum ReplySlot {
    One(oneshot::Sender<RedisResult<Reply>>),
    Several {
        replies: Vec<Reply>,
        expected: usize,
        to: oneshot::Sender<RedisResult<Vec<Reply>>>,
    },
}

/// Why a command was not taken.
enum Refusal {
    Full,
    Closed(RedisError),
}

impl Pipe {
    /// A connection over `stream`, which lives as long as the driver is polled.
    pub(crate) fn new<S>(stream: S) -> (Self, PipeDriver<S>) {
        let shared = Arc::new(PipeShared {
            queue: Mutex::default(),
            room: Notify::new(),
        });
        let driver = PipeDriver::new(stream, Arc::clone(&shared));
        (Self { shared }, driver)
    }

    /// Sends one command, at once if there is room.
    pub(crate) fn send(&self, command: &Cmd) -> Replying<'static, Reply> {
        if command.args_iter().next().is_none() {
            // A server does not answer to it.
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Replying::Boxed(Box::pin(ready(Err(error.into()))));
        }
        let added = self
            .shared
            .add(ReplySlot::one, |bytes| command.write_packed_command(bytes));
        Replying::of(added, || {
            self.shared.send_later(command.get_packed_command(), ReplySlot::one)
        })
    }

    /// Sends several commands, at once if there is room.
    pub(crate) fn send_all(&self, pipeline: &Pipeline) -> Replying<'static, Vec<Reply>> {
        let expected = pipeline.len();
        if expected == 0 {
            return Replying::Boxed(Box::pin(async { Ok(Vec::new()) }));
        }
        let packed = pipeline.get_packed_pipeline();
        let slot = move || ReplySlot::several(expected);
        let added = self.shared.add(slot, |bytes| bytes.extend_from_slice(&packed));
        Replying::of(added, || self.shared.send_later(packed.clone(), slot))
    }
}

impl ReplySlot {
    fn one() -> (Self, oneshot::Receiver<RedisResult<Reply>>) {
        let (to, answer) = oneshot::channel();
        (Self::One(to), answer)
    }

    fn several(expected: usize) -> (Self, oneshot::Receiver<RedisResult<Vec<Reply>>>) {
        let (to, answer) = oneshot::channel();
        let replies = Vec::with_capacity(expected);
        (Self::Several { replies, expected, to }, answer)
    }

    /// The same with one reply more, unless that was the last.
    fn fill(self, reply: Reply) -> Option<Self> {
        // A caller that has left needs no answer.
        match self {
            Self::One(to) => {
                let _ = to.send(Ok(reply));
                None
            }
            Self::Several {
                mut replies,
                expected,
                to,
            } => {
                replies.push(reply);
                if replies.len() < expected {
                    return Some(Self::Several { replies, expected, to });
                }
                let _ = to.send(Ok(replies));
                None
            }
        }
    }

    fn fail(self, error: RedisError) {
        match self {
            Self::One(to) => drop(to.send(Err(error))),
            Self::Several { to, .. } => drop(to.send(Err(error))),
        }
    }
}

impl PipeShared {
    fn queue(&self) -> MutexGuard<'_, SendQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command, whole, and the place of its answer.
    fn add<T>(
        &self,
        slot: impl FnOnce() -> (ReplySlot, oneshot::Receiver<RedisResult<T>>),
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<oneshot::Receiver<RedisResult<T>>, Refusal> {
        let mut queue = self.queue();
        if let Some(error) = &queue.closed {
            return Err(Refusal::Closed(error.clone()));
        }
        if queue.bytes.len() >= MOST_WAITING {
            return Err(Refusal::Full);
        }
        write(&mut queue.bytes);
        let (slot, answer) = slot();
        queue.slots.push_back(slot);
        let idle = queue.idle.take();
        drop(queue);
        if let Some(driver) = idle {
            driver.wake();
        }
        Ok(answer)
    }

    /// Adds a command once there is room, and waits for its answer.
    fn send_later<T: Send + 'static>(
        self: &Arc<Self>,
        packed: Vec<u8>,
        slot: impl Fn() -> (ReplySlot, oneshot::Receiver<RedisResult<T>>) + Send + 'static,
    ) -> BoxFuture<'static, RedisResult<T>> {
        let shared = Arc::clone(self);
        Box::pin(async move {
            loop {
                let mut room = pin!(shared.room.notified());
                // From here on nothing can be missed.
                room.as_mut().enable();
                match shared.add(&slot, |bytes| bytes.extend_from_slice(&packed)) {
                    Ok(answer) => return answer.await.unwrap_or_else(|_| Err(closed())),
                    Err(Refusal::Closed(error)) => return Err(error),
                    Err(Refusal::Full) => room.await,
                }
            }
        })
    }

    /// Takes no more commands.
    fn close(&self, error: RedisError) -> VecDeque<ReplySlot> {
        let mut queue = self.queue();
        queue.closed.get_or_insert(error);
        queue.bytes = Vec::new();
        let slots = std::mem::take(&mut queue.slots);
        drop(queue);
        self.room.notify_waiters();
        slots
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipe")
    }
}

/// What the server answers, when it does.
pub(crate) enum Replying<'a, T> {
    Awaited(oneshot::Receiver<RedisResult<T>>),
    /// Of a connection of the crate's, or where a command was not taken at once.
    Boxed(BoxFuture<'a, RedisResult<T>>),
}

impl<'a, T: Send + 'a> Replying<'a, T> {
    fn of(
        added: Result<oneshot::Receiver<RedisResult<T>>, Refusal>,
        later: impl FnOnce() -> BoxFuture<'a, RedisResult<T>>,
    ) -> Self {
        match added {
            Ok(answer) => Self::Awaited(answer),
            Err(Refusal::Closed(error)) => Self::Boxed(Box::pin(ready(Err(error)))),
            Err(Refusal::Full) => Self::Boxed(later()),
        }
    }
}

impl<T> Future for Replying<'_, T> {
    type Output = RedisResult<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RedisResult<T>> {
        match self.get_mut() {
            Self::Awaited(answer) => Pin::new(answer)
                .poll(cx)
                .map(|answer| answer.unwrap_or_else(|_| Err(closed()))),
            Self::Boxed(answer) => answer.as_mut().poll(cx),
        }
    }
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    /// The other end of a connection, which takes in so many bytes before they are read.
    fn piped(room: usize) -> (Pipe, DuplexStream, JoinHandle<()>) {
        let (ours, server) = duplex(room);
        let (pipe, driver) = Pipe::new(ours);
        (pipe, server, tokio::spawn(driver))
    }

    fn get(name: &str) -> Cmd {
        let mut get = redis::cmd("GET");
        get.arg(name);
        get
    }

    fn text(text: &str) -> Reply {
        Reply::BulkString(text.as_bytes().to_vec())
    }

    /// Reads as many bytes as these commands take.
    async fn take_in(server: &mut DuplexStream, commands: &[Cmd]) {
        let expected: Vec<_> = commands.iter().flat_map(Cmd::get_packed_command).collect();
        let mut seen = vec![0; expected.len()];
        server.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn each_gets_its_own_answer_and_who_has_left_takes_none_from_others() {
        let (pipe, mut server, _driver) = piped(1 << 16);
        let commands = ["a", "b", "c"].map(get);
        let [first, second, third] = commands.each_ref().map(|command| pipe.send(command));
        drop(second);
        take_in(&mut server, &commands).await;
        // Broken in the middle of an answer.
        server.write_all(b"$1\r\nA\r\n$1\r\nB\r").await.unwrap();
        assert_eq!(first.await.unwrap(), text("A"));
        server.write_all(b"\n$1\r\nC\r\n").await.unwrap();
        assert_eq!(third.await.unwrap(), text("C"));
    }

    #[tokio::test]
    async fn several_commands_have_as_many_answers_and_errors_are_among_them() {
        let (pipe, mut server, _driver) = piped(1 << 16);
        let mut pipeline = Pipeline::new();
        pipeline
            .cmd("SET")
            .arg("a")
            .arg("1")
            .cmd("GET")
            .arg("a")
            .cmd("PTTL")
            .arg("a");
        let (several, one) = (pipe.send_all(&pipeline), pipe.send(&get("b")));
        let commands: Vec<_> = pipeline.cmd_iter().cloned().chain([get("b")]).collect();
        take_in(&mut server, &commands).await;
        server.write_all(b"-ERR no\r\n$-1\r\n").await.unwrap();
        server.write_all(b":-2\r\n+OK\r\n").await.unwrap();
        let replies = several.await.unwrap();
        assert!(
            matches!(&replies[..], [Reply::ServerError(_), Reply::Nil, Reply::Int(-2)]),
            "{replies:?}"
        );
        assert_eq!(one.await.unwrap(), Reply::Okay);
        assert_eq!(pipe.send_all(&Pipeline::new()).await.unwrap(), []);
    }

    #[tokio::test]
    async fn an_answer_that_is_long_comes_whole() {
        let (pipe, mut server, _driver) = piped(1000);
        let long = "x".repeat(300_000);
        let (first, second) = (pipe.send(&get("a")), pipe.send(&get("b")));
        take_in(&mut server, &["a", "b"].map(get)).await;
        let answers = format!("${}\r\n{long}\r\n$1\r\nB\r\n", long.len());
        let sending = tokio::spawn(async move {
            server.write_all(answers.as_bytes()).await.unwrap();
            server
        });
        assert_eq!(first.await.unwrap(), text(&long));
        assert_eq!(second.await.unwrap(), text("B"));
        drop(sending.await.unwrap());
    }

    #[tokio::test]
    async fn what_no_command_has_asked_for_closes_the_connection() {
        for stray in ["+OK\r\n", ">1\r\n+x\r\n", "HTTP/1.1 400 Bad Request\r\n"] {
            let (pipe, mut server, driver) = piped(1 << 16);
            let first = pipe.send(&get("a"));
            take_in(&mut server, &[get("a")]).await;
            server.write_all(b"$1\r\nA\r\n").await.unwrap();
            assert_eq!(first.await.unwrap(), text("A"));
            server.write_all(stray.as_bytes()).await.unwrap();
            driver.await.unwrap();
            assert!(pipe.send(&get("b")).await.is_err(), "{stray}");
        }
    }

    #[tokio::test]
    async fn all_who_wait_learn_of_the_end() {
        let (pipe, mut server, driver) = piped(1 << 16);
        let waiting = [pipe.send(&get("a")), pipe.send(&get("b"))];
        // The beginning of an answer is none.
        server.write_all(b"$1\r\n").await.unwrap();
        drop(server);
        for one in waiting {
            assert!(one.await.unwrap_err().is_connection_dropped());
        }
        driver.await.unwrap();
        assert!(pipe.send(&get("c")).await.unwrap_err().is_connection_dropped());
    }

    #[tokio::test]
    async fn all_who_wait_learn_that_the_driver_is_gone() {
        let (pipe, _server, driver) = piped(1 << 16);
        let waiting = pipe.send(&get("a"));
        driver.abort();
        assert!(waiting.await.unwrap_err().is_connection_dropped());
        assert!(pipe.send(&get("b")).await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_does_not_read_holds_callers_back_and_not_more_memory() {
        let (pipe, mut server, driver) = piped(1000);
        let mut set = redis::cmd("SET");
        set.arg("a").arg(vec![0; MOST_WAITING / 2]);
        let packed = set.get_packed_command();
        let mut waiting: Vec<_> = (0..4)
            .map(|_| {
                let (pipe, set) = (pipe.clone(), set.clone());
                tokio::spawn(async move { pipe.send(&set).await })
            })
            .collect();
        for _ in 0..20 {
            yield_now().await;
        }
        // One is being written.
        assert!(pipe.shared.queue().bytes.len() <= 2 * packed.len());
        let left = waiting.pop().unwrap();
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        let mut seen = vec![0; packed.len()];
        for one in waiting {
            server.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, packed);
            server.write_all(b"+OK\r\n").await.unwrap();
            assert_eq!(one.await.unwrap().unwrap(), Reply::Okay);
        }
        drop((pipe, server));
        driver.await.unwrap();
    }
}
