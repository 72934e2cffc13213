//! A connection on which many send commands at once: [`Pipe`].
//!
//! The connection of the `redis` crate costs each command a message through a channel, a future of a kilobyte and a
//! parser made of combinators. It took 7,300 of the 25,000 instructions and 1.6 of the 6.5 kB of a hit of 1 KiB; this
//! one saves 4,100 instructions and 1.9 kB. Nor does that connection always give each caller its own answer where there
//! are subscriptions.
//!
//! For commands it speaks RESP2, in which nothing is pushed. For subscriptions it speaks RESP3, and a handler hears
//! each push as soon as it is read.
//!
//! # Which answer belongs to which command
//!
//! A command and the place of its answer are added under one lock, so both are in the same order. If a caller leaves
//! before the driver takes its command over, the command and its place go together: no byte was sent, so the server
//! owes no answer. A command that was taken over may be sent in part already. So it is sent whole, and its answer is
//! read and dropped. Where an answer comes that no command waits for, or that cannot be read, or that the protocol does
//! not have, the order is no longer known: the connection is closed, and every waiting caller learns that. A
//! subscription is answered by a push of the same kind about the same channel, or by an error; any other push answers
//! nothing. Nothing reconnects here. The callers decide how long to wait, and replace a connection that does not
//! answer. One task tells the callers whose answers do not come soon, so that only these need a timer.

mod driver;
mod queue;
mod replying;
mod slot;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;

pub(crate) use self::driver::PipeDriver;
use self::queue::{AwaitedCommand, QueuedCommand, SendQueue};
pub(crate) use self::replying::Replying;
use self::slot::{Awaited, Confirmation, ReplySlot};
use super::reply::GetReply;
use crate::simulation::{Planted, planted};
use crate::store::redis::resp::{Command, Pipeline, Push, PushHandler, RedisError, RedisResult, Reply};
use crate::task::BoxFuture;

/// With this many bytes waiting to be sent, a caller has to wait as well.
const MOST_WAITING: usize = 256 * 1024;

/// How long a caller waits for an answer without a timer. The sweeper tells it after this time, or up to twice as long.
pub(super) const SOON: Duration = Duration::from_millis(10);

/// A handle on the connection. It is closed when its [`PipeDriver`] is dropped.
#[derive(Clone)]
pub(crate) struct Pipe {
    shared: Arc<PipeShared>,
}

struct PipeShared {
    queue: Mutex<SendQueue>,
    /// Told when there is room again, or when there will never be.
    room: Notify,
    /// Told of a command while the sweeper sleeps.
    sweeper: Notify,
    /// The runtime of the sweeper. Callers on another runtime cannot rely on the sweeper, because its runtime may stand
    /// still.
    swept_on: OnceLock<runtime::Id>,
}

/// Why a command was not taken.
enum Refusal {
    Full,
    Closed(RedisError),
}

impl Pipe {
    /// A connection over `stream`, which lives as long as the driver is polled. With a handler, the server may be told
    /// to speak RESP3.
    pub(crate) fn new<S>(stream: S, pushes: Option<PushHandler>) -> (Self, PipeDriver<S>) {
        let shared = Arc::new(PipeShared {
            queue: Mutex::default(),
            room: Notify::new(),
            sweeper: Notify::new(),
            swept_on: OnceLock::new(),
        });
        let driver = PipeDriver::new(stream, Arc::clone(&shared), pushes);
        (Self { shared }, driver)
    }

    /// Tells callers whose answers do not come [soon](SOON), as long as it is polled. It is a task of its own, because
    /// a driver that is kept from running is one of the reasons why answers do not come.
    pub(crate) fn sweeper(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            let _ = shared.swept_on.set(Handle::current().id());
            loop {
                shared.sweeper.notified().await;
                loop {
                    tokio::time::sleep(SOON).await;
                    if !shared.sweep() {
                        break;
                    }
                }
            }
        }
    }

    /// Whether this caller can rely on the [sweeper](Self::sweeper).
    pub(crate) fn is_swept(&self) -> bool {
        let runtime = self.shared.swept_on.get();
        runtime.is_some_and(|runtime| Handle::try_current().is_ok_and(|handle| handle.id() == *runtime))
    }

    /// Sends one command, at once if there is room.
    pub(crate) fn send(&self, command: &Command) -> Replying<'static, Reply> {
        let added = self.shared.add(ReplySlot::one, |bytes| command.write_to(bytes));
        Replying::of(added, || {
            self.shared.send_later(command.packed(), Box::new(ReplySlot::one))
        })
    }

    /// Sends a command about the subscription to one channel. The answer is [`Reply::Okay`], or an error.
    pub(crate) fn subscribe(&self, command: &Command) -> Replying<'static, Reply> {
        let confirmation = Confirmation::of(command);
        self.send_about(command, move || ReplySlot::confirmed(confirmation.clone()))
    }

    /// The same, without waiting for the answer.
    pub(crate) fn tell(&self, command: &Command) -> Replying<'static, Reply> {
        let confirmation = Confirmation::of(command);
        self.send_about(command, move || ReplySlot::told(confirmation.clone()))
    }

    fn send_about(
        &self,
        command: &Command,
        slot: impl Fn() -> (ReplySlot, Awaited<Reply>) + Send + 'static,
    ) -> Replying<'static, Reply> {
        let added = self.shared.add(&slot, |bytes| command.write_to(bytes));
        Replying::of(added, || self.shared.send_later(command.packed(), Box::new(slot)))
    }

    /// Sends `GET` of this name, without a command made of it first.
    pub(crate) fn get(&self, name: &str) -> Replying<'static, GetReply> {
        let added = self.shared.add(ReplySlot::get, |bytes| Command::write_get(bytes, name));
        Replying::of(added, || {
            let mut packed = Vec::new();
            Command::write_get(&mut packed, name);
            self.shared.send_later(packed, Box::new(ReplySlot::get))
        })
    }

    /// Sends several commands, at once if there is room.
    pub(crate) fn send_all(&self, pipeline: &Pipeline) -> Replying<'static, Vec<Reply>> {
        let expected = pipeline.len();
        if expected == 0 {
            return Replying::Boxed(Box::pin(async { Ok(Vec::new()) }));
        }
        let packed = pipeline.packed();
        let slot = move || ReplySlot::several(expected);
        let added = self.shared.add(slot, |bytes| bytes.extend_from_slice(&packed));
        Replying::of(added, || self.shared.send_later(packed.clone(), Box::new(slot)))
    }
}

impl PipeShared {
    fn queue(&self) -> MutexGuard<'_, SendQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a command, whole, and the place of its answer.
    fn add<T>(
        &self,
        slot: impl FnOnce() -> (ReplySlot, Awaited<T>),
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Awaited<T>, Refusal> {
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
        let (slot, awaited) = slot();
        let answer = AwaitedCommand { turn: queue.turn, slot };
        queue.commands.push_back(QueuedCommand { len, answer });
        let is_sweeping = std::mem::replace(&mut queue.is_sweeping, true);
        let idle = queue.idle.take();
        drop(queue);
        if let Some(driver) = idle {
            driver.wake();
        }
        if !is_sweeping {
            self.sweeper.notify_one();
        }
        Ok(awaited)
    }

    /// Adds a command once there is room, and waits for its answer.
    fn send_later<T: Send + 'static>(
        self: &Arc<Self>,
        packed: Vec<u8>,
        slot: Box<dyn Fn() -> (ReplySlot, Awaited<T>) + Send>,
    ) -> BoxFuture<'static, RedisResult<T>> {
        let shared = Arc::clone(self);
        Box::pin(async move {
            loop {
                // From here on nothing can be missed.
                let room = shared.room.notified();
                match shared.add(&slot, |bytes| bytes.extend_from_slice(&packed)) {
                    Ok(answer) => return poll_fn(|cx| answer.poll_answer(cx)).await,
                    Err(Refusal::Closed(error)) => return Err(error),
                    Err(Refusal::Full) => room.await,
                }
            }
        })
    }

    /// Gives the next reply to the caller that waits for it. Returns whether a caller waits for such a reply.
    fn answer(&self, reply: GetReply) -> bool {
        let mut queue = self.queue();
        if planted(Planted::PlaceGivenUp) {
            let left = queue
                .awaited
                .iter()
                .take_while(|answer| !answer.slot.is_awaited())
                .count();
            queue.awaited.drain(..left);
        }
        if let Some(answer) = queue.awaited.front_mut()
            && let ReplySlot::Several { replies, expected, .. } = &mut answer.slot
            && replies.len() + 1 < *expected
        {
            replies.push(reply.into());
            return true;
        }
        let answer = queue.awaited.pop_front();
        drop(queue);
        match answer {
            Some(answer) if answer.slot.takes(&reply) => {
                answer.slot.fill(reply);
                true
            }
            _ => false,
        }
    }

    /// Tells the next subscription, if this push is the answer to it.
    fn confirm(&self, push: &Push) {
        let mut queue = self.queue();
        let is_confirmed = |answer: &AwaitedCommand| answer.slot.is_confirmed_by(push);
        let confirmed = match queue.awaited.front().is_some_and(is_confirmed) {
            true => queue.awaited.pop_front(),
            false => None,
        };
        drop(queue);
        if let Some(answer) = confirmed {
            answer.slot.fill(GetReply::Other(Reply::Okay));
        }
    }

    /// Tells the callers that have waited since the turn before this one. Returns whether any caller waits.
    fn sweep(&self) -> bool {
        let mut queue = self.queue();
        let turn = queue.turn;
        let late: Vec<_> = queue
            .answers()
            .take_while(|answer| answer.turn != turn)
            .filter_map(|answer| answer.slot.delay())
            .collect();
        queue.turn = turn.wrapping_add(1);
        let is_asked = queue.answers().next().is_some();
        queue.is_sweeping = is_asked;
        drop(queue);
        late.into_iter().for_each(Waker::wake);
        is_asked
    }

    /// Takes no more commands, and tells all callers that wait.
    fn close(&self, error: &RedisError) {
        let mut queue = self.queue();
        queue.closed.get_or_insert_with(|| error.clone());
        queue.bytes = Vec::new();
        let unanswered = std::mem::take(&mut queue.awaited);
        let unsent = std::mem::take(&mut queue.commands);
        drop(queue);
        self.room.notify_waiters();
        let unsent = unsent.into_iter().map(|command| command.answer);
        for answer in unanswered.into_iter().chain(unsent) {
            answer.slot.fail(error.clone());
        }
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipe")
    }
}

fn closed() -> RedisError {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

#[cfg(test)]
mod tests;
