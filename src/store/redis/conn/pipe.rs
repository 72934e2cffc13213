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
//! A command and the place of its answer are added under one lock, so both are in the same order. A command whose caller leaves
//! before the driver takes it over is not sent: no byte of it was, so the server owes no answer, and both go together. Of one
//! that was taken over, a part may be sent. It is sent whole, and its answer is taken off and dropped. Where something comes
//! that no command waits for, or that cannot be read, or that RESP2 does not have, the order is no longer known: the
//! connection is closed, and every caller that waits learns it. Nothing reconnects here. How long to wait is for the callers,
//! who replace a connection that does not answer.

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
    /// All that are in `bytes`.
    commands: VecDeque<QueuedCommand>,
    /// The driver, where it waits for a command.
    idle: Option<Waker>,
    closed: Option<RedisError>,
}

/// What was sent at once, and is in the queue still.
struct QueuedCommand {
    /// Of its bytes.
    len: usize,
    slot: ReplySlot,
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

    /// Sends `GET` of this name, without a command made of it first.
    pub(crate) fn get(&self, name: &str) -> Replying<'static, Reply> {
        let added = self.shared.add(ReplySlot::one, |bytes| write_get(bytes, name));
        Replying::of(added, || {
            let mut packed = Vec::new();
            write_get(&mut packed, name);
            self.shared.send_later(packed, ReplySlot::one)
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

    /// Whether the caller is there still.
    fn is_awaited(&self) -> bool {
        match self {
            Self::One(to) => !to.is_closed(),
            Self::Several { to, .. } => !to.is_closed(),
        }
    }

    fn fail(self, error: RedisError) {
        match self {
            Self::One(to) => drop(to.send(Err(error))),
            Self::Several { to, .. } => drop(to.send(Err(error))),
        }
    }
}

impl SendQueue {
    /// Moves all of it to what is being written, but for the commands whose callers have left.
    fn hand_over(&mut self, writing: &mut Vec<u8>, awaited: &mut VecDeque<ReplySlot>) {
        if self.commands.iter().all(|command| command.slot.is_awaited()) {
            std::mem::swap(writing, &mut self.bytes);
            awaited.extend(self.commands.drain(..).map(|command| command.slot));
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = &bytes[..];
        for QueuedCommand { len, slot } in self.commands.drain(..) {
            let (command, others) = rest.split_at(len);
            rest = others;
            // Asked once: a caller may leave meanwhile.
            if slot.is_awaited() {
                writing.extend_from_slice(command);
                awaited.push_back(slot);
            }
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
        let before = queue.bytes.len();
        write(&mut queue.bytes);
        let len = queue.bytes.len() - before;
        let (slot, answer) = slot();
        queue.commands.push_back(QueuedCommand { len, slot });
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
    fn close(&self, error: RedisError) -> VecDeque<QueuedCommand> {
        let mut queue = self.queue();
        queue.closed.get_or_insert(error);
        queue.bytes = Vec::new();
        let unsent = std::mem::take(&mut queue.commands);
        drop(queue);
        self.room.notify_waiters();
        unsent
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

/// As [`Cmd::write_packed_command`].
fn write_get(bytes: &mut Vec<u8>, name: &str) {
    const START: &[u8] = b"*2\r\n$3\r\nGET\r\n$";
    let (mut digits, mut at, mut rest) = ([0; 20], 20, name.len());
    while at == digits.len() || rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    bytes.reserve(START.len() + digits.len() + name.len() + 4);
    bytes.extend_from_slice(START);
    bytes.extend_from_slice(&digits[at..]);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
mod tests;
