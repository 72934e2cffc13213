//! The contract of a store in terms of Redis commands.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::RedisStore;
use super::delivery;
use super::parts;
use super::reading;
use super::staging::Committing;
use crate::error::StoreError;
use crate::key::{Address, Label, Tag};
use crate::store::notice::payload;
use crate::store::redis::backlog::Debt;
use crate::store::redis::conn::error;
use crate::store::redis::resp::{Pipeline, Reply};
use crate::store::redis::script::{self, millis};
use crate::store::redis::topology::link::RedisWatch;
use crate::store::{
    Acquire, AnyStore, Generation, Lock, Purge, Release, Renewed, Stamp, Standing, Store, Token, Value,
};

/// How many callers may ask at once for a value of unknown size, each for itself.
const FEW: u32 = 8;

impl Store for RedisStore {
    type Watch = RedisWatch;

    fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
        let near = &self.inner.near;
        // Which invalidation is pending makes no difference: it will not be for long.
        if !near.has_copies() || !self.inner.backlog.is_empty() {
            return None;
        }
        near.get(address, now)
    }

    fn can_peek(&self) -> bool {
        self.inner.near.has_copies()
    }

    fn is_near(&self) -> bool {
        self.inner.near.has_copies()
    }

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        self.inner.backlog.check(address)?;
        let keys = self.keys(address);
        if let Some(fetch) = reading::to_fetch(self, address) {
            return reading::fetch(self, address, fetch).await;
        }
        let visit = self.inner.crowds.enter(keys.value());
        let found = if visit.before >= FEW || self.inner.sizes.get(keys.value()).is_some() {
            reading::shared(self, address, keys.value()).await?
        } else {
            let reply = self.inner.link.get(keys, keys.value()).await;
            self.inner.learn_lent(keys.value(), reply)?
        };
        drop(visit);
        // The value may have been read before an invalidation that came meanwhile.
        self.inner.backlog.check(address)?;
        Ok(found)
    }

    async fn part(&self, address: &Address, range: Range<usize>) -> Result<Option<Bytes>, StoreError> {
        self.inner.backlog.check(address)?;
        let part = reading::range(self, address, range).await?;
        self.inner.backlog.check(address)?;
        Ok(part)
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        let keys = self.keys(address);
        self.inner.backlog.check(address)?;
        let is_large = self.inner.sizes.get(keys.value()).is_some();
        let mut pipeline = Pipeline::with_capacity(2);
        let set = pipeline.command("SET").arg(keys.lock()).arg(token.to_string());
        set.arg("NX").arg("PX").number(millis(lease));
        if !is_large {
            pipeline.command("GET").arg(keys.value());
        }
        let mut replies = self.inner.link.send_all(keys, &pipeline).await?.into_iter();
        let Some(set) = replies.next() else {
            return Err(error::unexpected());
        };
        let value = match replies.next() {
            Some(get) => self.inner.learn(keys.value(), Ok(get))?,
            // A value that cannot be read is as good as none.
            None => reading::shared(self, address, keys.value()).await.unwrap_or(None),
        };
        // It may have been read before an invalidation that came meanwhile.
        let value = value.filter(|_| !self.inner.backlog.covers(address));
        let (lock, holder) = match set {
            Reply::Okay => (Lock::Granted, None),
            Reply::Nil => self.refused(address, token, lease, value.is_some()).await?,
            Reply::ServerError(error) => return Err(error::rejected(&error)),
            _ => return Err(error::unexpected()),
        };
        Ok(Acquire { lock, value, holder })
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        let keys = self.keys(address);
        if self.inner.backlog.covers(address) {
            return Ok(Renewed::Lost);
        }
        let lease = millis(lease).to_string();
        let args = [token.to_string().into_bytes(), lease.into_bytes()];
        let (link, lock) = (&self.inner.link, keys.lock());
        let answer = script::RENEW
            .answer(link, keys, &[&lock], &[&args[0], &args[1]])
            .await?;
        Ok(match answer {
            1 => Renewed::Held,
            2 => Renewed::Soft,
            _ => Renewed::Lost,
        })
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        let keys = self.keys(address);
        if self.inner.backlog.covers(address) {
            return Ok(false);
        }
        if let Some(committed) = parts::finish_value(self, address, value, ttl).await? {
            return Ok(committed);
        }
        let bytes = self.encode(keys, value)?;
        let (channel, payload) = self.announcement(keys, value, &bytes);
        let new = Committing {
            token,
            bytes: &bytes,
            ttl,
            channel: &channel,
            payload,
        };
        self.commit_to(address, keys.value(), new).await
    }

    async fn defer(&self, address: &Address, token: Token, lease: Duration, starts: u32) -> Result<bool, StoreError> {
        let keys = self.keys(address);
        if self.inner.backlog.covers(address) {
            return Ok(false);
        }
        let (token, lease, channel) = (token.to_string(), millis(lease).to_string(), keys.control());
        let payload = payload::deferred(starts);
        let args = [token.as_bytes(), lease.as_bytes(), channel.as_bytes(), &payload];
        self.run(keys, &script::DEFER, &[&keys.lock()], &args).await
    }

    async fn resolve(&self, address: &Address, value: &Value, ttl: Duration) -> Result<(), StoreError> {
        let keys = self.keys(address);
        let bytes = self.encode(keys, value)?;
        let stored = !ttl.is_zero();
        let ttl = if stored { millis(ttl) } else { 0 }.to_string();
        let (channel, payload) = match stored {
            true => self.announcement(keys, value, &bytes),
            // A value that is not stored cannot be read.
            false => (keys.control(), Some(payload::VALUE)),
        };
        let promise = keys.promise();
        // Other members of the family wait for it as well, and listen nowhere else.
        let unread = !stored && keys.is_common() && value.stamp().is_none();
        let args = [&bytes[..], ttl.as_bytes(), channel.as_bytes()];
        let args = args.into_iter().chain(payload);
        let args: Vec<&[u8]> = args.chain(unread.then_some(promise.as_bytes())).collect();
        let resolved = self.run(keys, &script::RESOLVE, &[keys.value()], &args).await;
        self.inner.forget_near(address);
        resolved?;
        self.inner.sizes.learn(keys.value(), bytes.len());
        Ok(())
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        let keys = self.keys(address);
        if matches!(reason, Release::Shared(_)) && self.inner.backlog.covers(address) {
            return Ok(false);
        }
        // Other members of the family wait for it as well, and listen nowhere else.
        let common = match &reason {
            Release::Shared(value) => {
                if let Some(shared) = parts::finish_kept(self, address, value).await? {
                    return Ok(shared);
                }
                let bytes = value.bytes()?;
                if self.inner.oversized.includes(address, bytes.len()) {
                    return self.give_back(keys, token).await;
                }
                let is_common = keys.is_common() && value.stamp().is_none();
                if !is_common && bytes.len() > self.inner.writing.inline_limit {
                    return self.keep(address, token, &bytes).await;
                }
                is_common.then_some(bytes)
            }
            _ => None,
        };
        let token = token.to_string();
        let (channel, promise) = (keys.control(), keys.promise());
        let limit = if common.is_some() {
            usize::MAX
        } else {
            self.inner.writing.inline_limit
        };
        let payload = payload::release(&reason, limit);
        let args = [token.as_bytes(), channel.as_bytes(), &payload];
        let published = common.iter().flat_map(|bytes| [promise.as_bytes(), bytes]);
        let args: Vec<&[u8]> = args.into_iter().chain(published).collect();
        let released = self.run(keys, &script::RELEASE, &[&keys.lock()], &args).await;
        if let Some(bytes) = &common {
            self.note_unanswered(address, bytes.len(), &released);
        }
        released
    }

    async fn kept(&self, address: &Address, token: Token) -> Result<Option<Value>, StoreError> {
        let keys = self.keys(address);
        // Only values that are too large to be sent to all are kept.
        let name = keys.kept(token);
        self.inner.sizes.learn(&name, self.inner.writing.inline_limit);
        reading::shared(self, address, &name).await
    }

    async fn mark(&self, address: &Address, token: Token, marker: &Value, ttl: Duration) -> Result<bool, StoreError> {
        let keys = self.keys(address);
        if self.inner.backlog.covers(address) {
            return Ok(false);
        }
        let bytes = marker.bytes()?;
        let (token, ttl, channel) = (token.to_string(), millis(ttl).to_string(), keys.control());
        let payload = payload::release(&Release::Pass, self.inner.writing.inline_limit);
        let args = [token.as_bytes(), &bytes, ttl.as_bytes(), channel.as_bytes(), &payload];
        let marked = self
            .run(keys, &script::COMMIT, &[&keys.lock(), keys.value()], &args)
            .await;
        self.inner.forget_near(address);
        marked
    }

    async fn unmark(&self, address: &Address, marker: &Value) -> Result<(), StoreError> {
        let keys = self.keys(address);
        let bytes = marker.bytes()?;
        let unmarked = self.run(keys, &script::UNMARK, &[keys.value()], &[&bytes]).await;
        self.inner.forget_near(address);
        unmarked.map(drop)
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        self.deliver(Debt::Value(address.clone()), Purge::Hard).await
    }

    async fn soften(&self, address: &Address) -> Result<(), StoreError> {
        self.deliver(Debt::Value(address.clone()), Purge::Soft).await
    }

    async fn generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        self.inner.backlog.check_generation(tag)?;
        self.generations(tag).now().await
    }

    async fn begin_generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        self.inner.backlog.check_generation(tag)?;
        self.generations(tag).begin().await
    }

    async fn standing(&self, tag: &Tag, stamp: &Stamp) -> Result<Standing, StoreError> {
        let (standing, _) = self.judge(tag, stamp).await?;
        Ok(standing)
    }

    async fn invalidate_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.deliver(Debt::Labels(tag.clone(), labels.to_vec()), Purge::Hard)
            .await
    }

    async fn soften_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.deliver(Debt::Labels(tag.clone(), labels.to_vec()), Purge::Soft)
            .await
    }

    async fn invalidate_all(&self, tag: &Tag) -> Result<(), StoreError> {
        self.deliver(Debt::Stamped(tag.clone()), Purge::Hard).await
    }

    async fn soften_all(&self, tag: &Tag) -> Result<(), StoreError> {
        self.deliver(Debt::Stamped(tag.clone()), Purge::Soft).await
    }

    async fn settle(&self) -> usize {
        let owed = delivery::pay(&self.inner).await;
        self.inner.near.leave(&self.inner.link).await;
        owed
    }

    fn watch(&self, address: &Address) -> RedisWatch {
        self.inner.link.watch(address, &self.inner.backlog)
    }

    fn epoch(&self) -> u64 {
        self.inner.link.epoch()
    }

    fn accepts(&self, address: &Address) -> bool {
        self.inner.link.is_connected(self.keys(address)) && !self.inner.backlog.covers(address)
    }

    // Not generic, unlike the default: so these operations are compiled once, and not in every program.
    fn into_any(self) -> AnyStore {
        AnyStore::new(self)
    }
}
