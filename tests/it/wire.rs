//! What the pages about the wire say of its optional parts, done from outside to nodes of ours.

use std::error::Error as _;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use tower_memolock::{MemoLock, RemoteError};

use crate::support::cluster::{ask, nodes, one_body, urls, waiting};
use crate::support::{Origin, RedisServer, Reply, eventually, run_python, within};

const PAGE: &str = include_str!("../../src/docs/wire.md");

const RESPONSES: &str = include_str!("../../src/middleware/stored_response/mod.rs");

/// Longer than a test, unless something is lost.
const LONG: Duration = Duration::from_secs(20);

/// Reads, resolves and invalidates what has tags, as the page says.
const TAGS: &str = r##"
import hashlib, re, secrets, struct, sys
import redis

page, url, tag, what, *rest = sys.argv[1:]
BEGIN, _, INVALIDATE, _ = [lua for lua in re.findall("```lua\n(.*?)```", page, re.S) if lua.startswith("-- KEYS: set.")]
MAGIC = bytes.fromhex(re.search("`(D5 4D 4C 53 [0-9A-F ]+)`", page).group(1))
r = redis.Redis.from_url(url)
generations = f"{tag}/gen:{{{tag}}}"

def label(text):
    raw = text.encode()
    return b"t" + raw if len(raw) <= 64 else b"h" + hashlib.sha256(raw).hexdigest().encode()

def now():
    while not (last := r.zrevrange(generations, 0, 0, withscores=True)):
        r.eval(BEGIN, 1, generations, secrets.token_hex(8))
    [(member, number)] = last
    assert member[:1] == b"~"
    return bytes.fromhex(member[1:].decode()), int(number)

def seal(value, tags):
    incarnation, number = now()
    labels = b"".join(struct.pack(">H", len(label(t))) + label(t) for t in sorted(tags))
    return MAGIC + b"\x01" + incarnation + struct.pack(">QH", number, len(tags)) + labels + value

def opened(stored):
    assert stored[:17] == MAGIC + b"\x01"
    incarnation, (number, count) = stored[17:25], struct.unpack(">QH", stored[25:35])
    labels, at = [], 35
    for _ in range(count):
        [size] = struct.unpack(">H", stored[at:at + 2])
        labels.append(stored[at + 2:at + 2 + size])
        at += 2 + size
    return incarnation, number, labels, stored[at:]

def is_current(incarnation, number, labels):
    with r.pipeline(transaction=False) as ask:
        for one in [*labels, b"s"]:
            ask.zscore(generations, one)
        *scores, floor = ask.zscore(generations, b"#" + incarnation.hex().encode()).execute()
    return floor is not None and floor <= number and all(s is None or s <= number for s in scores)

if what == "read":
    *stamp, value = opened(r.get(f"{tag}:{rest[0]}"))
    print(value.decode(), "is current" if is_current(*stamp) else "is out of date", end="")
elif what == "resolve":
    id, value, *tags = rest
    r.set(f"{tag}:{id}", seal(value.encode(), tags), px=60_000)
    r.publish(f"{tag}/ctl:{id}", "stored")
else:
    r.eval(INVALIDATE, 1, generations, 65536, *map(label, rest))
"##;

/// Resolves an HTTP promise, with the documented writer of entries in front of it.
const RESPOND: &str = r#"
import sys
import redis

url, name, now = sys.argv[1:]
tag, id = name.split(":", 1)
stored = entry(
    name.encode(), (int(now), 30000, 0, 0, 0, 0), None, 203,
    [(b"content-type", b"text/plain"), (b"x-by", b"Python")], b"rendered elsewhere", [],
)
r = redis.Redis.from_url(url)
r.set(name, stored, px=30_000)
r.publish(f"{tag}/notif:{id}", stored)
"#;

/// A node of ours.
async fn node(redis: &RedisServer) -> MemoLock {
    let store = redis.store().await;
    MemoLock::new(store, "t").lease(LONG).wait_timeout(LONG)
}

/// What was done to value and lock before a word.
#[derive(Clone, Copy)]
enum Done {
    Nothing,
    Stored,
    Freed,
}

/// How many words are tried.
const WORDS: usize = 13;

/// What becomes of a node that waits for the holder of a lock when it does and says this.
async fn after(node: &MemoLock, redis: &RedisServer, done: Done, word: &str) -> String {
    let lock = format!("t/lock:{word}");
    redis.cli(&["SET", &lock, "somebody", "PX", "60000"]);
    let (waits, id) = (node.clone(), word.to_owned());
    let asked = tokio::spawn(async move { waits.get_or_compute(id, || async { Err::<Bytes, _>("here") }).await });
    let channel = format!("t/ctl:{word}");
    // It asks for the lock, listens, and asks once more. All words are tried at once.
    eventually("nodes that have asked again", || {
        redis
            .commandstats()
            .get("pttl")
            .is_some_and(|asked| *asked >= 2 * WORDS as u64)
    })
    .await;
    match done {
        Done::Nothing => String::new(),
        Done::Stored => redis.cli(&["SET", &format!("t:{word}"), "42", "PX", "60000"]),
        Done::Freed => redis.cli(&["DEL", &lock]),
    };
    redis.cli(&["PUBLISH", &channel, word]);
    match within("an answer", asked).await.expect("no panic") {
        Ok(value) => format!("is {}", String::from_utf8_lossy(&value)),
        Err(error) => match (error.cause::<RemoteError>(), error.source()) {
            (Some(error), _) => format!("fails: {error}"),
            (None, Some(by)) => format!("is computed {by}"),
            (None, None) => panic!("{word}: {error}"),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_words_mean_what_the_page_says() {
    let redis = RedisServer::start();
    let node = node(&redis).await;
    let asked_at = Instant::now();
    redis.reset_commandstats();
    let words: [_; WORDS] = [
        (Done::Stored, "stored", "is 42"),
        (Done::Freed, "invalidated", "is computed here"),
        (Done::Freed, "released", "is computed here"),
        (Done::Freed, "broken 1", "is computed here"),
        (Done::Freed, "broken 2", "is computed here"),
        (Done::Freed, "declined 1", "is computed here"),
        (Done::Freed, "declined 2", "is computed here"),
        (Done::Stored, "deferred 1", "is 42"),
        (Done::Nothing, "failed for größer reasons", "fails: for größer reasons"),
        (Done::Nothing, "pass", "is computed here"),
        (Done::Nothing, "stale", "is computed here"),
        (Done::Nothing, "shared 42", "is 42"),
        (Done::Nothing, "shared ", "is "),
    ];
    let heard = words.map(|(done, word, _)| after(&node, &redis, done, word));
    let heard: Vec<_> = join_all(heard).await.into_iter().zip(words).collect();
    for (heard, (_, word, expected)) in heard {
        assert_eq!(heard, expected, "{word}");
    }
    assert!(asked_at.elapsed() < LONG, "a lock came to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_values_are_shared_with_programs_in_python() {
    let redis = RedisServer::start();
    let node = node(&redis)
        .await
        .tags_of(|_, _| ["größe".to_owned(), "long ".repeat(20)]);
    let python = async |what: &[&str]| run_python(TAGS, &[&[PAGE, &redis.url(), "t"], what].concat()).await;
    let long = "long ".repeat(20);

    // Python begins the generations.
    python(&["resolve", "theirs", "42", "shop", &long]).await;
    let found = async |id: &str| node.get(id).await.expect("an id");
    assert_eq!(found("theirs").await.expect("a value"), "42");
    node.invalidate_tags(["another"]).await.expect("an invalidation");
    assert!(found("theirs").await.is_some());
    assert_eq!(python(&["read", "theirs"]).await, "42 is current");
    node.invalidate_tags([&long]).await.expect("an invalidation");
    assert!(found("theirs").await.is_none());
    assert_eq!(python(&["read", "theirs"]).await, "42 is out of date");

    let ours = || async { Ok::<_, &str>("43".into()) };
    node.get_or_compute("ours", ours).await.expect("a value");
    assert_eq!(python(&["read", "ours"]).await, "43 is current");
    python(&["invalidate", "größe", "another"]).await;
    assert_eq!(python(&["read", "ours"]).await, "43 is out of date");
    assert!(found("ours").await.is_none());

    // A promise with tags.
    redis.cli(&["SET", "t/lock:promised", "somebody", "PX", "60000"]);
    let waits = node.clone();
    let asked = tokio::spawn(async move { waits.get_or_compute("promised", || async { Err("here") }).await });
    eventually("a node that listens", || {
        redis.cli(&["PUBSUB", "NUMSUB", "t/ctl:promised"]).ends_with("\n1")
    })
    .await;
    python(&["resolve", "promised", "44", "shop"]).await;
    let answer = within("an answer", asked).await.expect("no panic");
    assert_eq!(answer.expect("a value"), "44");

    // Everything, where everything has an envelope.
    let stamped = node.clone().stamped(true);
    python(&["resolve", "bare", "45"]).await;
    let found = async |id: &str| stamped.get(id).await.expect("an id");
    assert_eq!(found("bare").await.expect("a value"), "45");
    redis.cli(&["DEL", "t/gen:{t}"]);
    assert!(found("bare").await.is_none());
    assert!(found("promised").await.is_none());
    assert_eq!(python(&["read", "bare"]).await, "45 is out of date");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_python_resolves_an_http_promise() {
    let programs = RESPONSES.split("//! ```python\n").skip(1);
    let writers = programs.filter_map(|program| program.split("//! ```\n").next());
    let writer: Vec<_> = writers
        .flat_map(str::lines)
        .map(|line| line.strip_prefix("//! ").unwrap_or_default())
        .collect();
    let program = writer.join("\n") + RESPOND;

    let redis = RedisServer::start();
    let origin = Origin::start(|_| async { Reply::fresh("of the origin") }).await;
    let nodes = nodes(&origin, &redis).await;
    one_body(ask(urls(&nodes, "/known", 1)).await.expect("no panic"));
    let stored = || redis.cli(&["KEYS", "proxy:*"]);
    eventually("an entry", || !stored().is_empty()).await;
    let name = stored().replace("/known", "/wanted");

    redis.cli(&["SET", &name.replacen(':', "/lock:", 1), "somebody", "PX", "60000"]);
    let asked = ask(urls(&nodes, "/wanted", 30));
    waiting(&redis, 3).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("a time of today").as_millis().to_string();
    run_python(&program, &[&redis.url(), &name, &now]).await;
    for answer in within("answers", asked).await.expect("no panic") {
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.text()), (203, "rendered elsewhere"));
        assert_eq!(answer.header("x-by"), ["Python"]);
    }
    assert_eq!(origin.calls("/wanted"), 0);
}
