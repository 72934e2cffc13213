//! The command line.

use support::{Args, Error, Given, read_args, redis_url_of_environment};
use tower_memolock::Tag;

use super::deployment::Deployment;

const USAGE: &str = "\
Usage: inspect --redis URL --tag TAG [COMMAND]

Shows what a tag has in a Redis. Commands:

  list                      what is stored; this is the default
  show KEY                  all that is known of one key, as list writes it, or of the only one with this text in it
  locks                     who holds which lock, and for how long
  watch                     what is announced, from now on. Redis sends all values that are published meanwhile
  invalidate KEY ..         removes the values of these keys, each in full as list writes it, and keeps computations under
                            way from storing theirs
  invalidate --tagged NAME  makes everything with this tag of a value out of date; more than once for several
  invalidate --all          makes everything with a stamp out of date
  invalidate --soft ..      makes it stale rather than absent: it answers while one process computes it anew

  --redis URL   the Redis                                  [default: REDIS_URL of the environment]
  --sentinel MASTER
                each --redis is the URL of a sentinel that watches the Redis of this name
  --cluster     each --redis is the URL of a node of one Redis Cluster
  --tag TAG     the tag of the layer or the MemoLock
  --limit N     how many keys to list at most              [default: 100]
  --json        list, show and locks as one JSON document, for programs
  --body        show the body or the raw value, too, up to 64 KiB
  --help        this text";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) redis: Deployment,
    pub(crate) tag: Tag,
    pub(crate) command: Command,
    pub(crate) limit: usize,
    pub(crate) body: bool,
    pub(crate) json: bool,
}

pub(crate) enum Command {
    List,
    Show(String),
    Locks,
    Watch,
    Invalidate(What, Manner),
}

/// What is to be out of date.
pub(crate) enum What {
    Keys(Vec<String>),
    Tagged(Vec<String>),
    All,
}

/// How it is to be out of date.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Absent,
    Stale,
}

/// What was given besides the command's name.
#[derive(Default)]
struct Rest {
    words: Vec<String>,
    tagged: Vec<String>,
    all: bool,
    soft: bool,
    body: bool,
    json: bool,
}

impl Options {
    pub(crate) fn from_args() -> Self {
        read_args(USAGE, |args| {
            let (mut redis, mut sentinel, mut cluster) = (Vec::new(), None, false);
            let (mut tag, mut limit, mut name) = (None, 100, None);
            let mut rest = Rest::default();
            while let Some(given) = args.next_given()? {
                match given {
                    Given::Flag("--redis") => redis.push(args.redis_url()?),
                    Given::Flag("--sentinel") => sentinel = Some(args.text("the name of a master")?),
                    Given::Flag("--cluster") => cluster = true,
                    Given::Flag("--tag") => tag = Some(args.tag()?),
                    Given::Flag("--limit") => limit = args.count()?,
                    Given::Flag("--tagged") => rest.tagged.push(args.text("a tag of values")?),
                    Given::Flag("--all") => rest.all = true,
                    Given::Flag("--soft") => rest.soft = true,
                    Given::Flag("--body") => rest.body = true,
                    Given::Flag("--json") => rest.json = true,
                    Given::Flag(_) => return Err(args.unknown()),
                    Given::Word(word) if name.is_none() => name = Some(known(word)?),
                    Given::Word(word) => rest.words.push(word.to_owned()),
                }
            }
            let redis = deployment(redis, sentinel, cluster)?;
            let tag = tag.ok_or_else(|| Args::missing("--tag", "the tag of a layer or a MemoLock"))?;
            let (body, json) = (rest.body, rest.json);
            let command = command(name.unwrap_or("list"), rest)?;
            Ok(Self {
                redis,
                tag,
                command,
                limit,
                body,
                json,
            })
        })
    }
}

/// Which Redis is meant.
fn deployment(mut redis: Vec<String>, sentinel: Option<String>, cluster: bool) -> Result<Deployment, Error> {
    if redis.is_empty() {
        redis.extend(redis_url_of_environment()?);
    }
    match (sentinel, cluster) {
        _ if redis.is_empty() => Err(Args::missing("--redis", "the address of a Redis")),
        (Some(_), true) => Err("--sentinel and --cluster exclude each other".into()),
        (Some(master), false) => Ok(Deployment::Sentinel {
            sentinels: redis,
            master,
        }),
        (None, true) => Ok(Deployment::Cluster(redis)),
        (None, false) => {
            let last = redis.pop();
            let last = last.ok_or_else(|| Args::missing("--redis", "the address of a Redis"))?;
            Ok(Deployment::Server(last))
        }
    }
}

/// The name of a command.
fn known(word: &str) -> Result<&'static str, Error> {
    let names = ["list", "show", "locks", "watch", "invalidate"];
    let found = names.into_iter().find(|name| *name == word);
    found.ok_or_else(|| format!("unknown command {word:?}").into())
}

fn command(name: &str, rest: Rest) -> Result<Command, Error> {
    if name != "invalidate" && (rest.all || rest.soft || !rest.tagged.is_empty()) {
        return Err("--tagged, --all and --soft are for invalidate".into());
    }
    if name != "show" && rest.body {
        return Err("--body is for show".into());
    }
    if !["list", "show", "locks"].contains(&name) && rest.json {
        return Err("--json is for list, show and locks".into());
    }
    let mut words = rest.words.into_iter();
    match name {
        "show" => {
            let key = words.next().ok_or("show takes a key, but nothing follows it")?;
            no_more(words)?;
            Ok(Command::Show(key))
        }
        "invalidate" => {
            let what = match (words.len(), rest.tagged.len(), rest.all) {
                (0, 0, true) => What::All,
                (0, 1.., false) => What::Tagged(rest.tagged),
                (1.., 0, false) => What::Keys(words.collect()),
                (0, 0, false) => return Err("invalidate takes keys, --tagged or --all".into()),
                _ => return Err("invalidate takes keys, --tagged or --all, and only one of them".into()),
            };
            let manner = if rest.soft { Manner::Stale } else { Manner::Absent };
            Ok(Command::Invalidate(what, manner))
        }
        other => {
            no_more(words)?;
            Ok(match other {
                "locks" => Command::Locks,
                "watch" => Command::Watch,
                _ => Command::List,
            })
        }
    }
}

fn no_more(mut words: impl Iterator<Item = String>) -> Result<(), Error> {
    match words.next() {
        Some(word) => Err(format!("unexpected argument {word:?}").into()),
        None => Ok(()),
    }
}
