//! Values on their way from Redis, small and large ones.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::{RedisInner, RedisStore};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Tag};
use crate::store::redis::conn::bulk::Transfer;
use crate::store::redis::conn::error;
use crate::store::redis::conn::reply::{self, GetReply};
use crate::store::redis::large::LARGE;
use crate::store::redis::near::Fetch;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::resp::{Command, Pipeline, Reply};
use crate::store::{Standing, Value};

/// How many shared reads of one value of unknown size are under way at once. Of a large value there is one.
const UNKNOWN: usize = 4;

type ReadFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<Value>, StoreError>> + Send + 'a>>;

/// Reads the value under this name, once for all callers that come while it is being read.
///
/// Boxed, because no other future should have to keep room for it.
pub(super) fn shared<'a>(store: &'a RedisStore, address: &Address, name: &'a str) -> ReadFuture<'a> {
    let most = if store.inner.sizes.get(name).is_some() {
        1
    } else {
        UNKNOWN
    };
    let (inner, address, key) = (Arc::clone(&store.inner), address.clone(), name.to_owned());
    let read = move || {
        let (inner, address, key) = (Arc::clone(&inner), address.clone(), key.clone());
        async move { inner.read(&address, &key).await }
    };
    Box::pin(store.inner.reads.share(&store.inner.runtime, name, most, read))
}

/// Whether to keep the value that a look-up finds.
pub(super) fn to_fetch(store: &RedisStore, address: &Address) -> Option<Fetch> {
    let near = &store.inner.near;
    if !near.has_copies() || store.inner.sizes.get(address.as_str()).is_some() {
        return None;
    }
    let feed = store.inner.link.near(store.keys(address))?;
    near.fetch(address, &feed)
}

/// Reads a value like any other, and has it kept once it is decoded.
pub(super) fn fetch<'a>(store: &'a RedisStore, address: &'a Address, fetch: Fetch) -> ReadFuture<'a> {
    Box::pin(async move {
        let keys = Keyspace::new(address, store.inner.link.database());
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.command("GET").arg(keys.value());
        pipeline.command("PTTL").arg(keys.value());
        let replies = store.inner.link.send_all_from(keys, &pipeline).await;
        let (reply, left, from) = match replies.map(|(replies, from)| (<[Reply; 2]>::try_from(replies), from)) {
            Ok((Ok([reply, left]), from)) => (Ok(reply), left, from),
            Ok((Err(_), _)) => return Err(error::unexpected()),
            Err(error) => (Err(error), Reply::Nil, None),
        };
        let found = store.inner.learn(keys.value(), reply)?;
        // The value may have been read before an invalidation that came meanwhile.
        store.inner.backlog.check(address)?;
        let (Some(value), Some(lifetime)) = (found.as_ref(), lifetime(&left)) else {
            return Ok(found);
        };
        // A value that came by another connection, or from another node, may have its changes told elsewhere.
        if !fetch.is_from(from.as_ref()) || value.weight() > fetch.most().min(LARGE) {
            return Ok(found);
        }
        let seen = match value.stamp() {
            None => None,
            Some(stamp) => {
                let seen = fetch.generations();
                let tag = Tag::new(address.tag()).ok();
                let is_current = match tag {
                    Some(tag) => match store.judge(&tag, stamp).await {
                        Ok((Standing::Current, home)) => fetch.is_judged_by(home.as_ref()),
                        _ => false,
                    },
                    None => false,
                };
                if !is_current {
                    return Ok(found);
                }
                Some(seen)
            }
        };
        Ok(found.map(|value| value.kept_by(move |native| fetch.keep(native, lifetime, seen))))
    })
}

/// Some bytes of a value; `None` where the user may not read parts, or the value has none.
pub(super) async fn range(
    store: &RedisStore,
    address: &Address,
    range: Range<usize>,
) -> Result<Option<Bytes>, StoreError> {
    let no_part = &store.inner.no_parts;
    if range.is_empty() || no_part.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let keys = Keyspace::new(address, store.inner.link.database());
    let mut get = Command::new("GETRANGE");
    get.arg(keys.value())
        .number(range.start as u64)
        .number(range.end as u64 - 1);
    let expected = range.len();
    let reply = match expected < LARGE * 2 {
        true => store.inner.link.send(keys, &get).await?,
        false => {
            store
                .inner
                .link
                .send_large(keys, &get, Transfer::Received(expected))
                .await?
        }
    };
    match reply {
        Reply::BulkString(bytes) => Ok(Some(bytes.into())),
        Reply::ServerError(error) => {
            if error.code() == "NOPERM" {
                no_part.store(true, Ordering::Relaxed);
            }
            Ok(None)
        }
        _ => Err(error::unexpected()),
    }
}

impl RedisInner {
    /// After this process has written a value, or tried to, it serves no older copy of it.
    pub(super) fn forget_near(&self, address: &Address) {
        self.near.forget(address);
    }

    /// Reads the value under one of the names of this address, by the connection that its size suggests.
    async fn read(&self, address: &Address, name: &str) -> Result<Option<Value>, StoreError> {
        let keys = Keyspace::new(address, self.link.database());
        let reply = match self.sizes.get(name) {
            None => self.link.get(keys, name).await.map(Reply::from),
            Some(bytes) => {
                let get = Command::get(name);
                self.link.send_large(keys, &get, Transfer::Received(bytes)).await
            }
        };
        self.learn(name, reply)
    }

    /// The same, in the memory that it was read into.
    pub(super) fn learn_lent(
        &self,
        name: &str,
        reply: Result<GetReply, StoreError>,
    ) -> Result<Option<Value>, StoreError> {
        match reply {
            Ok(GetReply::Lent(bytes)) => {
                self.sizes.learn(name, bytes.len());
                Ok(Some(Value::lent(bytes)))
            }
            other => self.learn(name, other.map(Reply::from)),
        }
    }

    /// The value in a reply to `GET`, whose size is remembered.
    pub(super) fn learn(&self, name: &str, reply: Result<Reply, StoreError>) -> Result<Option<Value>, StoreError> {
        match &reply {
            Ok(Reply::BulkString(bytes)) => self.sizes.learn(name, bytes.len()),
            Ok(Reply::Nil) => self.sizes.absent(name),
            Err(error) if error.kind() == StoreErrorKind::Timeout => self.sizes.suspect(name),
            _ => {}
        }
        reply::value(reply?)
    }
}

/// The lifetime of a key that is there, as `PTTL` says. A key without an end is looked at again now and then.
fn lifetime(left: &Reply) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(600);
    match left {
        Reply::Int(-1) => Some(LONGEST),
        Reply::Int(millis) => u64::try_from(*millis)
            .ok()
            .map(|millis| Duration::from_millis(millis).min(LONGEST)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_ends_with_its_key_or_is_looked_at_again_after_a_while() {
        let (minute, longest) = (Duration::from_secs(60), Duration::from_secs(600));
        for (left, expected) in [
            (Reply::Int(60_000), Some(minute)),
            (Reply::Int(600_001), Some(longest)),
            (Reply::Int(-1), Some(longest)),
            // There is none.
            (Reply::Int(-2), None),
            (Reply::Nil, None),
        ] {
            assert_eq!(lifetime(&left), expected, "{left:?}");
        }
    }
}
