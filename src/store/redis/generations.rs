//! What was invalidated under a tag, in one sorted set, so that Redis can only lose all of it at once.
//!
//! Member of `T/gen:{T}` | score
//! --- | ---
//! `#` and the incarnation | the floor: what began in an earlier generation is out of date
//! a label | the generation that began when it was invalidated last, softly or not
//! `s` and a label | of one that was softly invalidated: the one that began when it was last invalidated in another way
//! `s` | the generation that began when everything was softly invalidated last
//! `~` and the incarnation | the generation that everything is in
//!
//! They stand in this order, because a label begins with a letter and no score is lower than the floor or higher than
//! the present generation. A stamp is current if the first member is there for its incarnation, with a floor that the
//! stamp has reached, and neither `s` nor any of its labels has a higher score. A stamp is soft if the only higher
//! scores are those of `s`, and of labels whose own `s` member has no higher score. Where the set is gone, because
//! everything was invalidated or because Redis has evicted it or started again empty, no stamp is current.
//!
//! Generations are microseconds of the server's clock, or one more than the last. A replica that takes over without
//! having heard of the last ones goes on with higher numbers.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use super::conn::error;
use super::near::{Evidence, NearCall, NearFeed, evidence};
use super::protocol::keyspace::Keyspace;
use super::resp::{Command, Pipeline, Reply};
use super::script::{Script, tell_near};
use super::topology::link::Link;
use crate::error::StoreError;
use crate::key::{Address, Key, Label, Tag};
use crate::store::{Generation, Stamp, Standing, Token};

/// The member for everything that was softly invalidated, and what stands in front of a label for its own.
const ALL: &str = "s";

/// How many labels are remembered under one tag. A stamp that is older than all of them is out of date.
const MOST: &[u8] = b"65536";

/// `KEYS`: the set. `ARGV`: an incarnation, which begins where there is none. The set expires after ten years, like
/// everything else that is left in Redis: no value lives longer, and no stamp is current then.
pub(super) static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('ZCARD', KEYS[1]) > 0 then return 1 end \
         local time = redis.call('TIME') \
         local now = time[1] * 1000000 + time[2] \
         redis.call('ZADD', KEYS[1], now, '#' .. ARGV[1], now, '~' .. ARGV[1]) \
         return redis.call('PEXPIRE', KEYS[1], 315360000000)",
    )
});

/// Gives each label a new score, where there is an incarnation: `first` runs before that, and `each` for every label.
/// Forgets the oldest labels beyond the bound, and raises the floor to them.
macro_rules! raise {
    (first: $first:literal, each: $each:literal) => {
        concat!(
            "local set, labels = KEYS[1], KEYS[2] and #ARGV - 3 or #ARGV \
             local last = redis.call('ZREVRANGE', set, 0, 0, 'WITHSCORES') \
             if last[1] then \
             local incarnation = string.sub(last[1], 2) \
             local time = redis.call('TIME') \
             local now = math.max(last[2] + 1, time[1] * 1000000 + time[2]) ",
            $first,
            "for i = 2, labels do \
             local label = ARGV[i] ",
            $each,
            "redis.call('ZADD', set, now, label) \
             end \
             redis.call('ZADD', set, now, '~' .. incarnation) \
             local excess = redis.call('ZCARD', set) - 2 - ARGV[1] \
             if excess > 0 then \
             local oldest = redis.call('ZREVRANGE', set, -1 - excess, -1 - excess, 'WITHSCORES') \
             redis.call('ZREMRANGEBYRANK', set, 1, excess) \
             redis.call('ZADD', set, oldest[2], '#' .. incarnation) \
             end end ",
            tell_near!("labels + 1")
        )
    };
}

/// `KEYS`: the set; and that of all processes that may have near copies, if there may be some. `ARGV`: how many labels it may have,
/// labels; and then what [`tell_near`] takes.
pub(super) static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(raise!(
        first: "",
        each: "if redis.call('ZSCORE', set, 's' .. label) then redis.call('ZADD', set, now, 's' .. label) end "
    ))
});

/// `KEYS`: the set. `ARGV`: an incarnation, for where there is no set. Begins a generation.
pub(super) static ADVANCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES') \
         local time = redis.call('TIME') \
         local now = time[1] * 1000000 + time[2] \
         if last[1] then \
         redis.call('ZADD', KEYS[1], math.max(last[2] + 1, now), last[1]) \
         else \
         redis.call('ZADD', KEYS[1], now, '#' .. ARGV[1], now, '~' .. ARGV[1]) \
         redis.call('PEXPIRE', KEYS[1], 315360000000) \
         end \
         return redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')",
    )
});

/// As [`INVALIDATE`], softly; the label `s` stands for everything.
pub(super) static SOFTEN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(raise!(
        first: "local floor = redis.call('ZSCORE', set, '#' .. incarnation) ",
        each: "if label ~= 's' and not redis.call('ZSCORE', set, 's' .. label) then \
             redis.call('ZADD', set, redis.call('ZSCORE', set, label) or floor, 's' .. label) \
             end "
    ))
});

/// `KEYS`: the set. `ARGV`: what [`tell_near`] takes.
pub(super) static FORGET: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!("redis.call('DEL', KEYS[1]) ", tell_near!("1"))));

/// Where the generations of one tag are.
pub(super) struct RedisGenerations<'a> {
    link: &'a Link,
    /// Nothing is ever stored at this address. It has the name's hash tag, for Redis Cluster.
    address: Address,
    set: String,
}

impl<'a> RedisGenerations<'a> {
    pub(super) fn new(link: &'a Link, tag: &Tag) -> Self {
        let address = Address::new(tag, &Key::builder().part(tag.as_str()).build());
        let set = Keyspace::new(&address, 0).generations();
        Self { link, address, set }
    }

    fn keys(&self) -> Keyspace<'_> {
        Keyspace::new(&self.address, 0)
    }

    pub(super) async fn now(&self) -> Result<Generation, StoreError> {
        if let Some(now) = self.read().await? {
            return Ok(now);
        }
        let incarnation = Token::random().to_string();
        self.run(&BEGIN, &[&incarnation.as_bytes()[..16]]).await?;
        // Absent only where another process has invalidated everything in between: then a later caller tries again.
        self.read().await?.ok_or_else(error::unexpected)
    }

    pub(super) async fn begin(&self) -> Result<Generation, StoreError> {
        let incarnation = Token::random().to_string();
        let args = [&incarnation.as_bytes()[..16]];
        match ADVANCE.reply(self.link, self.keys(), &[&self.set], &args).await? {
            Reply::Array(members) => generation(members).ok_or_else(error::unexpected),
            _ => Err(error::unexpected()),
        }
    }

    async fn read(&self) -> Result<Option<Generation>, StoreError> {
        let mut last = Command::new("ZREVRANGE");
        last.arg(&self.set).number(0).number(0).arg("WITHSCORES");
        match self.link.send(self.keys(), &last).await? {
            Reply::ServerError(error) => Err(error::rejected(&error)),
            Reply::Array(members) if members.is_empty() => Ok(None),
            Reply::Array(members) => generation(members).map(Some).ok_or_else(error::unexpected),
            _ => Err(error::unexpected()),
        }
    }

    /// How a stamp stands, and the feed of the server that said so, unless several nodes of a cluster had to.
    pub(super) async fn standing(&self, stamp: &Stamp) -> Result<(Standing, Option<Arc<NearFeed>>), StoreError> {
        let Generation { incarnation, number } = stamp.generation();
        let labels = stamp.labels().iter().map(Label::as_str);
        let (scores, from) = self.scores(labels.chain([ALL]), incarnation, number).await?;
        let Some(scores) = scores else {
            return Ok((Standing::Outdated, from));
        };
        let later = |score: &Option<u64>| score.is_some_and(|score| score > number);
        let invalidated: Vec<_> = stamp
            .labels()
            .iter()
            .zip(&scores)
            .filter(|(_, score)| later(score))
            .collect();
        let Some(soft_since) = scores.iter().filter(|score| later(score)).flatten().min() else {
            return Ok((Standing::Current, from));
        };
        if !invalidated.is_empty() {
            // The last invalidations of these labels in another way. They are read after the others, because an
            // invalidation in between has raised these as well.
            let names: Vec<_> = invalidated
                .iter()
                .map(|(label, _)| format!("{ALL}{}", label.as_str()))
                .collect();
            let (hard, _) = self
                .scores(names.iter().map(String::as_str), incarnation, number)
                .await?;
            if hard.is_none_or(|hard| hard.iter().any(|score| score.is_none_or(|score| score > number))) {
                return Ok((Standing::Outdated, from));
            }
        }
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(*soft_since));
        let standing = since.map_or(Standing::Outdated, |since| Standing::Soft { since });
        Ok((standing, from))
    }

    /// The scores of these members, unless the incarnation is gone or its floor is higher than this.
    async fn scores<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        incarnation: u64,
        number: u64,
    ) -> Result<(Option<Vec<Option<u64>>>, Option<Arc<NearFeed>>), StoreError> {
        let mut pipeline = Pipeline::default();
        for name in names {
            pipeline.command("ZSCORE").arg(&self.set).arg(name);
        }
        // Last, because a label that was forgotten before it was looked at has raised the floor.
        pipeline
            .command("ZSCORE")
            .arg(&self.set)
            .arg(format!("#{incarnation:016x}"));
        let mut scores = Vec::new();
        let (replies, from) = self.link.send_all_from(self.keys(), &pipeline).await?;
        for reply in replies {
            scores.push(score(reply)?);
        }
        let floor = scores.pop().flatten();
        Ok((floor.filter(|floor| *floor <= number).map(|_| scores), from))
    }

    /// Invalidates them, in one way or the other.
    pub(super) async fn invalidate(
        &self,
        labels: &[Label],
        soft: bool,
        near: Option<&NearCall>,
    ) -> Result<Option<Evidence>, StoreError> {
        let labels = labels.iter().map(|label| label.as_str().as_bytes());
        self.tell(if soft { &SOFTEN } else { &INVALIDATE }, labels, near).await
    }

    pub(super) async fn soften_all(&self, near: Option<&NearCall>) -> Result<Option<Evidence>, StoreError> {
        self.tell(&SOFTEN, [ALL.as_bytes()].into_iter(), near).await
    }

    async fn tell<'n>(
        &self,
        script: &Script,
        labels: impl Iterator<Item = &'n [u8]>,
        near: Option<&'n NearCall>,
    ) -> Result<Option<Evidence>, StoreError> {
        let args = std::iter::once(MOST).chain(labels);
        let args: Vec<_> = args.chain(near.iter().flat_map(|near| near.args())).collect();
        let keys: Vec<_> = [self.set.as_str()]
            .into_iter()
            .chain(near.map(NearCall::members))
            .collect();
        let reply = script.reply(self.link, self.keys(), &keys, &args).await?;
        Ok(evidence(&reply))
    }

    pub(super) async fn invalidate_all(&self, near: Option<&NearCall>) -> Result<Option<Evidence>, StoreError> {
        if let Some(near) = near {
            let reply = FORGET.reply(self.link, self.keys(), &[&self.set], &near.args()).await?;
            return Ok(evidence(&reply));
        }
        let mut del = Command::new("DEL");
        del.arg(&self.set);
        match self.link.send(self.keys(), &del).await? {
            Reply::Int(_) => Ok(None),
            Reply::ServerError(error) => Err(error::rejected(&error)),
            _ => Err(error::unexpected()),
        }
    }

    async fn run(&self, script: &Script, args: &[&[u8]]) -> Result<(), StoreError> {
        script.run(self.link, self.keys(), &[&self.set], args).await.map(drop)
    }
}

/// The last member and its score: one after the other, or as a pair.
fn generation(members: Vec<Reply>) -> Option<Generation> {
    let members = match <[Reply; 1]>::try_from(members) {
        Ok([Reply::Array(pair)]) => pair,
        Ok([_]) => return None,
        Err(members) => members,
    };
    let Ok([Reply::BulkString(member), number]) = <[Reply; 2]>::try_from(members) else {
        return None;
    };
    let incarnation = str::from_utf8(&member).ok()?.strip_prefix('~')?;
    Some(Generation {
        incarnation: u64::from_str_radix(incarnation, 16).ok()?,
        number: score(number).ok()??,
    })
}

/// A score. It can hold the microseconds of any server's clock.
fn score(reply: Reply) -> Result<Option<u64>, StoreError> {
    match reply {
        Reply::Nil => Ok(None),
        Reply::BulkString(text) => {
            let text = str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
            text.map(Some).ok_or_else(error::unexpected)
        }
        Reply::ServerError(error) => Err(error::rejected(&error)),
        _ => Err(error::unexpected()),
    }
}
