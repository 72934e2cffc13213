//! The connection for large values: a command that takes long keeps only its own callers waiting.
//!
//! It is opened when it is first needed, to the server of the command plane, and closed when it is not used for a
//! while. Few bytes are on their way at once, because a server holds an answer in memory until it is read. Like the
//! command plane it has no subscriptions, and is replaced after an answer that did not come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

use super::connection::Connection;
use super::dial::Dialer;
use super::error::DialError;
use super::task::Task;
use crate::store::redis::resp::{Command, RedisError, Reply};

/// How many shares the values on their way have, each way. So many of the smallest are on their way at once.
const SHARES: u32 = 64;

/// So many bytes of a value take one share. No value takes more than half of all shares, so two of any size are on their
/// way at once.
const SHARE: usize = 64 * 1024;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Which way the large value of a command goes, and how many bytes it has as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    Sent(usize),
    Received(usize),
}

impl Transfer {
    /// How many bytes the command itself has.
    pub(crate) fn sent(self) -> usize {
        match self {
            Self::Sent(bytes) => bytes,
            Self::Received(_) => 0,
        }
    }

    fn shares(self) -> u32 {
        let (Self::Sent(bytes) | Self::Received(bytes)) = self;
        let shares = u32::try_from(bytes.div_ceil(SHARE)).unwrap_or(SHARES);
        shares.clamp(1, SHARES / 2)
    }
}

/// Why nothing was sent, or not answered.
#[derive(Debug)]
pub(crate) enum BulkError {
    /// There is no connection. The server may take no more of them.
    Dial(DialError),
    /// Too much is on its way already.
    Busy,
    /// No answer, or only a part of it, has come.
    Unanswered(RedisError),
}

pub(crate) struct Bulk {
    dialer: Dialer,
    reads: Semaphore,
    writes: Semaphore,
    current: Arc<Mutex<Option<BulkConnection>>>,
    /// Held while a connection is opened. How many were.
    opening: tokio::sync::Mutex<u64>,
}

struct BulkConnection {
    connection: Connection,
    number: u64,
    used: Instant,
    _closer: Task,
}

impl Bulk {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            reads: Semaphore::new(SHARES as usize),
            writes: Semaphore::new(SHARES as usize),
            current: Arc::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    /// Sends one command. The reply may be a [`Reply::ServerError`].
    pub(crate) async fn send(&self, command: &Command, transfer: Transfer) -> Result<Reply, BulkError> {
        let _turn = self.turn(transfer).await?;
        let (connection, number) = self.connection().await.map_err(BulkError::Dial)?;
        let reply = connection.send_large(command, transfer.sent()).await;
        if reply.is_err() {
            self.lose(number);
        }
        reply.map_err(BulkError::Unanswered)
    }

    async fn turn(&self, transfer: Transfer) -> Result<SemaphorePermit<'_>, BulkError> {
        let turns = match transfer {
            Transfer::Sent(_) => &self.writes,
            Transfer::Received(_) => &self.reads,
        };
        match timeout(self.dialer.timeout(), turns.acquire_many(transfer.shares())).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(BulkError::Busy),
        }
    }

    async fn connection(&self) -> Result<(Connection, u64), DialError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let mut opened = self.opening.lock().await;
        // Another caller may have opened one.
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let connection = self.dialer.commands().await?;
        *opened += 1;
        let number = *opened;
        *lock(&self.current) = Some(BulkConnection {
            connection: connection.clone(),
            number,
            used: Instant::now(),
            _closer: Task::spawn(close_unused(Arc::clone(&self.current), number)),
        });
        Ok((connection, number))
    }

    fn known(&self) -> Option<(Connection, u64)> {
        let mut current = lock(&self.current);
        let current = current.as_mut()?;
        current.used = Instant::now();
        Some((current.connection.clone(), current.number))
    }

    fn lose(&self, number: u64) {
        let lost = lock(&self.current).take_if(|current| current.number == number);
        lost.inspect(|lost| lost.connection.retire());
    }

    /// Uses another connection from here on. Answers on their way may still arrive.
    pub(crate) fn leave(&self) {
        lock(&self.current).take();
    }

    /// Gives up all that is on its way.
    pub(crate) fn retire(&self) {
        let lost = lock(&self.current).take();
        lost.inspect(|lost| lost.connection.retire());
    }
}

fn lock(current: &Mutex<Option<BulkConnection>>) -> MutexGuard<'_, Option<BulkConnection>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command that is on its way when nothing new is sent for so long has its own handle on the connection.
async fn close_unused(current: Arc<Mutex<Option<BulkConnection>>>, number: u64) {
    let mut end = Instant::now() + IDLE;
    loop {
        sleep_until(end).await;
        let used = lock(&current)
            .as_ref()
            .filter(|one| one.number == number)
            .map(|one| one.used);
        let Some(used) = used else {
            return;
        };
        end = used + IDLE;
        if end <= Instant::now() {
            // Dropped where this task no longer runs.
            let unused = |one: &mut BulkConnection| one.number == number && one.used == used;
            drop(lock(&current).take_if(unused));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::time::sleep;

    use super::*;
    use crate::store::redis::conn::address::{ServerAddress, ServerUrl};
    use crate::store::redis::conn::pipe::Pipe;
    use crate::store::redis::conn::traffic::Traffic;

    const SECOND: Duration = Duration::from_secs(1);

    fn unopened() -> Bulk {
        Bulk::new(Dialer::new(ServerUrl::read("redis://h").unwrap(), SECOND, SECOND))
    }

    #[tokio::test(start_paused = true)]
    async fn reads_wait_for_reads_and_writes_for_writes() {
        let bulk = unopened();
        let (read, write) = (Transfer::Received(usize::MAX), Transfer::Sent(usize::MAX));
        for (one, other) in [(read, write), (write, read)] {
            let turns = (bulk.turn(one).await.unwrap(), bulk.turn(one).await.unwrap());
            assert!(matches!(bulk.turn(one).await, Err(BulkError::Busy)));
            drop(bulk.turn(other).await.unwrap());
            drop(turns);
            drop(bulk.turn(one).await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_smaller_the_values_the_more_are_on_their_way() {
        for (bytes, most) in [
            (0, 64),
            (SHARE, 64),
            (SHARE + 1, 32),
            (SHARE * 20, 3),
            (SHARE * 32, 2),
            (SHARE * 33, 2),
        ] {
            let (bulk, mut turns) = (unopened(), Vec::new());
            while let Ok(turn) = bulk.turn(Transfer::Received(bytes)).await {
                turns.push(turn);
            }
            assert_eq!(turns.len(), most, "{bytes}");
        }
    }

    /// One with a connection on which no answer ever comes.
    fn opened(number: u64) -> Bulk {
        let (ours, theirs) = duplex(1 << 10);
        let (pipe, driver) = Pipe::new(ours, None);
        let task = || Task::spawn(async {});
        let driver = Task::spawn(async move {
            driver.await;
            drop(theirs);
        });
        let address = ServerAddress::Unix("/s".into());
        let bulk = unopened();
        *lock(&bulk.current) = Some(BulkConnection {
            connection: Connection::new((pipe, Traffic::default(), [driver, task()]), address, SECOND),
            number,
            used: Instant::now(),
            _closer: task(),
        });
        bulk
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_wait_on_a_connection_that_is_lost_give_up_at_once() {
        type Way = (fn(&Bulk), bool, bool);
        let ways: [Way; 4] = [
            (|bulk| bulk.lose(1), false, true),
            (Bulk::retire, false, true),
            // The answers may still arrive.
            (Bulk::leave, false, false),
            // That was the one before.
            (|bulk| bulk.lose(0), true, false),
        ];
        for (way, (end, stays, gives_up)) in ways.into_iter().enumerate() {
            let bulk = opened(1);
            let (connection, number) = bulk.known().unwrap();
            assert_eq!(number, 1);
            let get = Command::get("a");
            let asking = async {
                let since = Instant::now();
                connection.send_large(&get, 0).await.unwrap_err();
                since.elapsed()
            };
            let ending = async {
                sleep(SECOND / 2).await;
                end(&bulk);
            };
            let (waited, ()) = tokio::join!(asking, ending);
            assert_eq!(bulk.known().is_some(), stays, "{way}");
            assert_eq!(waited < SECOND, gives_up, "{way} {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_answer_is_not_asked_again() {
        let bulk = opened(1);
        let unanswered = bulk.send(&Command::get("a"), Transfer::Received(0)).await;
        assert!(matches!(unanswered, Err(BulkError::Unanswered(_))) && lock(&bulk.current).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_it_was_not_used_for_a_while() {
        let bulk = opened(1);
        let closing = tokio::spawn(close_unused(Arc::clone(&bulk.current), 1));
        sleep(IDLE - SECOND).await;
        assert!(bulk.known().is_some());
        sleep(IDLE - SECOND).await;
        assert!(lock(&bulk.current).is_some());
        sleep(SECOND * 2).await;
        assert!(lock(&bulk.current).is_none());
        closing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_not_closed_because_the_one_before_was_unused() {
        let bulk = opened(2);
        close_unused(Arc::clone(&bulk.current), 1).await;
        assert!(bulk.known().is_some());
    }
}
