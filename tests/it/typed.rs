//! The core's types: what its errors say, which errors a computation may have, and what can be an id.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Ready, ready};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tower_memolock::codec::Json;
use tower_memolock::{BoxError, Error, ErrorKind, KeyError, MemoLock, MemoryStore};

use crate::support::{RedisServer, eventually, is_remote, within};

/// An error as programs define them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct NotFound(u64);

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is no user {}", self.0)
    }
}

impl std::error::Error for NotFound {}

fn likes() -> MemoLock {
    MemoLock::new(MemoryStore::new(), "likes")
}

fn fails<E: Into<BoxError> + 'static>(error: E) -> Ready<Result<Bytes, E>> {
    ready(Err(error))
}

async fn with_anyhow(likes: &MemoLock) -> anyhow::Result<Bytes> {
    let query = || async {
        let port: u16 = "http".parse()?;
        anyhow::Ok(Bytes::from(port.to_string()))
    };
    Ok(likes.get_or_compute("anyhow", query).await?)
}

async fn with_boxes(likes: &MemoLock) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let query = || async {
        let port: u16 = "http".parse()?;
        Ok::<Bytes, BoxError>(port.to_string().into())
    };
    Ok(likes.get_or_compute("boxes", query).await?)
}

async fn with_plain_boxes(likes: &MemoLock) -> Result<Bytes, Box<dyn std::error::Error>> {
    Ok(likes.get_or_compute("plain", || fails(NotFound(7))).await?)
}

#[tokio::test]
async fn the_question_mark_takes_errors_into_any_kind_of_box() {
    let likes = likes();
    let error = with_anyhow(&likes).await.unwrap_err();
    let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
    assert_eq!(
        chain,
        ["likes:anyhow: the computation failed", "invalid digit found in string"]
    );
    assert!(error.is::<Error>());

    let error = with_boxes(&likes).await.unwrap_err();
    assert_eq!(error.to_string(), "likes:boxes: the computation failed");
    assert!(error.source().unwrap().is::<std::num::ParseIntError>());

    let error = with_plain_boxes(&likes).await.unwrap_err();
    assert_eq!(error.source().unwrap().downcast_ref(), Some(&NotFound(7)));
}

#[tokio::test]
async fn a_cause_is_found_behind_a_context() {
    let failed = || fails(anyhow::Error::new(NotFound(7)).context("loading").context("rendering"));
    let error = likes().get_or_compute("a", failed).await.unwrap_err();
    assert_eq!(error.cause(), Some(&NotFound(7)));
    assert!(error.cause::<io::Error>().is_none());
    let mut chain = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        chain.push(cause.to_string());
        next = cause.source();
    }
    assert_eq!(chain, ["rendering", "loading", "there is no user 7"]);
}

#[tokio::test]
async fn all_who_waited_in_a_process_get_the_same_cause() {
    let likes = likes();
    let ask = |n| likes.get_or_compute("a", move || fails(NotFound(n)));
    let (one, two) = tokio::join!(ask(1), ask(2));
    let (one, two) = (one.unwrap_err(), two.unwrap_err());
    assert_eq!(one.cause(), Some(&NotFound(1)));
    assert!(std::ptr::eq(one.cause::<NotFound>().unwrap(), two.cause().unwrap()));
    let copy = one.clone();
    drop(one);
    assert!(std::ptr::eq(copy.cause::<NotFound>().unwrap(), two.cause().unwrap()));
}

#[tokio::test]
async fn errors_say_which_id_failed_and_why() {
    let likes = likes();
    let error = likes.get_or_compute("a\nb", || fails("no cheese")).await.unwrap_err();
    assert_eq!(error.to_string(), r"likes:a\nb: the computation failed");
    assert_eq!(error.address(), "likes:a\nb");
    assert_eq!(error.source().unwrap().to_string(), "no cheese");

    let error = likes
        .get_or_compute(("eu", 7), || fails(NotFound(7)))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "likes:{eu 7}: the computation failed");

    let error = likes.get_or_compute("", || fails(NotFound(7))).await.unwrap_err();
    assert_eq!(error.to_string(), "likes: the id cannot be a key");
    assert_eq!(
        (error.kind(), error.cause()),
        (ErrorKind::Key, Some(&KeyError::EmptyId))
    );

    let error = likes
        .get_or_request(7, || async { Err(NotFound(7)) })
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "likes:{7}: the computation failed");
    assert_eq!(error.cause(), Some(&NotFound(7)));
}

/// Errors of an invalidation or a resolution, as text, with what is behind them.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes: Vec<_> = std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect();
    causes.join(": ")
}

#[tokio::test]
async fn what_could_not_be_invalidated_or_resolved_is_named_with_the_reason() {
    let likes = likes();
    let error = likes.invalidate("").await.unwrap_err();
    assert_eq!(told(&error), "likes: the id cannot be a key: the id is empty");
    let error = likes.invalidate_tags(["shop", ""]).await.unwrap_err();
    assert!(told(&error).starts_with(r#"likes: ["shop", ""]: this cannot be the tags of a value: "#));
    let error = likes.invalidate_all().await.unwrap_err();
    assert_eq!(told(&error), "likes: not every value is stamped");
    let error = likes.resolve("", "".into(), Duration::ZERO).await.unwrap_err();
    assert_eq!(told(&error), "likes: the id cannot be a key: the id is empty");

    let redis = RedisServer::start();
    let users = node(&redis).await.stamped(true);
    users
        .get_or_compute(7, || ready(Ok::<_, Infallible>("7".into())))
        .await
        .unwrap();
    drop(redis);
    for (error, expected) in [
        (
            told(&users.invalidate((7, "a\n")).await.unwrap_err()),
            "user:{7 a^0a}: the store could not be told to invalidate",
        ),
        (
            told(&users.invalidate_tags(["shop"]).await.unwrap_err()),
            r#"user: ["shop"]: the store could not be told"#,
        ),
        (
            told(&users.invalidate_all().await.unwrap_err()),
            "user: the store could not be told",
        ),
        (
            told(&users.resolve(7, "7".into(), Duration::from_secs(1)).await.unwrap_err()),
            "user:{7}: the store could not be told of the value: ",
        ),
    ] {
        assert!(
            error.starts_with(expected) && error.matches(": ").count() > 1,
            "{error}"
        );
    }
}

#[tokio::test]
async fn integers_and_tuples_are_ids_that_stay_apart() {
    let likes = likes();
    let store = async |id: &str, value: Result<Bytes, Error>| {
        assert_eq!(value.unwrap(), id.to_owned(), "{id} is its own");
    };
    // What others have stored would be found.
    macro_rules! ids {
        ($($id:expr),+ $(,)?) => {$(
            let text = stringify!($id);
            let compute = move || async move { Ok::<_, Infallible>(Bytes::from(text)) };
            store(text, likes.get_or_compute($id, compute).await).await;
        )+};
    }
    ids!(
        1,
        "1",
        12_u8,
        -1_i64,
        u128::MAX,
        ("",),
        ("", ""),
        ("a", "b c"),
        ("a b", "c"),
        ("a", "b", "c"),
        ("a b c",),
        (1, 23),
        (12, 3),
        (1, 2, 3),
        ("{1}", "#"),
        ("^7b1^7d", "#"),
        (1, 'x', "y", 2.5, true, String::from("z")),
    );
}

/// The errors of a leader on one node and of a follower on the other, which ask for the same.
async fn leads_and_follows<E: Into<BoxError> + Send + 'static>(
    redis: &RedisServer,
    [here, there]: [MemoLock; 2],
    id: &'static str,
    error: E,
) -> [Error; 2] {
    let (started, has_started) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let leader = tokio::spawn(async move {
        let compute = || async move {
            let _ = started.send(());
            let _ = ended.await;
            Err::<Bytes, _>(error)
        };
        here.get_or_compute(id, compute).await
    });
    within("a leader", has_started).await.unwrap();
    redis.reset_commandstats();
    let follower = tokio::spawn(async move { there.get_or_compute(id, || fails("computed twice")).await });
    // It has asked for the lock's end before it listened, and once it did: now it hears whatever becomes of the promise.
    eventually("a follower that listens", || {
        redis.commandstats().get("pttl") == Some(&2)
    })
    .await;
    end.send(()).unwrap();
    let leader = within("an answer", leader).await.unwrap();
    let follower = within("an answer", follower).await.unwrap();
    [leader.unwrap_err(), follower.unwrap_err()]
}

async fn node(redis: &RedisServer) -> MemoLock {
    MemoLock::new(redis.store().await, "user")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_error_is_the_same_on_every_node() {
    let redis = RedisServer::start();
    let typed = async || node(&redis).await.errors(Json::<NotFound>::new());
    let nodes = [typed().await, typed().await];
    for (id, user) in [("a", 7), ("b", u64::MAX)] {
        let [leader, follower] = leads_and_follows(&redis, nodes.clone(), id, NotFound(user)).await;
        assert_eq!(leader.cause(), Some(&NotFound(user)));
        assert_eq!(leader.cause::<NotFound>(), follower.cause());
        assert_eq!(leader.to_string(), follower.to_string());
        assert_eq!(
            leader.source().unwrap().to_string(),
            follower.source().unwrap().to_string()
        );
    }
    let within = anyhow::Error::new(NotFound(8)).context("loading");
    let [leader, follower] = leads_and_follows(&redis, nodes, "c", within).await;
    assert_eq!(leader.cause(), Some(&NotFound(8)));
    assert_eq!(follower.cause(), Some(&NotFound(8)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_cannot_be_decoded_is_its_text() {
    let redis = RedisServer::start();
    let (typed, plain) = (node(&redis).await.errors(Json::<NotFound>::new()), node(&redis).await);
    let other = node(&redis).await.errors(Json::<KeyOnly>::new());
    let [_, follower] = leads_and_follows(&redis, [typed.clone(), plain], "plain", NotFound(7)).await;
    assert!(is_remote(&follower, "there is no user 7"), "{follower:?}");
    let [_, follower] = leads_and_follows(&redis, [typed.clone(), other.clone()], "other", NotFound(7)).await;
    assert!(is_remote(&follower, "there is no user 7"), "{follower:?}");
    let [_, follower] = leads_and_follows(&redis, [other, typed], "untyped", io::Error::other("no disk")).await;
    assert!(is_remote(&follower, "no disk"), "{follower:?}");
}

/// What any program that may publish can say.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_encoding_is_its_text() {
    let redis = RedisServer::start();
    let waiting = node(&redis).await.errors(Json::<NotFound>::new());
    let hostile = [
        "",
        "null",
        "{}",
        "7 7",
        "-1",
        "[[[[",
        "\\0\\0",
        "9223372036854775808999",
    ];
    for (at, encoding) in hostile.into_iter().enumerate() {
        redis.cli(&["SET", &format!("user/lock:{at}"), "another", "PX", "60000"]);
        let asking = waiting.clone();
        let follower = tokio::spawn(async move { asking.get_or_compute(at.to_string(), || fails("computed")).await });
        let channel = format!("user/ctl:{at}");
        let script = format!("return redis.call('PUBLISH', KEYS[1], 'failed no user\\000{encoding}')");
        eventually("a follower that listens", || {
            redis.cli(&["EVAL", &script, "1", &channel]).ends_with('1')
        })
        .await;
        let error = within("an answer", follower).await.unwrap().unwrap_err();
        assert!(is_remote(&error, "no user"), "{encoding}: {error:?}");
    }
}

/// An error of another shape.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct KeyOnly {
    key: String,
}

impl std::fmt::Display for KeyOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key)
    }
}

impl std::error::Error for KeyOnly {}
