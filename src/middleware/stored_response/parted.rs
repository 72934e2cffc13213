//! [`PartedBody`]: a stored body that is read from the store as its client reads it.
//!
//! Each part is checked by the [digest](super#parts) of the head, and the trailer fields by the checksum of
//! the whole. Where the value was replaced, called in or has expired meanwhile, the body ends in an error, never as if it
//! were whole.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::sleep;

use super::apart::Apart;
use super::form::Form;
use super::message;
use crate::error::BoxError;
use crate::key::Address;
use crate::memo::Shared;
use crate::middleware::recording::part::{BodySource, RecordingItem};
use crate::task::BoxFuture;

/// So much is read at a time, and held for a client that does not read.
const PART: usize = 256 * 1024;

/// The pauses before a part that could not be read is asked for once more.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// Where a body is.
#[derive(Clone)]
struct PartsAddress {
    shared: Arc<Shared<Form>>,
    address: Address,
    apart: Arc<Apart>,
}

/// The body, or a range of it.
pub(crate) struct PartedBody {
    place: PartsAddress,
    /// What was read when there was a response to begin with.
    first: Bytes,
    /// What has not been read yet.
    rest: Range<usize>,
    step: PartStep,
    /// Of all that was given out, where trailer fields have to be checked.
    sum: Option<crc32fast::Hasher>,
}

enum PartStep {
    First,
    Between,
    /// Never locked: its owner alone polls it.
    Reading(Mutex<BoxFuture<'static, Option<Bytes>>>),
    End,
}

impl PartsAddress {
    async fn read(&self, range: Range<usize>) -> Option<Bytes> {
        for pause in PAUSES {
            let read = self.shared.store_part(&self.address, range.clone()).await;
            if read.is_some() {
                return read;
            }
            sleep(pause).await;
        }
        self.shared.store_part(&self.address, range).await
    }

    async fn part(&self, part: &Range<usize>) -> Option<Bytes> {
        let blocks = self.read(self.apart.blocks(part)).await?;
        self.apart.part(part, &blocks)
    }
}

impl PartedBody {
    /// This range of the body that was left in the store, whose first part is read here. `None` where it cannot be.
    pub(crate) async fn begin(
        shared: &Arc<Shared<Form>>,
        address: &Address,
        apart: &Arc<Apart>,
        range: Range<usize>,
    ) -> Option<Self> {
        let place = PartsAddress {
            shared: Arc::clone(shared),
            address: address.clone(),
            apart: Arc::clone(apart),
        };
        let end = apart.end_of_part(range.start, PART).min(range.end);
        let part = range.start..end;
        // Not tried again: the caller reads the whole instead.
        let blocks = shared.store_part(address, apart.blocks(&part)).await?;
        let is_whole = range == (0..apart.len());
        Some(Self {
            first: apart.part(&part, &blocks)?,
            rest: end..range.end,
            step: PartStep::First,
            sum: (is_whole && apart.has_trailers()).then(|| apart.front()),
            place,
        })
    }

    /// The same body, from its beginning, for a body of which nothing has been read.
    pub(crate) fn again(&self) -> Self {
        Self {
            place: self.place.clone(),
            first: self.first.clone(),
            rest: self.rest.clone(),
            step: PartStep::First,
            sum: self.sum.clone(),
        }
    }

    /// What reads on, if there is more.
    fn next(&mut self) -> Option<BoxFuture<'static, Option<Bytes>>> {
        let place = self.place.clone();
        if self.rest.is_empty() {
            self.sum.as_ref()?;
            return Some(Box::pin(async move { place.read(place.apart.end()).await }));
        }
        let end = place.apart.end_of_part(self.rest.start, PART).min(self.rest.end);
        let part = self.rest.start..end;
        Some(Box::pin(async move { place.part(&part).await }))
    }

    fn take(&mut self, read: Option<Bytes>) -> Result<Frame<Bytes>, BoxError> {
        let is_trailers = self.rest.is_empty();
        self.step = PartStep::End;
        let Some(bytes) = read else {
            return Err("the stored response was replaced while it was read, or the store could not be asked".into());
        };
        if !is_trailers {
            self.step = PartStep::Between;
            self.rest.start += bytes.len();
            return Ok(self.frame(bytes));
        }
        let sum = self.sum.take().unwrap_or_default();
        let trailers = message::decode_end(&bytes).ok();
        let trailers = trailers.filter(|_| self.place.apart.is_end(sum, &bytes));
        Ok(Frame::trailers(
            trailers.ok_or("the stored response was replaced while it was read")?,
        ))
    }

    fn frame(&mut self, data: Bytes) -> Frame<Bytes> {
        if let Some(sum) = &mut self.sum {
            sum.update(&data);
        }
        Frame::data(data)
    }
}

impl BodySource for PartedBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<RecordingItem> {
        loop {
            match &mut self.step {
                PartStep::First => {
                    self.step = PartStep::Between;
                    let first = std::mem::take(&mut self.first);
                    return Poll::Ready(RecordingItem::Frame(self.frame(first)));
                }
                PartStep::Between => match self.next() {
                    Some(reading) => self.step = PartStep::Reading(Mutex::new(reading)),
                    None => self.step = PartStep::End,
                },
                PartStep::Reading(reading) => {
                    let reading = reading.get_mut().unwrap_or_else(PoisonError::into_inner);
                    let read = ready!(reading.as_mut().poll(cx));
                    let frame = self.take(read);
                    return Poll::Ready(frame.map_or_else(RecordingItem::Failed, RecordingItem::Frame));
                }
                PartStep::End => return Poll::Ready(RecordingItem::End),
            }
        }
    }

    fn is_at_end(&self) -> bool {
        matches!(self.step, PartStep::End)
            || (matches!(self.step, PartStep::Between) && self.rest.is_empty() && self.sum.is_none())
    }

    fn remaining(&self) -> SizeHint {
        match self.sum {
            // A server that knows the exact length sends no trailers over HTTP/1, so it is not told one.
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact((self.first.len() + self.rest.len()) as u64),
        }
    }
}

impl fmt::Debug for PartedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartedBody({:?})", self.rest)
    }
}
