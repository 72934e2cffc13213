//! The steps that have to be atomic, as Lua.
//!
//! Each acts only while the lock holds the caller's token. `pcall` reads the lock so that a key of another type there
//! counts as "not ours" instead of an error. Where the value was softly invalidated since the lock was taken, the lock
//! has a `~` behind the token, and then the first bytes of a softly invalidated value. A value that is stored then
//! begins with these bytes, and the script returns 2.
//!
//! The channel is no key: it is in the same slot, but while that slot moves from one node to another, a script is only
//! run where all of its keys are.

use std::sync::LazyLock;
use std::time::Duration;

use sha1_smol::Sha1;

use super::conn::bulk::Transfer;
use super::conn::error;
use super::large::LARGE;
use super::protocol::keyspace::{Keyspace, is_sharded};
use super::resp::{Command, Reply};
use super::topology::link::Link;
use crate::error::StoreError;

/// Ends the script where the lock `KEYS[1]` is not held with the token `ARGV[1]`. Otherwise `soft` is the text behind
/// the token, if there is one.
macro_rules! if_held {
    () => {
        if_held!("")
    };
    // What to do before the end.
    ($before:literal) => {
        concat!(
            "local lock, soft = redis.pcall('GET', KEYS[1]), nil \
             if lock ~= ARGV[1] then \
             if type(lock) ~= 'string' or string.sub(lock, 1, #ARGV[1] + 1) ~= ARGV[1] .. '~' then ",
            $before,
            "return 0 end \
             soft = string.sub(lock, #ARGV[1] + 2) \
             end "
        )
    };
}

pub(super) use if_held;

/// `KEYS`: lock, value. `ARGV`: token, value, TTL in ms, channel, and the payload unless it is the value. The word `value `
/// has the value put behind it.
pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!(),
        "local value = soft and soft .. ARGV[2] or ARGV[2] \
         redis.call('SET', KEYS[2], value, 'PX', ARGV[3]) \
         redis.call('DEL', KEYS[1]) \
         redis.call('PUBLISH', ARGV[4], ARGV[5] == 'value ' and ARGV[5] .. value or ARGV[5] or value) \
         return soft and 2 or 1",
    ))
});

/// `KEYS`: lock. `ARGV`: token, lease in ms.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!(),
        "redis.call('PEXPIRE', KEYS[1], ARGV[2]) \
         return soft and 2 or 1",
    ))
});

/// `KEYS`: lock. `ARGV`: token, lease in ms, channel, payload.
pub(super) static DEFER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!(),
        "redis.call('PEXPIRE', KEYS[1], ARGV[2]) \
         redis.call('PUBLISH', ARGV[3], ARGV[4]) \
         return 1",
    ))
});

/// `KEYS`: value. `ARGV`: value, TTL in ms or 0 to store nothing, channel, the payload unless it is the value, as for
/// [`COMMIT`], and another channel for the value itself, if there is one.
pub(super) static RESOLVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if ARGV[2] ~= '0' then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end \
         redis.call('PUBLISH', ARGV[3], ARGV[4] == 'value ' and ARGV[4] .. ARGV[1] or ARGV[4] or ARGV[1]) \
         if ARGV[5] then redis.call('PUBLISH', ARGV[5], ARGV[1]) end \
         return 1",
    )
});

/// `KEYS`: lock. `ARGV`: token, channel, payload, and perhaps another channel and its payload. Where the lock says that the
/// value was softly invalidated, no result goes to the followers.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!(),
        "redis.call('DEL', KEYS[1]) \
         redis.call('PUBLISH', ARGV[2], soft and 'released' or ARGV[3]) \
         if ARGV[4] and not soft then redis.call('PUBLISH', ARGV[4], ARGV[5]) end \
         return soft and 2 or 1",
    ))
});

/// `KEYS`: lock. `ARGV`: token, channel, payload. Gives the lock back, unless the payload was heard: then it returns 2.
pub(super) static SOUND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!(),
        "if redis.call('PUBLISH', ARGV[2], ARGV[3]) > 0 then return 2 end \
         return redis.call('DEL', KEYS[1])",
    ))
});

/// `KEYS`: value. `ARGV`: the marker.
pub(super) static UNMARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
         return redis.call('DEL', KEYS[1])",
    )
});

/// Tells the processes that may have [near](super::near) copies. `ARGV`, from the first place left: channel, notice, and the set of
/// all processes that have to acknowledge it. Returns 1 where there are none, or else how many heard it, and the set with its scores.
///
/// The set is no key of the script: a server where it may not be read knows of no near copies.
macro_rules! tell_near {
    ($first:literal) => {
        concat!(
            "local at = ",
            $first,
            " \
             if not ARGV[at] then return 1 end \
             local heard = redis.pcall('PUBLISH', ARGV[at], ARGV[at + 1]) \
             local near = redis.pcall('ZREVRANGE', ARGV[at + 2], 0, -1, 'WITHSCORES') \
             if type(heard) ~= 'number' then heard = 0 end \
             if near.err then near = {} end \
             if heard == 0 and not near[1] then return 1 end \
             table.insert(near, 1, heard) \
             return near"
        )
    };
}
pub(super) use tell_near;

/// `KEYS`: lock, value. `ARGV`: channel, payload, and what [`tell_near`] takes, if there may be near copies.
pub(super) static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "redis.call('DEL', KEYS[1], KEYS[2]) \
         redis.call('PUBLISH', ARGV[1], ARGV[2]) ",
        tell_near!("3")
    ))
});

/// `KEYS`: lock, value. `ARGV`: the first bytes of a softly invalidated value, in front of the time; a channel and a
/// payload where other members of the family may read the value, or else two empty texts; and what [`tell_near`] takes,
/// if there may be near copies.
///
/// A value that those members may read is removed and not made stale: they would take the bytes in front of it for the
/// value.
pub(super) static SOFTEN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "local time = redis.call('TIME') \
         local soft = ARGV[1] .. struct.pack('>I8', time[1] * 1000 + math.floor(time[2] / 1000)) \
         local value, lock = redis.pcall('GET', KEYS[2]), redis.pcall('GET', KEYS[1]) \
         if ARGV[2] ~= '' and (type(value) ~= 'string' or string.sub(value, 1, 16) ~= string.sub(ARGV[1], 1, 16)) then \
         redis.call('DEL', KEYS[1], KEYS[2]) \
         redis.call('PUBLISH', ARGV[2], ARGV[3]) \
         value, lock = nil, nil \
         end \
         if type(value) == 'string' and string.sub(value, 1, #ARGV[1]) ~= ARGV[1] then \
         redis.call('SET', KEYS[2], soft .. value, 'KEEPTTL') \
         end \
         if type(lock) == 'string' and string.sub(lock, -#soft - 1, -9) ~= '~' .. ARGV[1] then \
         redis.call('SET', KEYS[1], lock .. '~' .. soft, 'KEEPTTL') \
         end ",
        tell_near!("4")
    ))
});

/// `KEYS`: the set of all processes that may have near copies. `ARGV`: what [`tell_near`] takes.
pub(super) static NEAR_NOTICE: LazyLock<Script> = LazyLock::new(|| Script::new(tell_near!("1")));

/// `KEYS`: the set of all processes that may have near copies, the canary. `ARGV`: a member and its score.
pub(super) static NEAR_JOIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1]) \
         redis.call('PEXPIRE', KEYS[1], 315360000000) \
         redis.call('SET', KEYS[2], '', 'PX', 10000) \
         return 1",
    )
});

/// `KEYS`: the set of all processes that may have near copies. `ARGV`: members, each with the score that it must still have to go.
pub(super) static NEAR_PRUNE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "for i = 1, #ARGV, 2 do \
         local all = redis.call('ZREVRANGE', KEYS[1], 0, -1, 'WITHSCORES') \
         for at = 1, #all, 2 do \
         if all[at] == ARGV[i] and all[at + 1] == ARGV[i + 1] then \
         local rank = (#all - at - 1) / 2 \
         redis.call('ZREMRANGEBYRANK', KEYS[1], rank, rank) \
         end end end \
         return 1",
    )
});

/// A script, once for plain and once for sharded Pub/Sub.
pub(super) struct Script {
    plain: Code,
    sharded: Code,
}

/// The text of a script and its name in the server's cache.
pub(super) struct Code {
    text: String,
    hash: String,
}

impl Script {
    pub(super) fn new(code: &str) -> Self {
        Self {
            plain: Code::new(code.to_owned()),
            sharded: Code::new(code.replace("'PUBLISH'", "'SPUBLISH'")),
        }
    }

    pub(super) fn code(&self, sharded: bool) -> &Code {
        if sharded { &self.sharded } else { &self.plain }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.plain.text
    }

    /// Runs it. Nothing was executed where the server does not know it yet, so sending it then is safe.
    pub(super) async fn run(
        &self,
        link: &Link,
        at: Keyspace<'_>,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<bool, StoreError> {
        Ok(self.answer(link, at, keys, args).await? == 1)
    }

    /// Runs it for the number that it returns.
    pub(super) async fn answer(
        &self,
        link: &Link,
        at: Keyspace<'_>,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<i64, StoreError> {
        match self.reply(link, at, keys, args).await? {
            Reply::Int(answer) => Ok(answer),
            _ => Err(error::unexpected()),
        }
    }

    /// Runs it for whatever it returns, unless that is an error.
    pub(super) async fn reply(
        &self,
        link: &Link,
        at: Keyspace<'_>,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<Reply, StoreError> {
        self.reply_of(link, at, keys, args, 0).await
    }

    /// The same, where so many bytes are expected.
    pub(super) async fn reply_of(
        &self,
        link: &Link,
        at: Keyspace<'_>,
        keys: &[&str],
        args: &[&[u8]],
        expected: usize,
    ) -> Result<Reply, StoreError> {
        let code = self.code(link.is_cluster() && is_sharded(at.value()));
        let sent: usize = args.iter().map(|arg| arg.len()).sum();
        let transfer = if sent < expected {
            Transfer::Received(expected)
        } else {
            Transfer::Sent(sent)
        };
        let mut complete = false;
        let mut command = code.cached(keys, args);
        let reply = loop {
            let reply = match sent.max(expected) < LARGE {
                true => link.send(at, &command).await?,
                false => link.send_large(at, &command, transfer).await?,
            };
            match &reply {
                Reply::ServerError(e) if e.code() == "NOSCRIPT" && !complete => command = code.complete(keys, args),
                _ => break reply,
            }
            complete = true;
        };
        match reply {
            Reply::ServerError(error) => Err(error::rejected(&error)),
            reply => Ok(reply),
        }
    }
}

impl Code {
    fn new(text: String) -> Self {
        let hash = Sha1::from(&text).digest().to_string();
        Self { text, hash }
    }

    /// The call by hash, which the server may answer with `NOSCRIPT`.
    pub(super) fn cached(&self, keys: &[&str], args: &[&[u8]]) -> Command {
        call("EVALSHA", &self.hash, keys, args)
    }

    /// The same call with the code, which the server then knows.
    pub(super) fn complete(&self, keys: &[&str], args: &[&[u8]]) -> Command {
        call("EVAL", &self.text, keys, args)
    }
}

fn call(name: &str, script: &str, keys: &[&str], args: &[&[u8]]) -> Command {
    let size = script.len() + keys.iter().map(|k| k.len()).sum::<usize>();
    let size = size + args.iter().map(|a| a.len()).sum::<usize>();
    let mut command = Command::with_capacity(name, size + 16 * (3 + keys.len() + args.len()));
    command.arg(script).number(keys.len() as u64);
    for key in keys {
        command.arg(key);
    }
    for arg in args {
        command.arg(arg);
    }
    command
}

/// A duration as Redis takes it: at least a millisecond, and at most ten years, which Redis can add to any clock.
pub(super) fn millis(duration: Duration) -> u64 {
    const MOST: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
    u64::try_from(duration.as_millis()).map_or(MOST, |millis| millis.clamp(1, MOST))
}

#[cfg(test)]
mod tests;
