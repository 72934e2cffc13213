//! What several operations of the store have in common.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::staging::{self, Committing, KEPT};
use super::{RedisStore, delivery};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Tag};
use crate::store::notice::payload;
use crate::store::redis::backlog::Debt;
use crate::store::redis::conn::error;
use crate::store::redis::conn::reply::held;
use crate::store::redis::generations::RedisGenerations;
use crate::store::redis::near::NearFeed;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::resp::{Command, Pipeline, Reply};
use crate::store::redis::script::{self, Script, millis};
use crate::store::{Lock, Purge, Release, Stamp, Standing, Store, Token, Value};
use crate::trace::TraceContext;

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The caller that asks.
    Own,
    /// Another process, which computes as part of this trace.
    Traced(TraceContext),
    /// Another process of which no more is known, or none.
    Unknown,
}

impl Holder {
    /// The holder that the value of the lock names, as seen by the process with this token.
    fn seen_by(token: &str, lock: &Reply) -> Self {
        let Reply::BulkString(lock) = lock else {
            return Self::Unknown;
        };
        // Behind a `~` stands that the value was softly invalidated.
        match lock.split(|byte| *byte == b'~').next().unwrap_or_default() {
            holder if holder == token.as_bytes() => Self::Own,
            holder => Self::of(holder),
        }
    }

    /// Another holder, with this value of the lock, which may be any program's.
    fn of(lock: &[u8]) -> Self {
        let token = std::str::from_utf8(lock).ok().and_then(|text| text.parse().ok());
        let context = token.and_then(|token: Token| token.trace_context());
        context.map_or(Self::Unknown, Self::Traced)
    }

    fn context(self) -> Option<TraceContext> {
        match self {
            Self::Traced(context) => Some(context),
            Self::Own | Self::Unknown => None,
        }
    }
}

impl RedisStore {
    /// Has Redis do the invalidation, or keeps it for later: a pending invalidation is [`Hard`](Purge).
    pub(in crate::store::redis) async fn deliver(&self, debt: Debt, purge: Purge) -> Result<(), StoreError> {
        delivery::deliver(&self.inner, debt, purge).await
    }

    pub(super) async fn run(
        &self,
        at: Keyspace<'_>,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<bool, StoreError> {
        script.run(&self.inner.link, at, keys, args).await
    }

    /// Commits to this key, unless the server is known to close the connection on such a value.
    pub(super) async fn commit_to(
        &self,
        address: &Address,
        key: &str,
        new: Committing<'_>,
    ) -> Result<bool, StoreError> {
        let (keys, bytes) = (self.keys(address), new.bytes.len());
        if self.inner.oversized.includes(address, bytes) {
            return Err(error::too_large());
        }
        let committed = self.send_commit(keys, key, &new).await;
        self.inner.forget_near(address);
        self.note_unanswered(address, bytes, &committed);
        self.inner.sizes.learn(key, bytes);
        committed
    }

    async fn send_commit(&self, keys: Keyspace<'_>, key: &str, new: &Committing<'_>) -> Result<bool, StoreError> {
        if staging::is_staged(self, new)
            && let Some(committed) = staging::commit(self, keys, key, new).await?
        {
            return Ok(committed);
        }
        let (token, ttl) = (new.token.to_string(), millis(new.ttl).to_string());
        let args = [token.as_bytes(), new.bytes, ttl.as_bytes(), new.channel.as_bytes()];
        let args: Vec<&[u8]> = args.into_iter().chain(new.payload).collect();
        self.run(keys, &script::COMMIT, &[&keys.lock(), key], &args).await
    }

    /// Remembers the size of the value, if the connection brought no answer to it.
    pub(super) fn note_unanswered<T>(&self, address: &Address, bytes: usize, answer: &Result<T, StoreError>) {
        if matches!(answer, Err(error) if error.kind() == StoreErrorKind::Timeout) {
            self.inner.oversized.note(address, bytes);
        }
    }

    /// Gives the lock back without a result. One of the watchers computes for itself.
    pub(super) async fn give_back(&self, keys: Keyspace<'_>, token: Token) -> Result<bool, StoreError> {
        let (token, channel) = (token.to_string(), keys.control());
        let payload = payload::release(&Release::Abandoned, 0);
        let args = [token.as_bytes(), channel.as_bytes(), &payload];
        self.run(keys, &script::RELEASE, &[&keys.lock()], &args).await
    }

    /// Gives the lock back, and keeps a result for the watchers at this moment, if there are any.
    pub(super) async fn keep(&self, address: &Address, token: Token, bytes: &[u8]) -> Result<bool, StoreError> {
        let keys = self.keys(address);
        let (lock, own, channel) = (keys.lock(), token.to_string(), keys.control());
        // A cluster counts the receivers of a plain message on one node only, but it is heard on all nodes.
        if !(self.inner.link.is_cluster() && keys.is_common()) {
            // Says nothing to the watchers that hear it: there is no value yet.
            let sound = [own.as_bytes(), channel.as_bytes(), payload::STORED];
            match script::SOUND.answer(&self.inner.link, keys, &[&lock], &sound).await? {
                2 => {}
                given_back => return Ok(given_back == 1),
            }
        }
        let payload = payload::kept(token);
        let kept = Committing {
            token,
            bytes,
            ttl: KEPT,
            channel: &channel,
            payload: Some(&payload),
        };
        match self.commit_to(address, &keys.kept(token), kept).await {
            // The server is full, or the result is too large for it.
            Err(error) if error.kind() == StoreErrorKind::Rejected => self.give_back(keys, token).await,
            kept => kept,
        }
    }

    pub(super) fn keys<'a>(&self, address: &'a Address) -> Keyspace<'a> {
        Keyspace::new(address, self.inner.link.database())
    }

    /// The bytes to store. A value that other members of the family may read stands to the letter.
    pub(super) fn encode(&self, keys: Keyspace<'_>, value: &Value) -> Result<Bytes, StoreError> {
        #[cfg(feature = "zstd")]
        if !keys.is_common() || value.stamp().is_some() {
            return value.bytes_compressed(self.inner.writing.compress_from);
        }
        let _ = keys;
        value.bytes()
    }

    /// Where a stored value is announced, and how unless by the value itself.
    ///
    /// To other members of the family, each payload on the promise channel is the value to the letter, and there is no other
    /// way to it; a stamp in front of it is not for them. The control channel is heard by nodes with the same database only.
    pub(super) fn announcement(
        &self,
        keys: Keyspace<'_>,
        value: &Value,
        bytes: &[u8],
    ) -> (String, Option<&'static [u8]>) {
        if keys.is_common() && value.stamp().is_none() {
            return (keys.promise(), None);
        }
        let inline = !keys.is_common() && bytes.len() <= self.inner.writing.inline_limit;
        let payload = if inline { payload::VALUE } else { payload::STORED };
        (keys.control(), Some(payload))
    }

    pub(super) fn generations(&self, tag: &Tag) -> RedisGenerations<'_> {
        RedisGenerations::new(&self.inner.link, tag)
    }

    /// How a stamp stands, and the feed of the server that said so, unless several nodes of a cluster had to.
    pub(super) async fn judge(
        &self,
        tag: &Tag,
        stamp: &Stamp,
    ) -> Result<(Standing, Option<Arc<NearFeed>>), StoreError> {
        let is_covered = || self.inner.backlog.covers_stamp(tag, stamp);
        if is_covered() {
            return Ok((Standing::Outdated, None));
        }
        let (standing, from) = self.generations(tag).standing(stamp).await?;
        Ok(match is_covered() {
            true => (Standing::Outdated, None),
            false => (standing, from),
        })
    }

    /// What is known of a lock that was not granted to this token.
    pub(super) async fn refused(
        &self,
        address: &Address,
        token: Token,
        lease: Duration,
        has_value: bool,
    ) -> Result<(Lock, Option<TraceContext>), StoreError> {
        let keys = self.keys(address);
        let lock = keys.lock();
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.command("GET").arg(&lock);
        pipeline.command("PTTL").arg(&lock);
        let replies = self.inner.link.send_all(keys, &pipeline).await?;
        let [holder, left] = <[Reply; 2]>::try_from(replies).map_err(|_| error::unexpected())?;
        let holder = match has_value {
            // No caller needs to know.
            true => Holder::Unknown,
            false => Holder::seen_by(&token.to_string(), &holder),
        };
        // An earlier attempt of the same holder took it, and its answer was lost.
        if holder == Holder::Own {
            return Ok((self.extend(address, token, lease).await?, None));
        }
        let lock = match held(left)? {
            Lock::Held { remaining: None } => self.limit(keys, lease).await?,
            lock => lock,
        };
        Ok((lock, holder.context()))
    }

    /// Gives a lock that never expires, and which no member of the family took, an end: it would cost each later
    /// caller a wait, for good.
    pub(super) async fn limit(&self, keys: Keyspace<'_>, lease: Duration) -> Result<Lock, StoreError> {
        let mut expire = Command::new("PEXPIRE");
        expire.arg(keys.lock()).number(millis(lease));
        let limited = matches!(self.inner.link.send(keys, &expire).await?, Reply::Int(_));
        Ok(Lock::Held {
            remaining: limited.then_some(lease),
        })
    }

    /// The lease of a lock that an earlier attempt took already starts anew.
    pub(super) async fn extend(&self, address: &Address, token: Token, lease: Duration) -> Result<Lock, StoreError> {
        Ok(if self.renew(address, token, lease).await?.is_held() {
            Lock::Granted
        } else {
            // The lock was lost in between, which is worth another attempt at once.
            Lock::Held {
                remaining: Some(Duration::ZERO),
            }
        })
    }
}
