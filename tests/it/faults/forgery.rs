//! What others put under our names: a miss and a counter, never an answer.

use std::time::Instant;

use futures_util::future::join_all;
use redis::Connection;
use tower_memolock::Stats;

use super::fixture::{Names, Peer, SLACK, echo, raw};
use crate::support::cluster::{LEASE, nodes_at};
use crate::support::{HttpClient, RedisServer, eventually, within};

/// How many entries there are of [`hostile_entries`].
const HOSTILE: u64 = 27;

/// Runs a command, given as words.
fn run(connection: &mut Connection, command: &[&[u8]]) {
    let mut cmd = redis::Cmd::new();
    for word in command {
        cmd.arg(*word);
    }
    cmd.exec(connection).expect("a command that succeeds");
}

/// Bytes that are no entry of any key but perhaps another one's, made of a sound one.
fn hostile_entries(sound: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = vec![
        vec![],
        b"x".to_vec(),
        b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec(),
        b"{\"status\":200}".to_vec(),
        vec![0; 4 << 20],
        sound.to_vec(),
        [sound, b"x"].concat(),
        [sound, sound].concat(),
    ];
    let lengths = [1, 3, 4, 8, 11, 12, 78, 79, sound.len() / 2, sound.len() - 1];
    entries.extend(lengths.map(|length| sound[..length].to_vec()));
    // Another magic, version, checksum, length, time, flag, name, body.
    let places = [0, 3, 4, 8, 11, 12, 60, 79, sound.len() - 1];
    entries.extend(places.map(|at| {
        let mut bent = sound.to_vec();
        bent[at] ^= 1;
        bent
    }));
    assert_eq!(entries.len() as u64, HOSTILE);
    entries
}

/// A sound entry, and how all names are made.
async fn known(redis: &RedisServer, peer: &Peer) -> (Vec<u8>, impl Fn(&str) -> Names) {
    assert_eq!(peer.get("/known").await, "/known");
    peer.drained().await;
    let names = Names::learn(redis, "/known");
    let key = names("/known").value;
    let entry = redis::cmd("GET").arg(key).query(&mut raw(redis)).expect("an entry");
    (entry, names)
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_do_not_verify_are_misses_and_counted() {
    let redis = RedisServer::start();
    let peer = Peer::connect(&redis.url()).await;
    let (sound, names) = known(&redis, &peer).await;
    let mut connection = raw(&redis);
    let entries = hostile_entries(&sound);
    for (number, entry) in entries.iter().enumerate() {
        let path = format!("/{number}");
        run(&mut connection, &[b"SET", names(&path).value.as_bytes(), entry]);
    }
    let others: [&[&[u8]]; 4] = [
        &[b"RPUSH", b"x"],
        &[b"HSET", b"f", b"x"],
        &[b"SADD", b"x"],
        &[b"ZADD", b"1", b"x"],
    ];
    for (number, other) in others.iter().enumerate() {
        let path = format!("/{}", entries.len() + number);
        let name = names(&path).value;
        run(&mut connection, &[&[other[0], name.as_bytes()], &other[1..]].concat());
    }
    for number in 0..entries.len() + others.len() {
        let (before, path) = (peer.stats(), format!("/{number}"));
        assert_eq!(peer.get(&path).await, path, "number {number}");
        peer.drained().await;
        let after = peer.stats();
        // Seen by the look-up, and once more together with the lock.
        assert_eq!(after.rejected, before.rejected + 2, "number {number}");
        assert_eq!(
            (after.hits, after.led),
            (before.hits, before.led + 1),
            "number {number}"
        );
        assert_eq!(peer.get(&path).await, path);
        assert_eq!(peer.stats().hits, before.hits + 1, "number {number} is repaired");
    }
    assert_eq!(peer.stats().store_errors, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_other_kinds_cost_a_lease_at_most() {
    let redis = RedisServer::start();
    let peer = Peer::connect(&redis.url()).await;
    let (_, names) = known(&redis, &peer).await;
    let mut connection = raw(&redis);
    let kinds: [&[&[u8]]; 5] = [
        &[b"RPUSH", b"x"],
        &[b"HSET", b"f", b"x"],
        &[b"SET", b"somebody"],
        &[b"SET", b""],
        &[b"SET", b"\xff\0", b"PX", b"1500"],
    ];
    let paths: Vec<_> = (0..kinds.len()).map(|number| format!("/{number}")).collect();
    for (kind, path) in kinds.iter().zip(&paths) {
        let name = names(path).lock;
        run(&mut connection, &[&[kind[0], name.as_bytes()], &kind[1..]].concat());
    }
    let since = Instant::now();
    assert_eq!(join_all(paths.iter().map(|path| peer.get(path))).await, paths);
    let took = since.elapsed();
    assert!(took < LEASE + SLACK, "{took:?}");
    peer.drained().await;
    assert_eq!(peer.stats().store_errors, 0);
    assert_eq!(peer.calls(), 1 + kinds.len());
}

/// Where something is published.
#[derive(Clone, Copy)]
enum On {
    Promise,
    Control,
}

/// Publishes on a channel of a path that one peer computes and others wait for; each of the messages is one that the
/// other peer counts, if `counted`. A follower is answered with the truth. Returns the other peer's counters and how
/// many calls there were.
async fn while_waiting(on: On, counted: bool, messages: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> (Stats, usize) {
    let redis = RedisServer::start();
    let (leader, follower) = (Peer::connect(&redis.url()).await, Peer::connect(&redis.url()).await);
    let (sound, names) = known(&redis, &leader).await;
    let names = names("/slow");
    let leading = leader.ask("/slow");
    eventually("the leader's call", || leader.calls() == 2).await;
    let following: Vec<_> = (0..5).map(|_| follower.ask("/slow")).collect();
    let listens = || {
        let counts = redis.cli(&["PUBSUB", "NUMSUB", &names.promise, &names.control]);
        counts.lines().filter(|count| *count == "1").count() == 2
    };
    eventually("a subscriber of both channels", listens).await;
    let mut connection = raw(&redis);
    let channel = match on {
        On::Promise => &names.promise,
        On::Control => &names.control,
    };
    for message in messages(&sound) {
        let before = follower.stats().rejected;
        run(&mut connection, &[b"PUBLISH", channel.as_bytes(), &message]);
        if counted {
            eventually("a rejected message", || follower.stats().rejected > before).await;
        }
    }
    // The follower has dealt with all of it once it hears what is said last.
    let before = redis.commandstats()["set"];
    run(&mut connection, &[b"PUBLISH", names.control.as_bytes(), b"released"]);
    let heard = || follower.calls() > 0 || redis.commandstats()["set"] > before;
    eventually("the follower asks again", heard).await;

    follower.open();
    leader.open();
    assert_eq!(within("an answer", leading).await.expect("no panic"), "/slow");
    for asked in following {
        assert_eq!(within("an answer", asked).await.expect("no panic"), "/slow");
    }
    (follower.stats(), leader.calls() - 1 + follower.calls())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_as_a_promise_is_a_reason_to_read_and_nothing_more() {
    let (stats, calls) = while_waiting(On::Promise, false, hostile_entries).await;
    assert_eq!((stats.rejected, calls), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_values_are_counted_and_not_believed() {
    let values = |sound: &[u8]| {
        let entries = hostile_entries(sound).into_iter();
        entries.map(|entry| [b"value ", &entry[..]].concat()).collect()
    };
    let (stats, calls) = while_waiting(On::Control, true, values).await;
    assert_eq!((stats.rejected, calls), (HOSTILE, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_shared_results_are_counted_and_not_believed() {
    let shared = |sound: &[u8]| {
        let entries = hostile_entries(sound).into_iter();
        entries.map(|entry| [b"shared ", &entry[..]].concat()).collect()
    };
    let (stats, calls) = while_waiting(On::Control, true, shared).await;
    assert_eq!((stats.rejected, calls), (HOSTILE, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_control_word_is_ignored() {
    let (stats, calls) = while_waiting(On::Control, false, |sound| {
        let words = ["STORED", "pass ", "released\n", "failed", "shared", "invalidated\0"];
        let words = words.iter().map(|word| word.as_bytes().to_vec());
        hostile_entries(sound).into_iter().chain(words).collect()
    })
    .await;
    assert_eq!((stats.rejected, calls), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_news_of_the_lock_changes_nothing() {
    let words = |_: &[u8]| {
        let words = ["stored", "released", "invalidated"].repeat(10).into_iter();
        words.map(Into::into).collect()
    };
    let (stats, calls) = while_waiting(On::Control, false, words).await;
    assert_eq!((stats.rejected, calls), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_endings_cost_calls_and_nothing_else() {
    for word in [&b"pass"[..], b"failed ", b"failed because"] {
        let (stats, calls) = while_waiting(On::Control, false, |_| vec![word.to_vec()]).await;
        // Each of the waiters goes its own way.
        assert_eq!(stats.rejected, 0);
        assert!((2..=6).contains(&calls), "{calls} calls");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_sees_anything_of_what_is_forged() {
    let redis = RedisServer::start();
    let origin = echo().await;
    let nodes = nodes_at(&origin, &redis.url(), 2).await;
    let client = HttpClient::http1();
    let get = async |node: usize, path: String| {
        let answer = client.get(&nodes[node].url(&path)).await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, path.as_str()));
    };
    get(0, "/known".into()).await;
    eventually("a stored entry", || !redis.cli(&["KEYS", "proxy:*"]).is_empty()).await;
    let names = Names::learn(&redis, "/known");
    let mut connection = raw(&redis);
    let sound: Vec<u8> = redis::cmd("GET")
        .arg(names("/known").value)
        .query(&mut connection)
        .expect("an entry");
    let entries = hostile_entries(&sound);
    for (number, entry) in entries.iter().enumerate() {
        let path = format!("/stored/{number}");
        run(&mut connection, &[b"SET", names(&path).value.as_bytes(), entry]);
        get(number % 2, path).await;
    }
    let forge = async |number: usize| {
        let path = format!("/slow/{number}");
        let names = names(&path);
        let forging = async {
            origin.called(&path, 1).await;
            let mut connection = raw(&redis);
            for channel in [&names.promise, &names.control] {
                run(&mut connection, &[b"PUBLISH", channel.as_bytes(), &entries[number]]);
            }
        };
        tokio::join!(get(0, path.clone()), get(1, path.clone()), forging);
        assert_eq!(origin.calls(&path), 1, "{path}");
    };
    join_all((0..entries.len()).map(forge)).await;
}
