//! Redis users who may do what the store does and nothing else, or less than that.

use std::time::Duration;

use tower_memolock::{MemoLock, RedisStore, StoreError, StoreErrorKind, Tag};

use crate::support::{Log, Node, RedisServer, causes, eventually, run_example, within};
use tower_memolock::store::contract::{self, for_each_clause};

/// The permissions that the documentation lists, for the tag `contract`.
pub(crate) const RULES: [&str; 22] = [
    "~contract:*",
    "~contract/lock:*",
    "~contract/gen:*",
    "&contract/notif:*",
    "&contract/ctl:*",
    "+get",
    "+set",
    "+pttl",
    "+pexpire",
    "+del",
    "+zscore",
    "+zrevrange",
    "+zadd",
    "+zcard",
    "+zremrangebyrank",
    "+time",
    "+eval",
    "+evalsha",
    "+publish",
    "+subscribe",
    "+unsubscribe",
    "+ping",
];

fn tag() -> Tag {
    Tag::new("contract").expect("a tag")
}

/// Makes `memo` a user with these permissions and no others.
fn set_user(server: &RedisServer, rules: &[&str]) {
    let mut command = vec!["ACL", "SETUSER", "memo", "reset", "on", ">secret", "resetchannels"];
    command.extend(rules);
    server.cli(&command);
}

/// Lets `memo` use more tags: one clause of the contract is about several.
fn add_tags(server: &RedisServer, tags: &[&str]) {
    for tag in tags {
        let patterns = RULES[..5].iter().map(|rule| rule.replace("contract", tag));
        let patterns: Vec<_> = patterns.collect();
        let mut command = vec!["ACL", "SETUSER", "memo"];
        command.extend(patterns.iter().map(String::as_str));
        server.cli(&command);
    }
}

fn url(server: &RedisServer) -> String {
    server.url().replace("://", "://memo:secret@")
}

async fn connect(server: &RedisServer) -> Result<RedisStore, StoreError> {
    within("an answer to connect", RedisStore::connect(&url(server))).await
}

mod with_the_documented_user {
    use super::*;

    macro_rules! tests {
        ($($clause:ident)*) => {$(
            #[tokio::test]
            async fn $clause() {
                let server = RedisServer::start();
                set_user(&server, &RULES);
                add_tags(&server, &["one", "two", "one/two", "o"]);
                let one = connect(&server).await.expect("a store");
                let two = connect(&server).await.expect("a store");
                contract::$clause(one, two).await;
                assert_eq!(denials(&server), [""; 0]);
            }
        )*};
    }
    for_each_clause!(tests);
}

/// What the server has denied to `memo`, except what `connect` tries on names of no tag, and what the store does without.
fn denials(server: &RedisServer) -> Vec<String> {
    let log = server.cli(&["ACL", "LOG"]);
    let lines: Vec<_> = log.lines().collect();
    let objects = lines.windows(2).filter(|pair| pair[0] == "object").map(|pair| pair[1]);
    let (tried, denied): (Vec<_>, Vec<_>) =
        objects.partition(|object| object.starts_with("memolock") || *object == "info" || object.contains("/part:"));
    assert!(!tried.is_empty(), "the log does not show what was tried:\n{log}");
    denied.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_documentation_lists_the_permissions_that_are_tested() {
    let words = include_str!("../../src/store/redis/store.rs").replace("///", "");
    let guide = include_str!("../../src/docs/guide/operating.md");
    for text in [words.as_str(), guide] {
        let (_, rules) = text
            .split_once("ACL SETUSER memo on >password resetchannels ")
            .expect("the user");
        let (rules, _) = rules.split_once("```").expect("the end of the user");
        let found: Vec<_> = rules.split_whitespace().collect();
        let expected = RULES.map(|rule| rule.replace("contract", "report"));
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn each_missing_permission_is_named_at_start_up() {
    let server = RedisServer::start();
    for missing in RULES {
        let rest: Vec<_> = RULES.into_iter().filter(|rule| *rule != missing).collect();
        set_user(&server, &rest);
        let error = match connect(&server).await {
            Err(error) => {
                assert!(missing.starts_with('+'), "{missing} is not about a tag");
                error
            }
            Ok(store) => {
                assert!(!missing.starts_with('+'), "{missing} was not missed when connecting");
                store.check(&tag()).await.expect_err(missing)
            }
        };
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{missing}");
        let text = causes(&error);
        let advice = format!("ACL SETUSER memo {missing}: NOPERM");
        assert!(text.contains(&advice), "{missing}: {text}");
    }
}

#[tokio::test]
async fn all_missing_permissions_are_named_together() {
    let server = RedisServer::start();
    set_user(&server, &RULES[5..10]);
    let text = causes(&connect(&server).await.expect_err("no store"));
    let commands = "memo +eval +evalsha +ping +publish +subscribe +time +unsubscribe +zadd +zcard +zremrangebyrank +zrevrange +zscore:";
    assert!(text.contains(commands), "{text}");

    set_user(&server, &RULES[5..]);
    let store = connect(&server).await.expect("a store");
    let text = causes(&store.check(&tag()).await.expect_err("no permissions"));
    let patterns = "memo &contract/ctl:* &contract/notif:* ~contract/gen:* ~contract/lock:* ~contract:*:";
    assert!(text.contains(patterns), "{text}");
}

#[tokio::test]
async fn a_database_needs_two_more_permissions() {
    let server = RedisServer::start();
    set_user(&server, &RULES);
    let url = format!("{}/3", url(&server));
    let error = RedisStore::connect(&url).await.expect_err("no store");
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    let text = causes(&error);
    assert!(text.contains("ACL SETUSER memo +select"), "{text}");
    server.cli(&["ACL", "SETUSER", "memo", "+select"]);
    let store = RedisStore::connect(&url).await.expect("a store");
    let error = store.check(&tag()).await.expect_err("no control channel");
    let text = causes(&error);
    assert!(text.contains("&contract/ctl/3:*"), "{text}");
    server.cli(&["ACL", "SETUSER", "memo", "&contract/ctl/3:*"]);
    store.check(&tag()).await.expect("all permissions");
}

#[tokio::test]
async fn no_other_client_has_to_be_allowed_anything() {
    let server = RedisServer::start();
    set_user(&server, &RULES);
    server.cli(&["ACL", "SETUSER", "default", "reset"]);
    let store = connect(&server).await.expect("a store");
    store.check(&tag()).await.expect("all permissions");
    contract::a_commit_is_heard_by_all_watchers(store.clone(), store).await;
}

#[tokio::test]
async fn a_check_leaves_nothing_behind() {
    let server = RedisServer::start();
    let store = server.store().await;
    store.check(&tag()).await.expect("all permissions");
    assert_eq!(server.cli(&["DBSIZE"]), "0");
    assert_eq!(server.cli(&["PUBSUB", "CHANNELS"]), "");
    eventually("two connections and the test's own", || {
        server.cli(&["CLIENT", "LIST"]).lines().count() == 3
    })
    .await;
}

#[tokio::test]
async fn a_check_without_a_server_is_no_verdict() {
    let mut server = RedisServer::start();
    let store = server.store().await;
    server.kill();
    let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::Timeout];
    let error = within("a verdict", store.check(&tag()))
        .await
        .expect_err("no node to ask");
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

#[tokio::test]
async fn a_permission_that_is_lost_later_costs_the_store_and_one_warning() {
    let server = RedisServer::start();
    set_user(&server, &RULES);
    let store = connect(&server).await.expect("a store");
    let memo = MemoLock::new(store, tag());
    let log = Log::start();
    for lost in ["-set", "-evalsha"] {
        server.cli(&["ACL", "SETUSER", "memo", lost]);
        for n in 0..100 {
            let id = format!("{lost} {n}");
            let computed = memo.get_or_compute(id, || async { Ok::<_, std::io::Error>("v".into()) });
            let value = within("a value", computed).await;
            assert_eq!(value.expect("no error for the caller"), "v");
        }
        within("the end of all computations", memo.drained()).await;
    }
    let warnings = log.lines_with("denies the store a permission");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("'set'"), "{warnings:?}");
    assert!(memo.stats().store_errors >= 200, "{:?}", memo.stats());

    let since = memo.stats();
    server.cli(&["ACL", "SETUSER", "memo", "+set", "+evalsha"]);
    let computed = memo.get_or_compute("again", || async { Ok::<_, std::io::Error>("v".into()) });
    within("a value", computed).await.expect("a value");
    within("the end of all computations", memo.drained()).await;
    assert_eq!(memo.stats().store_errors, since.store_errors);
    assert_eq!(server.cli(&["GET", "contract:again"]), "v");
}

#[tokio::test]
async fn a_permission_that_a_script_lost_is_told_too() {
    let server = RedisServer::start();
    set_user(&server, &RULES);
    let store = connect(&server).await.expect("a store");
    let memo = MemoLock::new(store, tag()).lease(Duration::from_secs(5));
    let log = Log::start();
    server.cli(&["ACL", "SETUSER", "memo", "-publish"]);
    let computed = memo.get_or_compute("a", || async { Ok::<_, std::io::Error>("v".into()) });
    within("a value", computed).await.expect("a value");
    within("the end of all computations", memo.drained()).await;
    let warnings = log.lines_with("denies the store a permission");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
}

#[tokio::test]
async fn a_proxy_without_a_permission_does_not_start() {
    let server = RedisServer::start();
    set_user(&server, &RULES);
    let url = url(&server);
    let mut flags = vec!["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"];
    flags.extend(["--redis", &url]);
    let output = run_example("reverse_proxy", &flags).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("&proxy/ctl:* &proxy/notif:* ~proxy/gen:* ~proxy/lock:* ~proxy:*"),
        "{stderr}"
    );
    flags.extend(["--tag", "contract"]);
    let node = Node::start("reverse_proxy", &flags).await;
    assert_eq!(node.stderr(), "");
}
