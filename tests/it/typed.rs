//! The core's types: what its errors say, which errors a computation may have, and what can be an id.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Ready, ready};
use std::io;

use bytes::Bytes;
use tower_memolock::{BoxError, ErrorKind, KeyError, MemoLock, MemoryStore};

/// An error as programs define them.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    assert!(error.is::<tower_memolock::Error>());

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

#[tokio::test]
async fn integers_and_tuples_are_ids_that_stay_apart() {
    let likes = likes();
    let store = async |id: &str, value: Result<Bytes, tower_memolock::Error>| {
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
