//! How a value goes from process to process while it is made: the scripts, and which leads of this process others may
//! ask for.
//!
//! A follower learns from the lock's token which process holds the lock, and asks on a channel of that process, which
//! subscribes once for each tag. So a leader costs Redis nothing more as long as it has no followers elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::conn::task::Task;
use super::script::{Script, if_held};
use super::topology::link::RedisWatch;
use crate::key::{Address, Key, Tag};
use crate::store::Watch;
use crate::store::notice::Notice;
use crate::store::parts::PartRequests;
use crate::store::token::Token;

/// How much of a detached part stays. The uploader waits a while for readers that are further behind, so at most twice
/// as much is there.
pub(super) const WINDOW: usize = 4 * 1024 * 1024;

/// Puts the window on a detached part, which has the place where it begins in front, in 16 digits.
macro_rules! window {
    () => {
        "local function window(base, bytes) return string.format('%016.0f', base) .. bytes end "
    };
}

/// `KEYS`: lock, part. `ARGV`: token, where the id is in the part, the id, place, piece, lease in ms, channel, payload, which
/// has the piece put behind it if it ends in a blank. Returns 1 and how many heard it.
pub(super) static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!(),
        "local at, id = tonumber(ARGV[4]), tonumber(ARGV[2]) \
         if at == 0 and soft then return 0 end \
         if at == 0 then redis.call('SET', KEYS[2], ARGV[5]) \
         else \
         if redis.call('GETRANGE', KEYS[2], id, id + 23) ~= ARGV[3] then return 0 end \
         local length = redis.call('STRLEN', KEYS[2]) \
         if length == at then redis.call('APPEND', KEYS[2], ARGV[5]) \
         elseif length ~= at + #ARGV[5] then return 0 end \
         end \
         redis.call('PEXPIRE', KEYS[1], ARGV[6]) \
         redis.call('PEXPIRE', KEYS[2], ARGV[6]) \
         if ARGV[5] == '' then return 2 end \
         local payload = ARGV[8] \
         if string.sub(payload, -1) == ' ' then payload = payload .. ARGV[5] end \
         return 1 + redis.call('PUBLISH', ARGV[7], payload)",
    ))
});

/// `KEYS`: lock, part, where the value goes. `ARGV`: token, where the id is, the id, place, the rest of it, TTL in ms, channel,
/// payload as for [`APPEND`], and another one. Returns 3 where the part is not what it was.
pub(super) static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        if_held!(),
        "local id = tonumber(ARGV[2]) \
         if redis.call('GETRANGE', KEYS[2], id, id + 23) ~= ARGV[3] then return 3 end \
         if redis.call('STRLEN', KEYS[2]) ~= tonumber(ARGV[4]) then return 3 end \
         if soft then \
         redis.call('SET', KEYS[3], soft .. redis.call('GETRANGE', KEYS[2], 0, -1) .. ARGV[5], 'PX', ARGV[6]) \
         redis.call('DEL', KEYS[2]) \
         else \
         redis.call('APPEND', KEYS[2], ARGV[5]) \
         redis.call('RENAME', KEYS[2], KEYS[3]) \
         redis.call('PEXPIRE', KEYS[3], ARGV[6]) \
         end \
         redis.call('DEL', KEYS[1]) \
         local payload = ARGV[8] \
         if string.sub(payload, -1) == ' ' then payload = payload .. ARGV[5] end \
         redis.call('PUBLISH', ARGV[7], payload) \
         redis.call('PUBLISH', ARGV[7], ARGV[9]) \
         return soft and 2 or 1",
    ))
});

/// `KEYS`: lock, part, detached part. `ARGV`: token, where the id is, the id, place, window, TTL in ms.
pub(super) static DETACH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        window!(),
        if_held!(),
        "local id = tonumber(ARGV[2]) \
         if redis.call('GETRANGE', KEYS[2], id, id + 23) ~= ARGV[3] then return 0 end \
         local length = redis.call('STRLEN', KEYS[2]) \
         if length ~= tonumber(ARGV[4]) then return 0 end \
         local base = math.max(0, length - ARGV[5]) \
         redis.call('SET', KEYS[3], window(base, redis.call('GETRANGE', KEYS[2], base, -1)), 'PX', ARGV[6]) \
         redis.call('DEL', KEYS[2]) \
         return 2"
    ))
});

/// `KEYS`: detached part, places of its readers. `ARGV`: place, piece, window, TTL in ms, whether to wait for no reader,
/// channel, payload as for [`APPEND`]. Returns 1 and how many heard it, or -1 where there is no room.
pub(super) static APPEND_DETACHED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        window!(),
        "local base = tonumber(redis.call('GETRANGE', KEYS[1], 0, 15)) \
         if not base then return 0 end \
         local at, more = tonumber(ARGV[1]), #ARGV[2] \
         local length = base + redis.call('STRLEN', KEYS[1]) - 16 \
         if length == at then \
         if length + more - base > 2 * ARGV[3] then \
         local next = math.min(length, length + more - ARGV[3]) \
         if ARGV[5] == '1' then redis.call('DEL', KEYS[2]) end \
         for _, place in ipairs(redis.call('HVALS', KEYS[2])) do \
         if tonumber(place) < next then return -1 end end \
         redis.call('SET', KEYS[1], window(next, redis.call('GETRANGE', KEYS[1], 16 + next - base, -1))) \
         end \
         redis.call('APPEND', KEYS[1], ARGV[2]) \
         elseif length ~= at + more then return 0 end \
         redis.call('PEXPIRE', KEYS[1], ARGV[4]) \
         if more == 0 then return 2 end \
         local payload = ARGV[7] \
         if string.sub(payload, -1) == ' ' then payload = payload .. ARGV[2] end \
         return 1 + redis.call('PUBLISH', ARGV[6], payload)"
    ))
});

/// `KEYS`: lock, part, detached part. `ARGV`: token, where the id is, the id, channel, payload.
pub(super) static ABANDON: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local id = tonumber(ARGV[2]) \
         if redis.call('GETRANGE', KEYS[2], id, id + 23) == ARGV[3] then redis.call('DEL', KEYS[2]) end \
         redis.call('DEL', KEYS[3]) \
         redis.call('PUBLISH', ARGV[4], ARGV[5]) \
         return 1",
    )
});

/// `KEYS`: lock, part. `ARGV`: how many bytes. Returns the lock, and so many bytes. What was softly invalidated since the lock
/// was taken is not to be read by later callers.
pub(super) static FIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local lock = redis.pcall('GET', KEYS[1]) \
         if type(lock) ~= 'string' or string.find(lock, '~', 1, true) then return {} end \
         return {lock, redis.call('GETRANGE', KEYS[2], 0, ARGV[1] - 1)}",
    )
});

/// `KEYS`: lock, part, detached part, places of its readers, kept value, value. `ARGV`: the token without a trace context, where the id
/// is, the id, place, how many bytes, the reader. Returns what it has read: 1, a part; 2, a detached one; 3, the value; then where that ends,
/// the bytes, and for how long it is there. Nothing where it is not.
pub(super) static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local id, at, most = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5]) \
         local function is(key, soft) return redis.call('GETRANGE', key, id + soft, id + soft + 23) == ARGV[3] end \
         local found, key, skip, left = 1, KEYS[2], 0, 0 \
         local lock = redis.pcall('GET', KEYS[1]) \
         if type(lock) == 'string' and string.sub(lock, 1, 32) == ARGV[1] and is(key, 0) then \
         left = redis.call('PTTL', KEYS[1]) \
         else \
         local base = tonumber(redis.call('GETRANGE', KEYS[3], 0, 15)) \
         if base then \
         if at < base then return {} end \
         found, key, skip, left = 2, KEYS[3], base - 16, redis.call('PTTL', KEYS[3]) \
         redis.call('HSET', KEYS[4], ARGV[6], at) \
         redis.call('PEXPIRE', KEYS[4], 10000) \
         else \
         found, key = 3, nil \
         for i = 5, 6 do for soft = 0, 25, 25 do \
         if not key and is(KEYS[i], soft) then key, skip = KEYS[i], -soft end end end \
         if not key then return {} end \
         end end \
         local bytes = redis.call('GETRANGE', key, at - skip, at - skip + most - 1) \
         return {found, redis.call('STRLEN', key) + skip, bytes, left}",
    )
});

/// Which leads of this process others may ask for.
pub(super) struct Askings {
    /// The name of this process.
    process: u64,
    asked: Arc<AskedTable>,
    /// The task that listens, for each tag.
    listening: Mutex<Vec<(Tag, Task)>>,
}

#[derive(Default)]
struct AskedTable(Mutex<HashMap<u128, Arc<Notify>>>);

impl AskedTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Askings {
    fn default() -> Self {
        Self {
            process: Token::random().process(),
            asked: Arc::default(),
            listening: Mutex::default(),
        }
    }
}

impl Askings {
    pub(super) fn token(&self) -> Token {
        Token::random().of_process(self.process)
    }

    /// Takes note of a lead, which others may ask for. `watch` listens at an address.
    pub(super) fn listen(
        &self,
        address: &Address,
        token: Token,
        watch: impl FnOnce(&Address) -> RedisWatch,
    ) -> PartRequests {
        let (notify, id) = (Arc::<Notify>::default(), token.id());
        self.asked.lock().insert(id, Arc::clone(&notify));
        if let Ok(tag) = Tag::new(address.tag()) {
            let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
            if listening.iter().all(|(known, _)| *known != tag) {
                let asked = Arc::clone(&self.asked);
                let watch = mailbox(&tag, self.process).map(|at| watch(&at));
                let task = Task::spawn(async move {
                    if let Some(watch) = watch {
                        hear(watch, asked).await;
                    }
                });
                listening.push((tag, task));
            }
        }
        let asked = Arc::clone(&self.asked);
        PartRequests::new(notify, move || drop(asked.lock().remove(&id)))
    }
}

async fn hear(mut watch: RedisWatch, asked: Arc<AskedTable>) {
    loop {
        if let Notice::Asked(token) = watch.next().await
            && let Some(notify) = asked.lock().get(&token.id())
        {
            notify.notify_one();
        }
    }
}

/// The address whose control channel a process is asked on. It is no key of a request, and has no value.
pub(super) fn mailbox(tag: &Tag, process: u64) -> Option<Address> {
    let key = Key::new(format!("{{:part {process:016x}}}")).ok()?;
    Some(Address::new(tag, &key))
}
