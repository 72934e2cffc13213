//! Responses that another process is computing, for followers in this one that read along.
//!
//! One task a response reads what the other process uploads. All followers here read from the task's recording, as they
//! would from the recording of a leader in this process. The task listens for uploads, and takes small pieces from the
//! messages themselves. It reads what it missed: it knows how far it has come, and asks again whenever it may have
//! missed something, and at the end of the lease. So a lost message does no harm.
//!
//! The response ends well for its followers only if it ends as an entry does, with the checksum of all that was read.
//! Everything else that can happen to the part, to its lock or to its value is an error to the followers.
//!
//! This recording has the bound of all recordings. Past the bound it becomes a window on the response, as the recording
//! of a leader does, and the quickest follower sets the pace.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::SizeHint;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::policy::response_rules::ResponseRules;
use super::recording::broadcast::{Broadcast, Producer};
use super::recording::budget::Reservation;
use super::recording::recorder::STALL;
use super::recording::underway::Underway;
use super::stored_response::{Form, StoredResponse, Streamed, StreamedDecoder};
use crate::key::Address;
use crate::memo::{Beginning, Shared};
use crate::store::parts::{Part, PartRead};
use crate::store::{AnyStore, Notice, PartId, Store, Token, Watch, parts_of};
use crate::task::spawn;

/// The most that one command reads on a connection that others use.
const SMALL: usize = 48 * 1024;

/// The most that one command reads of a longer response.
const LARGE: usize = 256 * 1024;

/// How often the task asks a store that does not answer.
const TRIES: u32 = 5;

const PAUSE: Duration = Duration::from_millis(100);

/// How long the first follower may take to begin.
const GRACE: Duration = Duration::from_secs(1);

/// How many bytes the task takes from messages before it tells the store how far it has come.
const UNTOLD: u64 = 1024 * 1024;

/// The responses that are read along here.
#[derive(Default)]
pub(crate) struct Incoming(Mutex<HashMap<PartId, Weak<StoredResponse>>>);

impl Incoming {
    fn known(&self) -> MutexGuard<'_, HashMap<PartId, Weak<StoredResponse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response with this beginning, to be read from there; `None` where this is no beginning of a response.
    pub(crate) fn open(
        self: &Arc<Self>,
        shared: &Shared<Form>,
        address: &Address,
        beginning: Beginning,
        rules: &ResponseRules,
    ) -> Option<Arc<StoredResponse>> {
        let id = beginning.part.id;
        let mut known = self.known();
        let present = known.get(&id).and_then(Weak::upgrade);
        if let Some(present) = present.filter(|present| !present.has_broken_off()) {
            return Some(present);
        }
        let mut decoder = StreamedDecoder::new();
        let at = (beginning.offset + beginning.bytes.len()) as u64;
        decoder.push(beginning.bytes);
        let head = match decoder.next(address) {
            Ok(Some(Streamed::Head(head))) => head,
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(address = %address.readable(), %error, "what another process computes cannot be read along");
                return None;
            }
        };
        let (producer, audience) = Broadcast::new();
        let reservation = Arc::new(Reservation::new(shared, rules.max_recording));
        let hint = hint(head.headers());
        let underway = Underway::new(audience, hint, Arc::clone(&reservation), None);
        let stored = Arc::new(head.for_followers_only().underway(underway));
        known.insert(id, Arc::downgrade(&stored));
        drop(known);
        let reading = IncomingReader {
            store: shared.store.clone(),
            address: address.clone(),
            part: beginning.part,
            name: Token::random(),
            at,
            told: at,
            decoder,
            producer,
            reservation,
            limit: rules.max_body,
            length: 0,
            window: None,
            begun: Instant::now(),
        };
        let (known, kept) = (Arc::clone(self), Arc::clone(&stored));
        spawn(Box::pin(async move {
            reading.run().await;
            drop(kept);
            known.known().retain(|_, response| response.strong_count() > 0);
        }));
        Some(stored)
    }
}

/// The length that a response says it has.
fn hint(headers: &HeaderMap) -> SizeHint {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok());
    length.map_or_else(SizeHint::default, SizeHint::with_exact)
}

struct IncomingReader {
    store: AnyStore,
    address: Address,
    part: Part,
    name: Token,
    /// Where what has been read ends.
    at: u64,
    /// How much of it the store was told of.
    told: u64,
    decoder: StreamedDecoder,
    producer: Producer<Option<HeaderMap>>,
    reservation: Arc<Reservation>,
    limit: u64,
    length: u64,
    /// Past the limit, how much is held.
    window: Option<usize>,
    begun: Instant,
}

/// The response is over for its followers, whole or not.
struct Over;

/// What there is to do.
enum ReadStep {
    /// It has been done: this was heard.
    Heard(Bytes),
    Read,
    Nothing,
}

impl IncomingReader {
    /// Runs until the response is over. Dropping this breaks the response off for its followers, unless it was found to
    /// be whole.
    async fn run(mut self) {
        let Err(Over) = self.read_on().await;
    }

    async fn read_on(&mut self) -> Result<Infallible, Over> {
        let mut watch = self.store.watch(&self.address);
        let mut end = Instant::now();
        loop {
            self.give().await?;
            let next = tokio::select! {
                biased;
                notice = watch.next() => self.heard(notice),
                () = sleep_until(end) => ReadStep::Read,
                () = self.unfollowed() => return Err(Over),
            };
            match next {
                ReadStep::Heard(bytes) => self.take(bytes),
                ReadStep::Read => end = self.catch_up().await?,
                ReadStep::Nothing => {}
            }
        }
    }

    /// What to do about a notice. Every notice but a piece may mean that the part has changed.
    fn heard(&self, notice: Notice) -> ReadStep {
        let Notice::Part(id, at, bytes) = notice else {
            return ReadStep::Read;
        };
        if id != self.part.id {
            return ReadStep::Nothing;
        }
        let length = bytes.as_ref().map_or(0, Bytes::len) as u64;
        match bytes {
            Some(_) if at <= self.at && at + length <= self.at => ReadStep::Nothing,
            Some(bytes) if at <= self.at && self.at - self.told < UNTOLD => {
                ReadStep::Heard(bytes.slice((self.at - at) as usize..))
            }
            _ => ReadStep::Read,
        }
    }

    fn take(&mut self, bytes: Bytes) {
        self.at += bytes.len() as u64;
        self.decoder.push(bytes);
    }

    /// Reads all there is. Returns when to look again, whatever is heard.
    async fn catch_up(&mut self) -> Result<Instant, Over> {
        let mut most = SMALL;
        let mut failures = 0;
        loop {
            let parts = parts_of(&self.store).ok_or(Over)?;
            let read = parts.read(&self.address, self.part, self.name, self.at, most).await;
            self.told = self.at;
            match read {
                Ok(PartRead::Growing(bytes, left)) => {
                    let is_all = bytes.len() < most;
                    self.take(bytes);
                    self.give().await?;
                    if is_all {
                        // Some time after the lease's end, so that a holder that renews it late has done so.
                        return Ok(Instant::now() + left + PAUSE);
                    }
                }
                Ok(PartRead::Whole(bytes, length)) => {
                    let is_nothing = bytes.is_empty();
                    self.take(bytes);
                    self.give().await?;
                    // A whole response would have said so.
                    if is_nothing || self.at >= length {
                        return Err(Over);
                    }
                }
                Ok(PartRead::Gone) => return Err(Over),
                Err(error) => {
                    tracing::debug!(address = %self.address.readable(), %error, "what another process computes could not be read");
                    failures += 1;
                    if failures >= TRIES {
                        return Err(Over);
                    }
                    sleep(PAUSE * failures).await;
                }
            }
            most = LARGE;
        }
    }

    /// Gives the followers what has been read.
    async fn give(&mut self) -> Result<(), Over> {
        loop {
            match self.decoder.next(&self.address) {
                Ok(Some(Streamed::Data(data))) => self.pass_on(data).await?,
                Ok(Some(Streamed::End(trailers))) => {
                    self.finish(trailers);
                    return Err(Over);
                }
                Ok(None) => return Ok(()),
                Ok(Some(Streamed::Head(_))) => return Err(Over),
                Err(error) => {
                    tracing::debug!(address = %self.address.readable(), %error, "what another process computes breaks off");
                    return Err(Over);
                }
            }
        }
    }

    async fn pass_on(&mut self, data: Bytes) -> Result<(), Over> {
        self.length += data.len() as u64;
        let Some(window) = self.window else {
            let held = self.producer.push(data) as u64;
            if !self.reservation.grow(held) || self.length > self.limit {
                self.window = Some(usize::try_from(self.length).unwrap_or(usize::MAX));
            }
            return Ok(());
        };
        let wanted = timeout(STALL, poll_fn(|cx| self.producer.poll_wanted(window, cx)));
        tokio::select! {
            biased;
            wanted = wanted => wanted.map_err(|_| Over)?,
            () = self.unfollowed() => return Err(Over),
        }
        self.producer.push_on(data, window);
        Ok(())
    }

    /// Resolves once no follower reads, after each has had time to begin.
    async fn unfollowed(&self) {
        sleep_until(self.begun + GRACE).await;
        poll_fn(|cx| self.producer.poll_unfollowed(cx)).await;
    }

    fn finish(&mut self, trailers: HeaderMap) {
        let (producer, _) = Broadcast::new();
        let producer = std::mem::replace(&mut self.producer, producer);
        producer.finish_passing((!trailers.is_empty()).then_some(trailers));
    }
}
