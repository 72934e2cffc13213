use std::time::Duration;

use super::server::Server;
use super::{address, eventually, notice, private_address, reread};
use crate::error::RemoteError;
use crate::store::{Notice, Release, Stamp, Store, Token, Value};

const LEASE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_commit_reaches_all_who_watch_on_any_node() {
    let server = Server::start().await;
    let (here, there) = (server.store().await, server.store().await);
    let (at, token) = (address("a"), Token::random());
    let mut watches = [here.watch(&at), here.watch(&at), there.watch(&at)];
    for watch in &mut watches {
        reread(watch).await;
    }
    here.acquire(&at, token, LEASE).await.unwrap();
    let value = Value::encoded("v");
    here.commit(&at, token, &value, LEASE).await.unwrap();
    for watch in &mut watches {
        // Programs with another database may publish there, too.
        assert!(matches!(notice(watch).await, Notice::Announced));
        let value = there.lookup(&at).await.unwrap().unwrap();
        assert_eq!(value.bytes().unwrap(), "v");
    }
}

#[tokio::test]
async fn a_value_over_the_inline_limit_is_announced_and_read_from_its_key() {
    let server = Server::start().await;
    let store = server.builder().inline_limit(3).connect().await.unwrap();
    let (common, private) = (address("a"), private_address());
    for (at, text, inline) in [
        (&private, "abc", true),
        (&private, "abcd", false),
        (&common, "abc", false),
    ] {
        let mut watch = store.watch(at);
        reread(&mut watch).await;
        let token = Token::random();
        store.acquire(at, token, LEASE).await.unwrap();
        let value = Value::encoded(text);
        assert!(store.commit(at, token, &value, LEASE).await.unwrap());
        match notice(&mut watch).await {
            Notice::Stored(value) if inline => assert_eq!(value.bytes().unwrap(), text),
            Notice::Announced if !inline => {}
            other => panic!("{other:?}"),
        }
        let found = store.lookup(at).await.unwrap().unwrap();
        assert_eq!(found.bytes().unwrap(), text);
    }
}

#[tokio::test]
async fn every_release_and_an_invalidation_are_heard() {
    let server = Server::start().await;
    let store = server.store().await;
    let at = private_address();
    let mut watch = store.watch(&at);
    reread(&mut watch).await;
    for reason in [
        Release::Abandoned,
        Release::Pass,
        Release::Shared(Value::encoded("v")),
        Release::Failed(RemoteError::new("no cheese")),
    ] {
        let token = Token::random();
        store.acquire(&at, token, LEASE).await.unwrap();
        assert!(store.release(&at, token, reason.clone()).await.unwrap());
        let Notice::Released(heard) = notice(&mut watch).await else {
            panic!("no release");
        };
        assert_eq!(format!("{heard:?}"), format!("{reason:?}"));
    }
    store.invalidate(&at).await.unwrap();
    assert!(matches!(notice(&mut watch).await, Notice::Invalidated));
}

#[tokio::test]
async fn other_members_of_the_family_resolve_promises() {
    let server = Server::start().await;
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    server.run::<()>("PUBLISH t/ctl:a gibberish").await;
    server.run::<()>("PUBLISH t/notif:a foreign").await;
    assert!(matches!(notice(&mut watch).await, Notice::Announced));
}

#[tokio::test]
async fn subscriptions_last_as_long_as_a_watch_is_there() {
    let server = Server::start().await;
    let store = server.store().await;
    let channels = async || server.run::<Vec<String>>("PUBSUB CHANNELS").await.len();
    let mut watches: Vec<_> = (0..1000).map(|i| store.watch(&address(&i.to_string()))).collect();
    for watch in &mut watches {
        reread(watch).await;
    }
    assert_eq!(channels().await, 2000);
    drop(watches);
    eventually(async || (channels().await == 0).then_some(())).await;
}

#[tokio::test]
async fn watching_again_and_again_ends_in_a_live_subscription() {
    let server = Server::start().await;
    let store = server.store().await;
    let at = address("a");
    for round in 0..200 {
        let mut watch = store.watch(&at);
        if round % 3 == 0 {
            reread(&mut watch).await;
            store.invalidate(&at).await.unwrap();
            assert!(matches!(notice(&mut watch).await, Notice::Invalidated));
        }
    }
}

#[tokio::test]
async fn a_user_without_the_channels_is_told_to_read() {
    let server = Server::start().await;
    let rules = "ACL SETUSER node on >secret ~* +@all resetchannels";
    server.run::<()>(rules).await;
    let store = crate::RedisStore::connect(&server.url_for("node:secret@"))
        .await
        .unwrap();
    reread(&mut store.watch(&address("a"))).await;
}

/// A value with an envelope is not published as a promise, so nothing else reaches the watchers.
#[tokio::test]
async fn a_large_result_with_a_stamp_is_kept_under_any_id() {
    let server = Server::start().await;
    let store = server.builder().inline_limit(3).connect().await.unwrap();
    for at in [address("a"), private_address()] {
        let mut watch = store.watch(&at);
        reread(&mut watch).await;
        let token = Token::random();
        store.acquire(&at, token, LEASE).await.unwrap();
        let stamp = Stamp::new(
            store.generation(&crate::key::Tag::from_literal("t")).await.unwrap(),
            Vec::new(),
        );
        let value = Value::encoded("abcd").stamped(stamp);
        assert!(store.release(&at, token, Release::Shared(value)).await.unwrap());
        let heard = loop {
            match notice(&mut watch).await {
                Notice::Announced => {}
                other => break other,
            }
        };
        let Notice::Kept(token) = heard else {
            panic!("{heard:?}");
        };
        let kept = store.kept(&at, token).await.unwrap().expect("what is kept");
        assert!(kept.stamp().is_some());
        assert!(store.lookup(&at).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_value_that_closed_the_connection_is_not_shared_either() {
    let server = Server::start().await;
    server.run::<()>("CONFIG SET proto-max-bulk-len 1mb").await;
    let store = server.store().await;
    let value = Value::encoded(vec![b' '; 2 << 20]);
    for (id, committed) in [("a", true), ("b", false)] {
        let (at, token) = (address(id), Token::random());
        store.acquire(&at, token, LEASE).await.unwrap();
        let reconnects = store.stats().commands.reconnects;
        let refused = if committed {
            store.commit(&at, token, &value, LEASE).await.map(drop)
        } else {
            store
                .release(&at, token, Release::Shared(value.clone()))
                .await
                .map(drop)
        };
        assert_eq!(refused.unwrap_err().kind(), crate::StoreErrorKind::Timeout);
        // The connection for all other commands did not carry it.
        store.acquire(&at, token, LEASE).await.unwrap();
        assert_eq!(store.stats().commands.reconnects, reconnects);
        let refused = store.commit(&at, token, &value, LEASE).await.unwrap_err();
        assert_eq!(refused.kind(), crate::StoreErrorKind::Rejected);
        let released = store.release(&at, token, Release::Shared(value.clone())).await;
        assert!(released.unwrap());
        assert_eq!(store.stats().commands.reconnects, reconnects);
    }
}
