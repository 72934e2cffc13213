//! [`Uploader`]: the task that uploads a value while it is made.
//!
//! It uploads nothing before another process has asked. Then it sends the head and the first of the content at once.
//! From there on it sends what has come every [`SPACING`], or as soon as [`ENOUGH`] has come. Each is one command that
//! acts only while the lock is held, so a leader that has lost its lease appends nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::Coordinator;
use crate::codec::Codec;
use crate::error::StoreError;
use crate::key::Address;
use crate::memo::config::Config;
use crate::memo::stream::{Growing, Piece};
use crate::store::parts::{Appended, Part, PartRequests, Parts, Tail};
use crate::store::{AnyStore, PartId, Stamp, parts_of, sealed};

/// How long small pieces wait for more.
const SPACING: Duration = Duration::from_millis(20);

/// Pieces of this many bytes do not wait.
const ENOUGH: usize = 16 * 1024;

/// The most that one command carries, if more has come meanwhile.
const MOST: usize = 256 * 1024;

/// How often a command is sent until it is answered.
const TRIES: u32 = 3;

/// How long the upload waits for readers that are far behind.
const LAG: Duration = Duration::from_secs(2);

/// How long an upload for its readers alone goes on while no reader listens.
const UNHEARD: Duration = Duration::from_secs(5);

/// What the keeper says of a value. A keeper that says nothing gives it up.
pub(super) enum Concluded {
    /// It is to be stored, or shared.
    Whole,
    /// It is for its readers only.
    Apart,
}

/// Reads a value while it is made, and appends it to a part.
pub(super) struct Uploader {
    store: AnyStore,
    address: Address,
    lease: Duration,
    growing: Box<dyn Growing>,
    part: Part,
    stamp: Option<Stamp>,
    /// Where what has been uploaded ends.
    at: u64,
    /// What comes after it.
    buffer: Vec<u8>,
    /// How many commands have carried something.
    sent: u64,
    /// When the last command carried something, or renewed the part.
    touched: Instant,
}

/// Why something is to be done.
enum Gathered {
    More,
    /// Nothing has come for long.
    Idle,
    End,
    BrokenOff,
}

/// It cannot go on.
struct Stopped;

impl Uploader {
    pub(super) fn new<C: Codec>(
        coordinator: &Coordinator<C>,
        growing: Box<dyn Growing>,
        id: PartId,
        stamp: Option<Stamp>,
    ) -> Self {
        let buffer = sealed(stamp.as_ref());
        Self {
            store: coordinator.shared.store.clone(),
            address: coordinator.address.clone(),
            lease: coordinator.config.lease.min(Config::LONG),
            growing,
            part: Part {
                id,
                token: coordinator.token(),
                id_at: buffer.len() + Part::ID_AT,
            },
            stamp,
            at: 0,
            buffer,
            sent: 0,
            touched: Instant::now(),
        }
    }

    /// Until the keeper has concluded.
    pub(super) async fn run(
        self,
        asked: Arc<PartRequests>,
        mut conclusion: oneshot::Receiver<Concluded>,
        tail: oneshot::Sender<Tail>,
    ) {
        tokio::select! {
            biased;
            _ = &mut conclusion => return,
            () = asked.asked() => {}
        }
        let (store, address, part) = (self.store.clone(), self.address.clone(), self.part);
        if let Err(Stopped) = self.carry(conclusion, tail).await
            && let Some(parts) = parts_of(&store)
        {
            // If this does not arrive, readers learn it at the end of the lease.
            let _ = parts.abandon(&address, part).await;
        }
    }

    /// Uploads to the end, with the lock and perhaps without it.
    async fn carry(
        mut self,
        mut conclusion: oneshot::Receiver<Concluded>,
        tail: oneshot::Sender<Tail>,
    ) -> Result<(), Stopped> {
        self.touched = Instant::now();
        loop {
            let gathered = tokio::select! {
                biased;
                concluded = &mut conclusion => match concluded.map_err(|_| Stopped)? {
                    Concluded::Apart => break,
                    Concluded::Whole => return self.end(tail).await,
                },
                gathered = self.gather() => gathered,
            };
            match gathered {
                Gathered::More | Gathered::Idle => self.flush().await?,
                Gathered::BrokenOff => return Err(Stopped),
                Gathered::End => {
                    return match conclusion.await.map_err(|_| Stopped)? {
                        Concluded::Whole => self.hand_back(tail),
                        Concluded::Apart => Err(Stopped),
                    };
                }
            }
        }
        self.flush().await?;
        let detached = self
            .command(|parts, this| parts.detach(&this.address, this.part, this.at))
            .await?;
        // The lock may be given back.
        drop(tail);
        match detached {
            Appended::Done { .. } => self.go_on().await,
            Appended::Refused | Appended::Full => Err(Stopped),
        }
    }

    /// The value is whole, and all that is left of it is there.
    async fn end(mut self, tail: oneshot::Sender<Tail>) -> Result<(), Stopped> {
        loop {
            match self.gather().await {
                Gathered::End => return self.hand_back(tail),
                Gathered::More => self.flush().await?,
                Gathered::Idle | Gathered::BrokenOff => return Err(Stopped),
            }
        }
    }

    fn hand_back(self, tail: oneshot::Sender<Tail>) -> Result<(), Stopped> {
        // Nothing to go on from.
        if self.sent == 0 {
            return Ok(());
        }
        let _ = tail.send(Tail {
            part: self.part,
            at: self.at,
            bytes: self.buffer.into(),
            stamp: self.stamp,
        });
        Ok(())
    }

    /// Without the lock, for its present readers.
    async fn go_on(mut self) -> Result<(), Stopped> {
        let mut unheard = None;
        loop {
            let gathered = self.gather().await;
            let is_more = !self.buffer.is_empty();
            match gathered {
                Gathered::BrokenOff => return Err(Stopped),
                Gathered::More | Gathered::Idle | Gathered::End => match self.flush_apart().await? {
                    true => unheard = None,
                    false if is_more => {
                        let since = unheard.get_or_insert_with(Instant::now);
                        if since.elapsed() > UNHEARD {
                            return Err(Stopped);
                        }
                    }
                    false => {}
                },
            }
            if let Gathered::End = gathered {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to do. Cancel safe.
    async fn gather(&mut self) -> Gathered {
        let due = match self.sent {
            // The head, and the first of the content.
            0 | 1 => self.touched,
            _ => self.touched + SPACING,
        };
        let idle = self.touched + self.lease / 3;
        loop {
            if self.buffer.len() >= MOST {
                return Gathered::More;
            }
            let has_some = !self.buffer.is_empty() && (self.sent > 0 || self.buffer.len() > self.part.id_at);
            // A timer would take its time.
            let is_due = self.buffer.len() >= ENOUGH || (has_some && Instant::now() >= due);
            let piece = tokio::select! {
                biased;
                piece = poll_fn(|cx| self.growing.poll_piece(cx)) => piece,
                () = std::future::ready(()), if is_due => return Gathered::More,
                () = sleep_until(due), if has_some => return Gathered::More,
                () = sleep_until(idle), if self.sent > 0 => return Gathered::Idle,
            };
            match piece {
                Piece::More(bytes) => self.buffer.extend_from_slice(&bytes),
                Piece::End(bytes) => {
                    self.buffer.extend_from_slice(&bytes);
                    return Gathered::End;
                }
                Piece::BrokenOff => return Gathered::BrokenOff,
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Stopped> {
        let appended = self
            .command(|parts, this| parts.append(&this.address, this.part, this.at, &this.buffer, this.lease))
            .await?;
        match appended {
            Appended::Done { .. } => self.is_sent(),
            Appended::Refused | Appended::Full => return Err(Stopped),
        }
        Ok(())
    }

    /// Whether any process was told.
    async fn flush_apart(&mut self) -> Result<bool, Stopped> {
        let since = Instant::now();
        loop {
            let force = since.elapsed() > LAG;
            let appended = self
                .command(|parts, this| parts.append_detached(&this.address, this.part, this.at, &this.buffer, force))
                .await?;
            match appended {
                Appended::Done { heard } => {
                    self.is_sent();
                    return Ok(heard);
                }
                Appended::Full => sleep(SPACING).await,
                Appended::Refused => return Err(Stopped),
            }
        }
    }

    fn is_sent(&mut self) {
        self.at += self.buffer.len() as u64;
        self.sent += u64::from(!self.buffer.is_empty());
        self.touched = Instant::now();
        self.buffer.clear();
    }

    /// Sends a command, again if it is not answered. Each says where the uploaded bytes end, so a second one does no
    /// harm.
    async fn command<'a, F>(&'a self, send: impl Fn(&'a dyn Parts, &'a Self) -> F) -> Result<Appended, Stopped>
    where
        F: Future<Output = Result<Appended, StoreError>>,
    {
        let parts = parts_of(&self.store).ok_or(Stopped)?;
        for again in 1..=TRIES {
            match send(parts, self).await {
                Ok(appended) => return Ok(appended),
                Err(error) => {
                    tracing::debug!(address = %self.address.readable(), %error, "what others read along was not uploaded");
                    sleep(SPACING * again).await;
                }
            }
        }
        Err(Stopped)
    }
}
