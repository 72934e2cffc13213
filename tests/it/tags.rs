//! Invalidation by tag over real stores: no caller gets what is older than an invalidation that was acknowledged before
//! they asked.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tower_memolock::{InvalidateError, MemoLock, MemoryStore, RedisStore};

use crate::support::{RedisCluster, RedisServer, eventually, within};

/// How often the source of everything changes.
const CHANGES: u64 = 150;

/// How many ask all the time, for a few ids.
const CALLERS: usize = 12;

/// How a change is made known.
#[derive(Clone, Copy, Debug)]
enum By {
    Tag,
    All,
}

/// A number in a database, and what of it is known to have reached the cache.
#[derive(Default)]
struct Source {
    now: AtomicU64,
    acknowledged: AtomicU64,
}

impl Source {
    fn read(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    async fn change(&self, memo: &MemoLock, by: By) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        match by {
            By::Tag => memo.invalidate_tags(["source"]).await,
            By::All => memo.invalidate_all().await,
        }
        .expect("an invalidation");
        self.acknowledged.store(now, Ordering::SeqCst);
    }
}

/// Asks once, and says whether the answer came from a computation of this caller.
async fn ask(memo: &MemoLock, source: &Arc<Source>, id: &str, by: By, shared: bool) {
    let known = source.acknowledged.load(Ordering::SeqCst);
    let read = Arc::clone(source);
    let compute = move || async move {
        let number = read.read();
        for _ in 0..number % 7 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_micros(number % 5 * 300)).await;
        Ok::<_, Infallible>(Bytes::from(number.to_string()))
    };
    let memo = if shared {
        memo.clone().ttl(Duration::ZERO)
    } else {
        memo.clone()
    };
    let memo = memo.tags_of(move |_, _| match by {
        By::Tag => vec!["other", "source"],
        By::All => Vec::new(),
    });
    let answer = within("an answer", memo.get_or_compute(id, compute)).await;
    let answer: u64 = str::from_utf8(&answer.expect("a value")).unwrap().parse().unwrap();
    assert!(answer >= known, "{answer}, although {known} was acknowledged");
}

async fn no_caller_gets_what_is_older(one: MemoLock, two: MemoLock, by: By) {
    let nodes = [one.stamped(matches!(by, By::All)), two.stamped(matches!(by, By::All))];
    let source = Arc::new(Source::default());
    let mut tasks = Vec::new();
    for caller in 0..CALLERS {
        let (memo, source) = (nodes[caller % 2].clone(), Arc::clone(&source));
        tasks.push(tokio::spawn(async move {
            let mut turn = caller;
            while source.read() < CHANGES {
                ask(&memo, &source, &format!("{{{}}}", turn % 3), by, turn % 3 == 0).await;
                turn += 1;
            }
        }));
    }
    let changer = nodes[1].clone();
    let hits = || nodes.iter().map(|memo| memo.stats().hits).sum::<u64>();
    while source.read() < CHANGES {
        source.change(&changer, by).await;
        match source.read() {
            // However busy the machine is, some values are there long enough to be found.
            now if now % 10 == 5 => {
                let before = hits();
                eventually("a hit", || hits() > before).await;
            }
            now => tokio::time::sleep(Duration::from_millis(now % 4 * 6)).await,
        }
    }
    for task in tasks {
        task.await.expect("a caller that was content");
    }
    let stats = nodes.each_ref().map(MemoLock::stats);
    let count = |figure: fn(&tower_memolock::Stats) -> u64| stats.iter().map(figure).sum::<u64>();
    let (hits, fenced, outdated) = (hits(), count(|s| s.fenced), count(|s| s.outdated));
    assert!(
        hits > 0 && fenced > 0 && outdated > 0,
        "{hits} hits, {fenced} fenced, {outdated} outdated"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_caller_gets_what_is_older_than_an_invalidation_in_memory() {
    for by in [By::Tag, By::All] {
        let store = MemoryStore::new();
        no_caller_gets_what_is_older(MemoLock::new(store.clone(), "t"), MemoLock::new(store, "t"), by).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_caller_gets_what_is_older_than_an_invalidation_in_redis() {
    for by in [By::Tag, By::All] {
        let redis = RedisServer::start();
        let [one, two] = redis_nodes(&redis).await;
        no_caller_gets_what_is_older(one, two, by).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_caller_gets_what_is_older_than_an_invalidation_in_a_cluster() {
    let cluster = RedisCluster::start();
    for by in [By::Tag, By::All] {
        let connect = || async {
            let store = RedisStore::cluster([cluster.nodes[0].url()]).connect().await;
            MemoLock::new(store.expect("a store"), "t")
        };
        no_caller_gets_what_is_older(connect().await, connect().await, by).await;
    }
}

async fn redis_nodes(redis: &RedisServer) -> [MemoLock; 2] {
    [
        MemoLock::new(redis.store().await, "t"),
        MemoLock::new(redis.store().await, "t"),
    ]
}

async fn put(memo: &MemoLock, id: &str, tags: &'static [&'static str]) {
    let memo = memo.clone().tags_of(|_, _| tags.iter().copied());
    let compute = || async { Ok::<_, Infallible>("value".into()) };
    memo.get_or_compute(id, compute).await.expect("a value");
}

async fn is_there(memo: &MemoLock, id: &str) -> bool {
    memo.get(id).await.expect("a key").is_some()
}

/// Redis under another policy than `noeviction`, or with an operator at the keyboard.
#[tokio::test]
async fn what_redis_loses_of_invalidations_brings_nothing_back() {
    let redis = RedisServer::start();
    let [one, two] = redis_nodes(&redis).await;
    put(&one, "a", &["x"]).await;
    put(&one, "b", &["y"]).await;
    two.invalidate_tags(["x"]).await.unwrap();
    assert!(!is_there(&one, "a").await && is_there(&one, "b").await);

    assert_eq!(redis.cli(&["DEL", "t/gen:{t}"]), "1");
    assert!(!is_there(&one, "a").await && !is_there(&one, "b").await);
    // Nor once there is another set.
    put(&two, "c", &["x"]).await;
    assert!(!is_there(&one, "a").await && !is_there(&one, "b").await && is_there(&one, "c").await);
    put(&two, "a", &["x"]).await;
    assert!(is_there(&one, "a").await);

    // What is no set is no generation: nothing is stored, and an invalidation stays pending.
    redis.cli(&["SET", "t/gen:{t}", "no set"]);
    assert!(!is_there(&one, "a").await);
    assert!(matches!(
        two.invalidate_tags(["x"]).await,
        Err(InvalidateError::Pending { .. })
    ));
    put(&two, "d", &["x"]).await;
    assert!(!is_there(&two, "d").await);
    redis.cli(&["DEL", "t/gen:{t}"]);
    assert!(!is_there(&one, "a").await);
}

/// A server whose clock is behind, or a replica that has not heard of the last invalidations.
#[tokio::test]
async fn generations_do_not_go_back_with_the_clock() {
    let redis = RedisServer::start();
    let [one, two] = redis_nodes(&redis).await;
    put(&one, "a", &["x"]).await;
    let last = redis.cli(&["ZREVRANGE", "t/gen:{t}", "0", "0", "WITHSCORES"]);
    let (member, score) = last.split_once('\n').expect("a member and its score");
    let ahead = (score.parse::<u64>().unwrap() + 3_600_000_000).to_string();
    redis.cli(&["ZADD", "t/gen:{t}", &ahead, member]);
    put(&one, "b", &["x"]).await;
    two.invalidate_tags(["x"]).await.unwrap();
    assert!(!is_there(&one, "b").await);
    put(&one, "b", &["x"]).await;
    assert!(is_there(&two, "b").await);
    assert_eq!(
        redis.cli(&["ZSCORE", "t/gen:{t}", "tx"]),
        (score.parse::<u64>().unwrap() + 3_600_000_001).to_string()
    );
}

#[tokio::test]
async fn a_hit_costs_one_command_and_one_more_round_trip_with_tags() {
    let redis = RedisServer::start();
    let [one, two] = redis_nodes(&redis).await;
    put(&one, "plain", &[]).await;
    put(&one, "tagged", &["x", "y"]).await;
    let commands = |monitor: crate::support::Monitor| {
        let commands = monitor.commands().into_iter().filter(|command| command[0] != "PING");
        commands.map(|command| command.join(" ")).collect::<Vec<_>>()
    };

    let monitor = redis.monitor();
    assert!(is_there(&two, "plain").await);
    assert_eq!(commands(monitor), ["GET t:plain"]);

    let monitor = redis.monitor();
    assert!(is_there(&two, "tagged").await);
    let seen = commands(monitor);
    let (last, scores) = seen.split_last().unwrap();
    let names = ["tx", "ty", "s"].map(|name| format!("ZSCORE t/gen:{{t}} {name}"));
    assert_eq!(scores[0], "GET t:tagged");
    assert_eq!(scores[1..], names);
    assert!(last.starts_with("ZSCORE t/gen:{t} #"), "{last}");

    let two = two.stamped(true);
    put(&two, "stamped", &[]).await;
    let monitor = redis.monitor();
    assert!(is_there(&two, "stamped").await);
    assert_eq!(
        commands(monitor),
        ["GET t:stamped", "ZREVRANGE t/gen:{t} 0 0 WITHSCORES"]
    );
    assert_eq!(redis.cli(&["GET", "t:plain"]), "value", "to the letter");
}
