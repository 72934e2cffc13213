//! Whatever stands where a response is waited for: it is never an answer, and no caller waits for ever.

use tokio::task::JoinHandle;
use tower::BoxError;

use super::fixture::{Worker, get, jobs, listening, nodes, one_pdf, queued, statuses};
use crate::support::{Answer, Node, RedisServer};

/// A message in hexadecimal, for Lua to put in place.
fn hex(message: &[u8]) -> String {
    message.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let lengths = |text: &str| u8::try_from(text.len()).expect("short");
    [&[lengths(name)], name.as_bytes(), &[lengths(value)], value.as_bytes()].concat()
}

/// A message with these fields: all are shorter than 64 bytes together.
fn message(fields: &[(&str, &str)]) -> Vec<u8> {
    let section: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let len = (u16::try_from(section.len()).expect("short") | 1 << 14).to_be_bytes();
    [&b"\x01\x40\xc8"[..], &len, &section, b"\x06hijack\x00"].concat()
}

/// Stores and publishes these bytes as a caller that means harm, or does not know better.
fn resolve(redis: &RedisServer, key: &str, channel: &str, bytes: &[u8]) {
    let script = "local bytes = ARGV[1]:gsub('..', function(two) return string.char(tonumber(two, 16)) end) \
                  redis.call('SET', KEYS[1], bytes, 'PX', 60000) return redis.call('PUBLISH', KEYS[2], bytes)";
    redis.cli(&["EVAL", script, "2", key, channel, &hex(bytes)]);
}

/// What must not be an answer at this address, however it gets there.
fn hostile(address: &str) -> Vec<Vec<u8>> {
    let own = ("memolock-address", address);
    let whole = message(&[own]);
    let mut hostile = vec![
        Vec::new(),
        b"garbage".to_vec(),
        vec![0xff; 1000],
        b"MLK\x01".to_vec(),
        // Of another address, of none, or of any.
        message(&[("memolock-address", "report:1")]),
        message(&[]),
        message(&[own, own]),
        // A gibibyte, or more than there is.
        b"\x01\x40\xc8\xc0\0\0\0\x40\0\0\0".to_vec(),
        b"\x01\x40\xc8\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        // For one client only.
        message(&[own, ("set-cookie", "a=b")]),
        message(&[own, ("cache-control", "private")]),
        message(&[own, ("cache-control", "no-store")]),
        message(&[own, ("vary", "*")]),
        message(&[own, ("content-length", "7")]),
        [&whole[..], b"\0"].concat(),
    ];
    hostile.extend((1..whole.len()).map(|len| whole[..len].to_vec()));
    hostile
}

async fn deferred(redis: &RedisServer, nodes: &[Node]) -> JoinHandle<Vec<Result<Answer, BoxError>>> {
    let answers = get(nodes, "/report/42", 9);
    queued(redis, 1).await;
    listening(redis, "report/notif:42", 3).await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_it_is_an_answer_and_the_right_one_still_is() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let answers = deferred(&redis, &nodes).await;
    for bytes in hostile("report:42") {
        resolve(&redis, "report:42", "report/notif:42", &bytes);
    }
    // Any of it would have been answered by now with something else.
    let _worker = Worker::start(&redis, 0).await;
    let pdf = one_pdf(answers.await.expect("no panic"));
    assert!(pdf.starts_with(b"%PDF-1.7\n% report 42, "));
    assert_eq!(jobs(&redis), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_it_is_a_hit() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let _worker = Worker::start(&redis, 0).await;
    for n in 100..100 + hostile("").len() {
        let address = format!("report:{n}");
        let bytes = &hostile(&address)[n - 100];
        resolve(&redis, &address, "nobody", bytes);
        let pdf = one_pdf(get(&nodes, &format!("/report/{n}"), 3).await.expect("no panic"));
        assert!(pdf.starts_with(b"%PDF-1.7\n"), "{bytes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_have_been_right_is_an_answer() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "10s", "30s").await;
    let answers = deferred(&redis, &nodes).await;
    let right = message(&[("memolock-address", "report:42"), ("x-a", "b")]);
    resolve(&redis, "report:42", "report/notif:42", &right);
    for answer in answers.await.expect("no panic") {
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status, answer.text(), answer.header("x-a")),
            (200, "hijack", vec!["b"])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_alone_ends_like_no_answer() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis, "1s", "4s").await;
    let answers = deferred(&redis, &nodes).await;
    for n in 0..50_u8 {
        resolve(&redis, "report:42", "report/notif:42", &[1, n]);
    }
    let statuses = statuses(answers.await.expect("no panic"));
    assert!(
        statuses.iter().all(|status| [202, 504].contains(status)),
        "{statuses:?}"
    );
    assert!(jobs(&redis) <= 3, "{} jobs", jobs(&redis));
}
