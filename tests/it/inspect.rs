//! The `inspect` example, over values of this crate and of others.

mod servers;

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncBufReadExt, BufReader};
use tower_memolock::middleware::stored_response::{BinaryHttp, Meta, StoredResponse};
use tower_memolock::{MemoLock, RedisStore, TraceContext};

use crate::support::{MASTER, RedisCluster, RedisServer, Sentinels, command, run_example, within};

const MINUTE: Duration = Duration::from_secs(60);

/// What `inspect` prints about the tag `t`, and how it ends.
async fn inspect(redis: &RedisServer, args: &[&str]) -> (String, String, Option<i32>) {
    let url = redis.url();
    let Output { status, stdout, stderr } =
        run_example("inspect", &[&["--redis", &url, "--tag", "t"], args].concat()).await;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(stdout), text(stderr), status.code())
}

async fn stdout(redis: &RedisServer, args: &[&str]) -> String {
    let (stdout, stderr, code) = inspect(redis, args).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
    // Whatever is stored, a terminal gets nothing but text.
    assert!(!stdout.contains(|c: char| c.is_control() && c != '\n'), "{stdout:?}");
    stdout
}

async fn store(redis: &RedisServer) -> RedisStore {
    redis.store().await
}

async fn responses(redis: &RedisServer) -> MemoLock<BinaryHttp> {
    MemoLock::with_codec(store(redis).await, "t", BinaryHttp)
}

fn response(body: &'static str) -> Arc<StoredResponse> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/plain".parse().expect("a value"));
    let mut meta = Meta::default();
    meta.stored_at = std::time::SystemTime::now();
    meta.fresh_for = MINUTE;
    meta.cost = Duration::from_millis(1500);
    let body = Bytes::from_static(body.as_bytes());
    Arc::new(StoredResponse::new(StatusCode::NOT_FOUND, headers, body, None, meta))
}

#[tokio::test]
async fn responses_are_decoded_and_no_body_is_shown_unasked() {
    let redis = RedisServer::start();
    assert_eq!(stdout(&redis, &[]).await, "no values\n");
    let memo = responses(&redis).await;
    let long: &str = "secret ".repeat(100_000).leak();
    for (id, body) in [("{GET /a}", "secret"), ("{GET /b}", long)] {
        memo.resolve(id, response(body), MINUTE)
            .await
            .expect("a resolved promise");
    }

    let list = stdout(&redis, &["list"]).await;
    for id in ["{GET /a}\n    response 404, ", "{GET /b}\n    response 404, 68"] {
        assert!(list.contains(id), "{list}");
    }
    assert_eq!(list.matches("took 1.5 s").count(), 2, "{list}");

    for key in ["{GET /a}", "/b"] {
        let shown = stdout(&redis, &["show", key]).await;
        for line in [
            "status            404 Not Found\n",
            "field             content-type: text/plain\n",
            "it took 1.5 s\n",
            "of 1 min in all\n",
            "lock              free\n",
        ] {
            assert!(shown.contains(line), "no {line} in {shown}");
        }
        for output in [&list, &shown] {
            assert!(!output.contains("secret"), "{output}");
        }
        let shown = stdout(&redis, &["show", key, "--body"]).await;
        assert!(shown.contains("\nsecret"), "{shown}");
        assert!(shown.len() < 70_000, "{} bytes", shown.len());
    }
    let (_, stderr, code) = inspect(&redis, &["show", "GET"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("{GET /a}\n{GET /b}"), "{stderr}");
}

#[tokio::test]
async fn values_of_others_and_hostile_ones_are_shown_escaped() {
    let redis = RedisServer::start();
    redis.cli(&["SET", "t:kristoff", "42\u{1b}[2J", "PX", "90000"]);
    redis.cli(&["SET", "t:a\u{1b}]0;x\u{7}\nb\u{202e}", ""]);
    redis.cli(&["LPUSH", "t:list", "x"]);
    redis.cli(&["SET", "t:torn", "MLK\u{1}"]);
    redis.cli(&["SET", "t/lock:kristoff", "go\u{1b}[31m", "PX", "90000"]);
    redis.cli(&["SET", "t/lock:other", "python"]);
    redis.cli(&["SET", "tt:x", "another tag's"]);

    let list = stdout(&redis, &[]).await;
    for lines in [
        "kristoff\n    raw value, 6 bytes, kept for 1 min",
        "a\\u{1b}]0;x\\u{7}\\nb\\u{202e}\n    raw value, 0 bytes, kept for ever\n",
        "list\n    unreadable, 0 bytes: a list instead of a string\n",
        "torn\n    unreadable, 4 bytes: ",
    ] {
        assert!(list.contains(lines), "no {lines} in {list}");
    }
    assert_eq!(list.lines().count(), 8, "{list}");

    let locks = stdout(&redis, &["locks"]).await;
    assert!(
        locks.contains("kristoff\n    held with the token go\\u{1b}[31m, for another 1 min"),
        "{locks}"
    );
    assert!(
        locks.contains("other\n    held with the token python, for ever"),
        "{locks}"
    );

    let shown = stdout(&redis, &["show", "kristoff", "--body"]).await;
    assert!(shown.contains("\n42\\u{1b}[2J\n"), "{shown}");
    // As it was listed.
    let shown = stdout(&redis, &["show", "a\\u{1b}]0;x\\u{7}\\nb\\u{202e}"]).await;
    assert!(shown.contains("raw bytes"), "{shown}");
}

#[tokio::test]
async fn who_computed_and_who_computes_is_said() {
    const BY: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
    let redis = RedisServer::start();
    let computed = |context: &str| {
        let traceparent = format!("00-{context}-01");
        let mut meta = response("secret").meta().clone();
        meta.computed_by = TraceContext::from_traceparent(&traceparent);
        let body = Bytes::from_static(b"secret");
        Arc::new(StoredResponse::new(StatusCode::OK, HeaderMap::new(), body, None, meta))
    };
    let memo = responses(&redis).await;
    memo.resolve("{GET /a}", computed(BY), MINUTE)
        .await
        .expect("a resolved promise");
    let token = "0123456789abcdef".repeat(2);
    redis.cli(&["SET", "t/lock:{GET /a}", &format!("{token}-{BY}"), "PX", "90000"]);
    redis.cli(&["SET", "t/lock:b", &format!("{token}-{}", &BY[..32]), "PX", "90000"]);
    redis.cli(&["SET", "t/lock:c", &format!("{token}-{}", "0".repeat(32)), "PX", "90000"]);

    let by = "span 00f067aa0ba902b7 of trace 4bf92f3577b34da6a3ce929d0e0e4736";
    let shown = stdout(&redis, &["show", "/a"]).await;
    assert!(shown.contains(&format!("\ncomputed by       {by}\n")), "{shown}");
    assert!(shown.contains("it took 1.5 s\n"), "{shown}");
    assert!(
        shown.contains(&format!("held with the token {token} by {by}, for")),
        "{shown}"
    );
    assert!(stdout(&redis, &[]).await.contains(&format!("took 1.5 s, by {by}")));
    let locks = stdout(&redis, &["locks"]).await;
    assert!(
        locks.contains(&format!("{token} by trace {}, for", &BY[..32])),
        "{locks}"
    );
    assert!(locks.contains(&format!("{token}-{}, for", "0".repeat(32))), "{locks}");
}

#[cfg(feature = "serde")]
#[tokio::test]
async fn programs_get_json_and_no_body_unasked() {
    let redis = RedisServer::start();
    let json = async |args: &[&str]| {
        let text = stdout(&redis, args).await;
        assert_eq!(text.lines().count(), 1, "{text}");
        (serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), text)
    };
    let (empty, _) = json(&["--json"]).await;
    assert_eq!(empty, serde_json::json!({"tag": "t", "values": [], "more": false}));

    let memo = responses(&redis).await;
    memo.resolve("{GET /a}", response("secret"), MINUTE)
        .await
        .expect("a resolved promise");
    redis.cli(&["SET", "t:raw\u{1b}", "secret"]);
    redis.cli(&["SET", "t:torn", "MLK\u{1}"]);
    redis.cli(&["SET", "t/lock:raw\u{1b}", "go\u{1b}", "PX", "90000"]);

    let (list, text) = json(&["list", "--json"]).await;
    assert!(!text.contains("secret"), "{text}");
    let values = list["values"].as_array().expect("values");
    let kinds: Vec<_> = values
        .iter()
        .map(|value| value["kind"].as_str().expect("a kind"))
        .collect();
    assert_eq!(kinds, ["raw", "unreadable", "response"]);
    assert_eq!(values[0]["key"], "raw\\u{1b}");
    assert_eq!(
        (&values[2]["status"], &values[2]["took_ms"]),
        (&404.into(), &1500.into())
    );
    assert!(values[2]["computed_by"].is_null());
    assert!(values[2]["ttl_ms"].as_u64().is_some_and(|left| left <= 60_000));

    let (locks, _) = json(&["locks", "--json"]).await;
    assert_eq!(locks["locks"][0]["token"], "go\\u{1b}");
    let (shown, text) = json(&["show", "raw\\u{1b}", "--json"]).await;
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(shown["lock"]["token"], "go\\u{1b}");
    let (shown, _) = json(&["show", "/a", "--json"]).await;
    assert_eq!(
        shown["value"]["fields"],
        serde_json::json!([["content-type", "text/plain"]])
    );
    assert_eq!(shown["value"]["body_bytes"], 6);
    assert!(shown["lock"].is_null() && shown["value"]["body"].is_null());
    let (shown, _) = json(&["show", "/a", "--json", "--body"]).await;
    assert_eq!(shown["value"]["body"], "secret");
    let (_, stderr, code) = inspect(&redis, &["watch", "--json"]).await;
    assert_eq!(code, Some(2), "{stderr}");
}

#[tokio::test]
async fn tags_of_a_value_are_named_and_what_is_out_of_date_is_too() {
    let redis = RedisServer::start();
    let memo = MemoLock::new(store(&redis).await, "t").tags_of(|_, _| vec!["cats".to_owned()]);
    let compute = || async { Ok::<_, std::io::Error>("v".into()) };
    memo.get_or_compute("pets", compute).await.expect("a value");
    let shown = stdout(&redis, &["show", "pets"]).await;
    assert!(
        shown.contains("stamp             current\ntags              cats\n"),
        "{shown}"
    );

    let said = stdout(&redis, &["invalidate", "--tagged", "cats"]).await;
    assert_eq!(said, "invalidated everything tagged cats\n");
    assert_eq!(memo.get("pets").await.expect("a key"), None);
    let list = stdout(&redis, &["list"]).await;
    assert!(list.ends_with(", out of date\n"), "{list}");
}

#[tokio::test]
async fn an_invalidation_takes_value_and_lock() {
    let redis = RedisServer::start();
    for id in ["a", "b c", "d"] {
        redis.cli(&["SET", &format!("t:{id}"), "1"]);
        redis.cli(&["SET", &format!("t/lock:{id}"), "1"]);
    }
    let said = stdout(&redis, &["invalidate", "a", "b c"]).await;
    assert_eq!(said, "invalidated a\ninvalidated b c\n");
    let mut keys = redis.keys();
    keys.sort();
    assert_eq!(keys, ["t/lock:d", "t:d"]);
    let said = stdout(&redis, &["invalidate", "b"]).await;
    assert_eq!(said, "invalidated b, under which nothing was stored\n");
    for args in [
        &["invalidate"][..],
        &["invalidate", "a", "--all"],
        &["list", "--all"],
        &["show"],
        &["list", "x"],
    ] {
        let (_, stderr, code) = inspect(&redis, args).await;
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_announced() {
    let redis = RedisServer::start();
    let mut watch = command("inspect", &["--redis", &redis.url(), "--tag", "t", "watch"])
        .spawn()
        .expect("a process");
    let mut stderr = BufReader::new(watch.stderr.take().expect("its stderr")).lines();
    let said = within("a beginning", stderr.next_line())
        .await
        .expect("UTF-8")
        .expect("a line");
    assert!(said.starts_with("watching t in database 0"), "{said}");

    let memo = responses(&redis).await;
    memo.resolve("{GET /a b}", response("secret"), MINUTE)
        .await
        .expect("a resolved promise");
    memo.invalidate("{GET /a b}").await.expect("an invalidation");
    redis.cli(&["PUBLISH", "t/notif:kristoff", "secret"]);
    redis.cli(&["PUBLISH", "t/ctl:kristoff", "failed no\u{1b}[2J"]);
    redis.cli(&["PUBLISH", "t/ctl:kristoff", "whatever\u{7}"]);

    let mut lines = BufReader::new(watch.stdout.take().expect("its stdout")).lines();
    for (id, text) in [
        ("{GET /a b}", "response 404"),
        ("{GET /a b}", "invalidated"),
        ("{t}/near", "near copies of this are to be dropped: {GET /a b}"),
        ("kristoff", "published: raw value, 6 bytes"),
        ("kristoff", "failed: no\\u{1b}[2J"),
        ("kristoff", "9 bytes that say nothing: whatever\\u{7}"),
    ] {
        let mut line = async || {
            within("a line", lines.next_line())
                .await
                .expect("UTF-8")
                .expect("a line")
        };
        let (first, second) = (line().await, line().await);
        assert!(first.ends_with(id), "{first}");
        assert!(second.contains(text) && !second.contains("secret"), "{second}");
    }
}
