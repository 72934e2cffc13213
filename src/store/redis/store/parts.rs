//! Values on their way to other processes while they are made.

use std::time::Duration;

use bytes::Bytes;

use super::RedisStore;
use super::staging::KEPT;
use crate::error::StoreError;
use crate::key::{Address, Tag};
use crate::store::notice::payload;
use crate::store::parts::{Appended, FoundPart, Part, PartId, PartRead, PartRequests, Parts, Tail};
use crate::store::redis::conn::error;
use crate::store::redis::parts::{self, WINDOW};
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::resp::{Command, Reply};
use crate::store::redis::script::millis;
use crate::store::{Store, Token, Value};
use crate::task::BoxFuture;

/// Pieces up to this length are published. A longer piece is announced, and the processes that want it read it.
const INLINE: usize = 16 * 1024;

/// For how long a detached part stays after its last piece.
const DETACHED: Duration = Duration::from_secs(10);

impl Parts for RedisStore {
    fn token(&self) -> Token {
        self.inner.askings.token()
    }

    fn carries(&self, address: &Address) -> bool {
        // Other members of the family take everything on their channel for the value.
        !self.keys(address).is_common()
    }

    fn listen(&self, address: &Address, token: Token) -> PartRequests {
        self.inner.askings.listen(address, token, |at| self.watch(at))
    }

    fn find<'a>(&'a self, address: &'a Address, most: usize) -> BoxFuture<'a, Result<Option<FoundPart>, StoreError>> {
        Box::pin(async move {
            self.inner.backlog.check(address)?;
            let keys = self.keys(address);
            let (names, most) = ([keys.lock(), keys.part()], most.to_string());
            let names = names.each_ref().map(String::as_str);
            let reply = parts::FIND
                .reply(&self.inner.link, keys, &names, &[most.as_bytes()])
                .await?;
            self.inner.backlog.check(address)?;
            let [Some(lock), Some(beginning)] = strings(reply)? else {
                return Ok(None);
            };
            // The lock of another program shows nothing.
            let holder = std::str::from_utf8(&lock).ok().and_then(|text| text.parse().ok());
            Ok(holder.map(|holder| FoundPart { holder, beginning }))
        })
    }

    fn ask<'a>(&'a self, address: &'a Address, holder: Token) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let at = Tag::new(address.tag()).ok();
            let Some(at) = at.and_then(|tag| parts::mailbox(&tag, holder.process())) else {
                return Ok(true);
            };
            let mut publish = Command::new(match self.inner.link.is_cluster() {
                true => "SPUBLISH",
                false => "PUBLISH",
            });
            let keys = self.keys(&at);
            publish.arg(keys.control()).arg(payload::asked(holder));
            match self.inner.link.send(keys, &publish).await? {
                Reply::Int(heard) => Ok(heard > 0),
                Reply::ServerError(error) => Err(error::rejected(&error)),
                _ => Err(error::unexpected()),
            }
        })
    }

    fn append<'a>(
        &'a self,
        address: &'a Address,
        part: Part,
        at: u64,
        piece: &'a [u8],
        lease: Duration,
    ) -> BoxFuture<'a, Result<Appended, StoreError>> {
        Box::pin(async move {
            let keys = self.keys(address);
            if self.inner.backlog.covers(address) {
                return Ok(Appended::Refused);
            }
            let (names, channel) = ([keys.lock(), keys.part()], keys.control());
            let (whose, place, lease) = (Whose::of(part), at.to_string(), millis(lease).to_string());
            let payload = payload::part(part.id, at, piece.len() <= INLINE);
            let args = [place.as_bytes(), piece, lease.as_bytes(), channel.as_bytes(), &payload];
            let args = whose.with(&args);
            let names = names.each_ref().map(String::as_str);
            let answer = parts::APPEND.answer(&self.inner.link, keys, &names, &args).await?;
            Ok(appended(answer))
        })
    }

    fn detach<'a>(&'a self, address: &'a Address, part: Part, at: u64) -> BoxFuture<'a, Result<Appended, StoreError>> {
        Box::pin(async move {
            let keys = self.keys(address);
            let names = [keys.lock(), keys.part(), keys.detached(part.id)];
            let (whose, numbers) = (Whose::of(part), [at, WINDOW as u64, millis(DETACHED)]);
            let numbers = numbers.map(|number| number.to_string());
            let args = numbers.each_ref().map(String::as_bytes);
            let args = whose.with(&args);
            let names = names.each_ref().map(String::as_str);
            Ok(appended(
                parts::DETACH.answer(&self.inner.link, keys, &names, &args).await?,
            ))
        })
    }

    fn append_detached<'a>(
        &'a self,
        address: &'a Address,
        part: Part,
        at: u64,
        piece: &'a [u8],
        force: bool,
    ) -> BoxFuture<'a, Result<Appended, StoreError>> {
        Box::pin(async move {
            let keys = self.keys(address);
            let (names, channel) = ([keys.detached(part.id), keys.readers(part.id)], keys.control());
            let (place, window, ttl) = (at.to_string(), WINDOW.to_string(), millis(DETACHED).to_string());
            let payload = payload::part(part.id, at, piece.len() <= INLINE);
            let force: &[u8] = if force { b"1" } else { b"0" };
            let args = [
                place.as_bytes(),
                piece,
                window.as_bytes(),
                ttl.as_bytes(),
                force,
                channel.as_bytes(),
                &payload,
            ];
            let names = names.each_ref().map(String::as_str);
            let answer = parts::APPEND_DETACHED
                .answer(&self.inner.link, keys, &names, &args)
                .await?;
            Ok(appended(answer))
        })
    }

    fn abandon<'a>(&'a self, address: &'a Address, part: Part) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let keys = self.keys(address);
            let names = [keys.lock(), keys.part(), keys.detached(part.id)];
            // A reader finds out.
            let (whose, channel, payload) = (Whose::of(part), keys.control(), payload::part(part.id, 0, false));
            let names = names.each_ref().map(String::as_str);
            let args = whose.with(&[channel.as_bytes(), &payload]);
            self.run(keys, &parts::ABANDON, &names, &args).await.map(drop)
        })
    }

    fn read<'a>(
        &'a self,
        address: &'a Address,
        part: Part,
        reader: Token,
        at: u64,
        most: usize,
    ) -> BoxFuture<'a, Result<PartRead, StoreError>> {
        Box::pin(async move {
            self.inner.backlog.check(address)?;
            let keys = self.keys(address);
            let names = [
                keys.lock(),
                keys.part(),
                keys.detached(part.id),
                keys.readers(part.id),
                keys.kept(part.token),
                keys.value().to_owned(),
            ];
            let (whose, place, count) = (Whose::of(part), at.to_string(), most.to_string());
            let name = reader.bare().to_string();
            let args = [place.as_bytes(), count.as_bytes(), name.as_bytes()];
            let args = whose.with(&args);
            let names = names.each_ref().map(String::as_str);
            let reply = parts::READ
                .reply_of(&self.inner.link, keys, &names, &args, most)
                .await?;
            part_read(reply, at)
        })
    }
}

/// The arguments that tell a script which part it is about.
struct Whose {
    token: String,
    id_at: String,
    id: [u8; PartId::LEN],
}

impl Whose {
    fn of(part: Part) -> Self {
        Self {
            token: part.token.to_string(),
            id_at: part.id_at.to_string(),
            id: part.id.to_bytes(),
        }
    }

    /// These arguments, and then others.
    fn with<'a>(&'a self, others: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let own: [&[u8]; 3] = [self.token.as_bytes(), self.id_at.as_bytes(), &self.id];
        [&own[..], others].concat()
    }
}

/// Stores a value whose beginning has been uploaded, if it has been and is still there.
pub(super) async fn finish_value(
    store: &RedisStore,
    address: &Address,
    value: &Value,
    ttl: Duration,
) -> Result<Option<bool>, StoreError> {
    let Some(tail) = value.tail() else {
        return Ok(None);
    };
    let keys = store.keys(address);
    let finished = finish(store, keys, keys.value(), tail, ttl, payload::STORED).await;
    store.inner.forget_near(address);
    finished
}

/// Keeps such a value for the followers of this moment.
pub(super) async fn finish_kept(
    store: &RedisStore,
    address: &Address,
    value: &Value,
) -> Result<Option<bool>, StoreError> {
    let Some(tail) = value.tail() else {
        return Ok(None);
    };
    let (keys, token) = (store.keys(address), tail.part.token);
    let announcement = payload::kept(token);
    finish(store, keys, &keys.kept(token), tail, KEPT, &announcement).await
}

/// Makes the part the value under one of the names of this address, and gives the lock back. `None` where this
/// cannot be done and the whole value has to be sent.
async fn finish(
    store: &RedisStore,
    keys: Keyspace<'_>,
    name: &str,
    tail: &Tail,
    ttl: Duration,
    announcement: &[u8],
) -> Result<Option<bool>, StoreError> {
    let (whose, place, ttl) = (Whose::of(tail.part), tail.at.to_string(), millis(ttl).to_string());
    let (lock, part, channel) = (keys.lock(), keys.part(), keys.control());
    let payload = payload::part(tail.part.id, tail.at, tail.bytes.len() <= INLINE);
    let args = [
        place.as_bytes(),
        &tail.bytes,
        ttl.as_bytes(),
        channel.as_bytes(),
        &payload,
        announcement,
    ];
    let args = whose.with(&args);
    let names = [lock.as_str(), part.as_str(), name];
    let answer = parts::FINISH.answer(&store.inner.link, keys, &names, &args).await?;
    store
        .inner
        .sizes
        .learn(name, (tail.at as usize).saturating_add(tail.bytes.len()));
    Ok((answer != 3).then_some(answer == 1))
}

fn appended(answer: i64) -> Appended {
    match answer {
        0 => Appended::Refused,
        ..0 => Appended::Full,
        heard => Appended::Done { heard: heard > 1 },
    }
}

/// Up to two strings.
fn strings(reply: Reply) -> Result<[Option<Bytes>; 2], StoreError> {
    let Reply::Array(items) = reply else {
        return Err(error::unexpected());
    };
    let mut strings = items.into_iter().map(|item| match item {
        Reply::BulkString(bytes) => Some(Bytes::from(bytes)),
        _ => None,
    });
    Ok([strings.next().flatten(), strings.next().flatten()])
}

fn part_read(reply: Reply, at: u64) -> Result<PartRead, StoreError> {
    let Reply::Array(items) = reply else {
        return Err(error::unexpected());
    };
    if items.is_empty() {
        return Ok(PartRead::Gone);
    }
    let [
        Reply::Int(found),
        Reply::Int(length),
        Reply::BulkString(bytes),
        Reply::Int(left),
    ] = items.as_slice()
    else {
        return Err(error::unexpected());
    };
    let (length, bytes) = (u64::try_from(*length).unwrap_or(0), Bytes::copy_from_slice(bytes));
    if length < at {
        return Ok(PartRead::Gone);
    }
    Ok(match found {
        3 => PartRead::Whole(bytes, length),
        _ => PartRead::Growing(bytes, Duration::from_millis(u64::try_from(*left).unwrap_or(0))),
    })
}
