//! Ids, tags and values to the letter: what could be misread, and is not.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tower_memolock::{KeyError, MemoLock, Tag};

use super::fixture::{NODES, Ours, World, agreed};

/// What begins like the envelope of a stamped value, `src/store/envelope.rs`.
const ENVELOPE: [u8; 16] = [
    0xd5, b'M', b'L', b'S', 0x01, 0x1b, 0x9c, 0x6e, 0xa3, 0xf0, 0x57, 0x82, 0xc4, 0x3d, 0x98, 0xe6,
];

#[tokio::test(flavor = "multi_thread")]
async fn an_id_stands_for_itself_whatever_is_in_it() {
    let world = World::new().await;
    let ids = [
        "*",
        "?",
        "[a]",
        r"\",
        "a b",
        "a\nb",
        "a\0b",
        "{a}",
        "{a",
        "a:b",
        "a/lock:b",
        "größe",
        "\r\n$3\r\nfoo",
    ];
    for id in ids {
        let ours = Ours::default();
        let () = world
            .say("SET", [&format!("likes/lock:{id}"), "theirs", "EX", "20"])
            .await;
        let waiting = ours.ask(&world.nodes, id, Duration::ZERO);
        world.listening(id, NODES).await;
        // Another id that matches as a pattern is not this one.
        let () = world.say("PUBLISH", ["likes/notif:xyz", "not this"]).await;
        world.resolve(id, "this").await;
        assert_eq!(agreed(waiting).await.0, "this", "{id:?}");
        let () = world
            .say("DEL", [format!("likes:{id}"), format!("likes/lock:{id}")])
            .await;
        let computed = world.nodes[0]
            .get_or_compute(id, || async { Ok::<_, Infallible>("computed".into()) })
            .await;
        assert_eq!(computed.unwrap(), "computed");
        assert_eq!(world.get(&format!("likes:{id}")).await.unwrap(), b"computed", "{id:?}");
        assert_eq!(ours.runs(), 0, "{id:?}");
    }
}

#[test]
fn a_tag_that_would_collide_or_be_a_pattern_is_refused_in_words() {
    for reserved in ["likes/lock", "a/lock", "likes/notif", "likes/ctl", "likes/gen", "/lock"] {
        let error = Tag::new(reserved).expect_err(reserved);
        assert!(matches!(error, KeyError::ReservedTag(_)), "{reserved}: {error:?}");
        assert!(
            error.to_string().contains("locks or channels of another tag"),
            "{error}"
        );
    }
    for misread in ["a*", "a?", "[a]", r"a\", "a:b", "{a}", "a b", "a\n", "a\0", "a\u{a0}b"] {
        let error = Tag::new(misread).expect_err(misread);
        assert!(matches!(error, KeyError::TagCharacter(_)), "{misread:?}: {error:?}");
    }
    for fine in ["likes", "a/b", "lock", "a/lock/b", "a/locks", "a/lock2", "größe"] {
        assert!(Tag::new(fine).is_ok(), "{fine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_looks_like_another_tags_lock_is_only_an_id() {
    let world = World::new().await;
    let memo = &world.nodes[0];
    let a = memo
        .get_or_compute("x", || async { Ok::<_, Infallible>("x".into()) })
        .await;
    let b = memo
        .get_or_compute("lock:x", || async { Ok::<_, Infallible>("lock:x".into()) })
        .await;
    assert_eq!((a.unwrap(), b.unwrap()), ("x".into(), "lock:x".into()));
    let mut keys = world.redis.keys();
    keys.sort();
    assert_eq!(keys, ["likes:lock:x", "likes:x"]);
    let empty = memo
        .get_or_compute("", || async { Ok::<_, Infallible>(Bytes::new()) })
        .await;
    assert!(matches!(empty, Err(error) if error.cause() == Some(&KeyError::EmptyId)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_our_envelope_survives_and_what_only_begins_like_it_is_absent() {
    let world = World::new().await;
    let [here, there, ..] = &world.nodes[..] else {
        panic!("too few nodes");
    };
    for rest in [&b""[..], b"\0", b"\x01", b"and more", &ENVELOPE] {
        let value: Bytes = [&ENVELOPE, rest].concat().into();
        let computed = value.clone();
        let compute = move || async move { Ok::<_, Infallible>(computed) };
        assert_eq!(here.get_or_compute("a", compute).await.unwrap(), value);
        assert_eq!(there.get("a").await.unwrap(), Some(value));
        here.invalidate("a").await.unwrap();
    }
    // This crate alone writes these sixteen bytes. What cannot be read counts as absent, and is computed anew.
    let foreign = [&ENVELOPE[..], b"\x07 foreign"].concat();
    let () = world.say("SET", [&b"likes:a"[..], &foreign]).await;
    assert_eq!(there.get("a").await.unwrap(), None);
    assert_eq!(there.stats().rejected, 1);
    let ours = Ours::default();
    let (value, _) = agreed(ours.ask(&world.nodes, "a", Duration::ZERO)).await;
    assert_eq!(value, "ours 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_ours_and_plain_commands_agree_on_names() {
    let world = World::new().await;
    let store = world.redis.store().await;
    let memo = MemoLock::new(store, "a/b").lease(Duration::from_secs(30));
    let monitor = world.redis.monitor();
    let value = memo
        .get_or_compute("id", || async { Ok::<_, Infallible>("v".into()) })
        .await;
    assert_eq!(value.unwrap(), "v");
    let commands = monitor.commands();
    let set = commands.iter().find(|args| args[0] == "SET").expect("a lock");
    assert_eq!(set[1], "a/b/lock:id");
    assert_eq!(world.get("a/b:id").await.unwrap(), b"v");
}
