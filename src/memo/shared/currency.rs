//! Whether what a store has is still current.

use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;

use super::Shared;
use crate::codec::Codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Label};
use crate::memo::config::Config;
use crate::memo::found::Found;
use crate::memo::marking::Start;
use crate::memo::permit::Lead;
use crate::memo::receipt::{Aim, Receipt};
use crate::simulation::{Planted, planted};
use crate::store::{Generation, Purge, Stamp, Standing, Store, Value};
use crate::task::BoxFuture;

/// What the first bytes of a stored value tell.
pub(crate) enum HeadLook<V> {
    /// There is none, or none that is current.
    Nothing,
    /// It, or its head.
    Found(V),
}

impl<C: Codec> Shared<C> {
    /// The present generation, if the result may need one.
    pub(crate) async fn generation(&self, address: &Address, config: &Config) -> Option<Generation> {
        if !config.tags && !self.stamps_all() {
            return None;
        }
        match self.store.generation(&self.tag).await {
            Ok(generation) => Some(generation),
            Err(error) => {
                if error.kind() != StoreErrorKind::Unsupported {
                    self.store_failed(address, "generation", &error);
                }
                None
            }
        }
    }

    /// The same lead, with the generation in which the computation starts, if that may matter. The keeper may not have
    /// asked for it.
    pub(crate) async fn started(&self, mut lead: Lead<C::Value>, address: &Address, config: &Config) -> Lead<C::Value> {
        if lead.start.is_none() {
            let asked = self.clock.tick();
            let generation = self.generation(address, config).await;
            lead.start = generation.map(|generation| Start { generation, asked });
        }
        lead
    }

    /// A value, which may have been softly invalidated.
    pub(crate) fn found(&self, value: C::Value, stored: &Value) -> Option<Found<C::Value>> {
        let began = stored.stamp().map(|stamp| stamp.generation().number);
        let found = Found {
            began: began.or_else(|| self.codec.began(&value)),
            value,
            soft_since: None,
        };
        match stored.soft_since() {
            Some(since) => self.softened(found, since),
            None => Some(found),
        }
    }

    fn softened(&self, found: Found<C::Value>, since: SystemTime) -> Option<Found<C::Value>> {
        Some(Found {
            value: self.codec.soften(found.value, since)?,
            soft_since: Some(since),
            ..found
        })
    }

    /// Whether the value is what a caller with this aim wants. A value that does not say when it was begun is not older
    /// than an invalidation of its own address, which removes or softens it.
    pub(crate) fn meets(&self, aim: Aim, found: &Found<C::Value>) -> bool {
        match aim {
            Aim::Since(_) if planted(Planted::ReceiptIgnored) => true,
            Aim::Since(receipt) => found
                .began
                .map_or_else(|| found.soft_since.is_none(), |began| receipt.is_met_by(began)),
            Aim::Fresh | Aim::Now => true,
        }
    }

    /// The aim, if it can be met: a receipt has to be of a generation that has begun. Asks the store.
    pub(crate) async fn settled(&self, aim: Aim, others: impl Iterator<Item = Receipt>) -> Aim {
        let Aim::Since(receipt) = aim else { return aim };
        let latest = match self.store.generation(&self.tag).await {
            Ok(generation) => Receipt(generation.number),
            Err(error) => {
                if error.kind() != StoreErrorKind::Unsupported {
                    self.tags_failed("generation", &error);
                }
                return Aim::Fresh;
            }
        };
        let latest_known = others.chain([receipt]).filter(|receipt| *receipt <= latest).max();
        latest_known.map_or(Aim::Fresh, Aim::Since)
    }

    /// The receipt of an invalidation that begins now.
    pub(crate) async fn receipt(&self) -> Receipt {
        match self.store.begin_generation(&self.tag).await {
            Ok(generation) => Receipt(generation.number),
            Err(error) => {
                if error.kind() != StoreErrorKind::Unsupported {
                    self.tags_failed("begin_generation", &error);
                }
                Receipt::NONE
            }
        }
    }

    /// Whether it answers callers, and needs no refresh.
    pub(crate) fn is_fresh(&self, found: &Found<C::Value>) -> bool {
        (found.soft_since.is_none() || planted(Planted::SoftAsFresh)) && self.codec.is_fresh(&found.value)
    }

    /// Whether it answers callers while it is computed anew.
    pub(crate) fn is_soft(&self, found: &Found<C::Value>) -> bool {
        found.soft_since.is_some() && !self.codec.is_marker(&found.value) && self.codec.answers_meanwhile(&found.value)
    }

    /// The value, if it can be read and is current.
    // Boxed, because most values have no stamp, and each look-up would keep room for it.
    pub(crate) fn vouched<'a>(
        &'a self,
        address: &'a Address,
        value: Option<Value>,
    ) -> BoxFuture<'a, Option<Found<C::Value>>> {
        Box::pin(async move {
            let mut value = value?;
            let decoded = self.decode(address, &mut value)?;
            self.current(address, &value, decoded).await
        })
    }

    /// What was decoded, if the value is current.
    async fn current(&self, address: &Address, value: &Value, decoded: Found<C::Value>) -> Option<Found<C::Value>> {
        let Some(stamp) = value.stamp() else {
            return Some(decoded);
        };
        match self.standing(address, stamp).await? {
            Standing::Current => Some(decoded),
            Standing::Soft { since } if decoded.soft_since.is_none() => self.softened(decoded, since),
            Standing::Soft { .. } => Some(decoded),
            Standing::Outdated if planted(Planted::Outdated) => Some(decoded),
            Standing::Outdated => self.outdated(address),
        }
    }

    /// What has been invalidated of a stamp, if the store can say.
    pub(crate) async fn standing(&self, address: &Address, stamp: &Stamp) -> Option<Standing> {
        match self.store.standing(&self.tag, stamp).await {
            Ok(standing) => Some(standing),
            Err(error) => {
                self.store_failed(address, "standing", &error);
                None
            }
        }
    }

    /// Looks the value up, and whether it is current.
    pub(crate) async fn look(&self, address: &Address) -> Result<Option<Found<C::Value>>, StoreError> {
        if self.stamps_all() {
            // Boxed, because most stores have few stamps.
            return Box::pin(self.look_at_stamped(address)).await;
        }
        Ok(match self.store.lookup(address).await? {
            None => None,
            Some(mut value) if value.stamp().is_none() => self.decode(address, &mut value),
            stamped => self.vouched(address, stamped).await,
        })
    }

    /// The same, where all values have stamps.
    async fn look_at_stamped(&self, address: &Address) -> Result<Option<Found<C::Value>>, StoreError> {
        // On one connection, both are on their way together.
        let (found, generation) = tokio::join!(self.store.lookup(address), self.store.generation(&self.tag));
        let Some(mut value) = found? else {
            return Ok(None);
        };
        let generation = generation?;
        Ok(match value.stamp() {
            // Nothing was invalidated since.
            Some(stamp) if stamp.labels().is_empty() && stamp.generation() == generation => {
                self.decode(address, &mut value)
            }
            Some(stamp) if stamp.labels().is_empty() && !is_of(stamp, generation) => self.outdated(address),
            _ => self.vouched(address, Some(value)).await,
        })
    }

    /// Looks at the first `most` bytes of the stored value, and whether it is current. Where the value is longer,
    /// `head` decodes these bytes, and is told how many of them are in front of the value. `None` where they do not
    /// tell, and the caller has to look up the whole.
    pub(crate) async fn preview(
        &self,
        address: &Address,
        most: usize,
        head: impl FnOnce(Bytes, usize) -> Option<C::Value> + Send,
    ) -> Option<HeadLook<C::Value>> {
        if self.table.contains(address) {
            return Some(HeadLook::Nothing);
        }
        let bytes = self.store_part(address, 0..most).await?;
        if bytes.is_empty() {
            return Some(HeadLook::Nothing);
        }
        let read = bytes.len();
        let value = Value::encoded(bytes);
        if value.stamp().is_none() && self.stamps_all() {
            return None;
        }
        if read < most {
            let decoded = self.vouched(address, Some(value)).await;
            return Some(decoded.map_or(HeadLook::Nothing, |found| HeadLook::Found(found.value)));
        }
        let begin = value.encoded_bytes()?;
        let offset = read - begin.len();
        let Some(decoded) = self.found(head(begin, offset)?, &value) else {
            return Some(HeadLook::Nothing);
        };
        let current = self.current(address, &value, decoded).await;
        Some(current.map_or(HeadLook::Nothing, |found| HeadLook::Found(found.value)))
    }

    /// Some of the bytes of what is stored, where they can be had.
    pub(crate) async fn store_part(&self, address: &Address, range: Range<usize>) -> Option<Bytes> {
        match self.store.part(address, range).await {
            Ok(bytes) => bytes,
            Err(error) => {
                self.store_failed(address, "part", &error);
                None
            }
        }
    }

    /// Removes the value, or softens it, and what is computed of it at this moment.
    pub(crate) async fn invalidate(&self, address: &Address, purge: Purge) -> Result<(), StoreError> {
        let invalidate = async || match purge {
            Purge::Hard => self.store.invalidate(address).await,
            Purge::Soft => self.store.soften(address).await,
        };
        if planted(Planted::NotDetached) {
            return invalidate().await;
        }
        // A caller that comes from here on must not join a computation from before.
        self.table.detach(address);
        let result = invalidate().await;
        self.table.detach(address);
        result
    }

    /// Makes everything with one of these labels out of date.
    pub(crate) async fn invalidate_labels(&self, labels: &[Label], purge: Purge) -> Result<(), StoreError> {
        let invalidated = match purge {
            Purge::Hard => self.store.invalidate_labels(&self.tag, labels).await,
            Purge::Soft => self.store.soften_labels(&self.tag, labels).await,
        };
        self.detached_unless(invalidated)
    }

    /// Makes everything out of date.
    pub(crate) async fn invalidate_all(&self, purge: Purge) -> Result<(), StoreError> {
        let invalidated = match purge {
            Purge::Hard => self.store.invalidate_all(&self.tag).await,
            Purge::Soft => self.store.soften_all(&self.tag).await,
        };
        self.detached_unless(invalidated)
    }

    /// A store that did not take an invalidation cannot tell which computations it concerns either, so no caller from
    /// here on joins an earlier computation.
    fn detached_unless(&self, invalidated: Result<(), StoreError>) -> Result<(), StoreError> {
        if invalidated.is_err() {
            self.table.detach_all();
        }
        invalidated
    }

    fn outdated<T>(&self, address: &Address) -> Option<T> {
        self.counters.outdated.add();
        tracing::trace!(address = %address.readable(), "what is stored is out of date");
        None
    }
}

fn is_of(stamp: &Stamp, generation: Generation) -> bool {
    stamp.generation().incarnation == generation.incarnation
}
