//! More invalidations were pending than are kept one by one.

use std::time::Duration;

use super::server::Server;
use super::{address, eventually};
use crate::error::StoreErrorKind;
use crate::key::Tag;
use crate::store::parts::{Appended, Part, PartId, Parts};
use crate::store::redis::backlog::Debt;
use crate::store::{Purge, RedisStore, Release, Store, Token, Value};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn all_under_a_tag_is_removed_and_nothing_else() {
    let server = Server::start().await;
    let store = server.store().await;
    for name in ["t:a", "t:{GET b}", "tt:a", "u:a", "u:t:a"] {
        redis::cmd("SET")
            .arg(name)
            .arg("v")
            .exec_async(&mut server.raw().await)
            .await
            .unwrap();
    }
    let mut many = redis::pipe();
    for number in 0..2500 {
        many.set(format!("t:{number}"), "v").ignore();
    }
    many.exec_async(&mut server.raw().await).await.unwrap();
    let token = Token::random();
    store.acquire(&address("led"), token, LEASE).await.unwrap();
    store.generation(&Tag::new("t").unwrap()).await.unwrap();
    store
        .deliver(Debt::Tag(Tag::new("t").unwrap()), Purge::Hard)
        .await
        .unwrap();
    let mut left: Vec<String> = server.run("KEYS *").await;
    left.sort();
    assert_eq!(left, ["tt:a", "u:a", "u:t:a"]);
    assert!(!store.renew(&address("led"), token, LEASE).await.unwrap().is_held());
}

#[tokio::test]
async fn a_tag_is_out_of_use_until_it_can_be_searched() {
    let server = Server::start().await;
    let _: String = server.run("SET t:a v").await;
    let _: String = server
        .run("ACL SETUSER memo on >pw allkeys allchannels +@all -scan")
        .await;
    let store = RedisStore::connect(&server.url_for("memo:pw@")).await.unwrap();
    let tag = Tag::new("t").unwrap();
    let (led, token) = (address("led"), Token::random());
    store.acquire(&led, token, LEASE).await.unwrap();
    let error = store.deliver(Debt::Tag(tag.clone()), Purge::Hard).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Pending);
    let refused = store.lookup(&address("a")).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(store.generation(&tag).await.is_err());
    assert!(store.part(&address("a"), 0..1).await.is_err());
    assert!(store.acquire(&address("a"), Token::random(), LEASE).await.is_err());
    // Nor is a value under way read or added to.
    let (id, id_at) = (PartId::new(token), Part::ID_AT);
    let part = Part { id, token, id_at };
    assert!(store.find(&led, 9).await.is_err());
    assert!(store.read(&led, part, Token::random(), 0, 9).await.is_err());
    let appended = store.append(&led, part, 0, b"piece", LEASE).await.unwrap();
    assert_eq!(appended, Appended::Refused);
    // The leader still holds the lock, and may do no more than give it back.
    let value = Value::encoded("v");
    assert!(!store.renew(&led, token, LEASE).await.unwrap().is_held());
    assert!(!store.commit(&led, token, &value, LEASE).await.unwrap());
    assert!(!store.mark(&led, token, &value, LEASE).await.unwrap());
    assert!(!store.defer(&led, token, LEASE, 1).await.unwrap());
    assert!(!store.release(&led, token, Release::Shared(value)).await.unwrap());
    assert!(store.release(&led, token, Release::Pass).await.unwrap());
    assert!(store.generation(&Tag::new("u").unwrap()).await.is_ok());

    let _: String = server.run("ACL SETUSER memo +scan").await;
    let found = eventually(async || store.lookup(&address("a")).await.ok()).await;
    assert!(found.is_none());
    assert_eq!(store.stats().pending_invalidations, 0);
}
