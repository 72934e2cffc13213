//! Large values: a plain `SET` sends the value, and a script moves it to its place.
//!
//! Redis makes a Lua string of each argument of a script, which takes it 1.5 ns a byte, and serves no other client meanwhile. A
//! `SET` keeps what it has read.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::RedisStore;
use crate::error::StoreError;
use crate::store::Token;
use crate::store::notice::payload;
use crate::store::redis::conn::bulk::Transfer;
use crate::store::redis::conn::error;
use crate::store::redis::large::LARGE;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::resp::{Command, Reply};
use crate::store::redis::script::{Script, if_held, millis};

/// For how long a result that is too large to publish is kept for its watchers: as long as they may take to read it.
pub(super) const KEPT: Duration = Duration::from_secs(10);

/// `KEYS`: lock, where the value goes, where it is. `ARGV`: token, TTL in ms, channel, payload. Where the value is gone, it
/// returns 3, and where the user may not rename keys 4. Then it has done nothing.
static PLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!("redis.call('DEL', KEYS[3]) "),
        "if redis.call('PTTL', KEYS[3]) == -2 then return 3 end \
         if soft then \
         redis.call('SET', KEYS[2], soft .. redis.call('GET', KEYS[3]), 'PX', ARGV[2]) \
         redis.call('DEL', KEYS[3]) \
         else \
         local moved = redis.pcall('RENAME', KEYS[3], KEYS[2]) \
         if moved.err then return 4 end \
         redis.call('PEXPIRE', KEYS[2], ARGV[2]) \
         end \
         redis.call('DEL', KEYS[1]) \
         redis.call('PUBLISH', ARGV[3], ARGV[4]) \
         return soft and 2 or 1",
    ))
});

/// A value that is to stand under a key, once the lock is found to be held.
pub(super) struct Committing<'a> {
    pub(super) token: Token,
    pub(super) bytes: &'a [u8],
    pub(super) ttl: Duration,
    pub(super) channel: &'a str,
    /// What is published, unless it is the value.
    pub(super) payload: Option<&'a [u8]>,
}

/// Whether the value is worth a second round trip: a script that publishes the value has to have it.
pub(super) fn is_staged(store: &RedisStore, new: &Committing<'_>) -> bool {
    new.bytes.len() > store.inner.writing.inline_limit
        && new.payload.is_some_and(|payload| payload != payload::VALUE)
        && !store.inner.no_staging.load(Ordering::Relaxed)
}

/// Sends the value, and then commits it. `None` where the user may not do that, or the value is gone again: then nothing
/// is committed.
pub(super) async fn commit(
    store: &RedisStore,
    keys: Keyspace<'_>,
    key: &str,
    new: &Committing<'_>,
) -> Result<Option<bool>, StoreError> {
    let (link, staged) = (&store.inner.link, keys.staged(new.token));
    let mut set = Command::with_capacity("SET", new.bytes.len() + staged.len() + 64);
    set.arg(&staged).arg(new.bytes).arg("PX").number(millis(KEPT));
    let reply = match new.bytes.len() < LARGE {
        true => link.send(keys, &set).await?,
        false => link.send_large(keys, &set, Transfer::Sent(new.bytes.len())).await?,
    };
    match reply {
        Reply::Okay => {}
        Reply::ServerError(error) if error.code() == "NOPERM" => {
            store.inner.no_staging.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        Reply::ServerError(error) => return Err(error::rejected(&error)),
        _ => return Err(error::unexpected()),
    }
    let (token, ttl) = (new.token.to_string(), millis(new.ttl).to_string());
    let args = [token.as_bytes(), ttl.as_bytes(), new.channel.as_bytes()];
    let args: Vec<&[u8]> = args.into_iter().chain(new.payload).collect();
    let answer = PLACE.answer(link, keys, &[&keys.lock(), key, &staged], &args).await?;
    if answer == 4 {
        store.inner.no_staging.store(true, Ordering::Relaxed);
    }
    Ok((answer < 3).then_some(answer == 1))
}
