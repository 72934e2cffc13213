//! What an invalidation does besides.

use std::time::Duration;

use super::server::Server;
use super::{address, eventually, notice, reread};
use crate::error::StoreErrorKind;
use crate::key::{Label, Tag};
use crate::store::{Notice, Stamp, Standing, Store, Token};

#[tokio::test]
async fn the_next_connection_is_waited_for() {
    let (server, at) = (Server::start().await, address("a"));
    let (store, token, lease) = (server.store().await, Token::random(), Duration::from_secs(20));
    store.acquire(&at, token, lease).await.unwrap();
    server.run::<u32>("CLIENT KILL TYPE normal SKIPME yes").await;
    store.invalidate(&at).await.unwrap();
    assert_eq!(store.stats().deferred_invalidations, 0);
    assert!(!store.renew(&at, token, lease).await.unwrap().is_held());
}

#[tokio::test]
async fn a_full_server_forgets_all_generations_unless_the_invalidation_is_soft() {
    let (server, tag) = (Server::start().await, Tag::from_literal("t"));
    let store = server.store().await;
    let [one, other] = ["a", "b"].map(|label| Label::new(label).unwrap());
    let stamp = Stamp::new(store.generation(&tag).await.unwrap(), vec![other]);
    server.run::<()>("CONFIG SET maxmemory-policy noeviction").await;
    server.run::<()>("CONFIG SET maxmemory 1").await;
    let soft = store.soften_labels(&tag, std::slice::from_ref(&one)).await.unwrap_err();
    assert_eq!(soft.kind(), StoreErrorKind::Pending);
    // A pending invalidation is a hard one.
    eventually(async || (store.stats().pending_invalidations == 0).then_some(())).await;
    assert_eq!(store.standing(&tag, &stamp).await.unwrap(), Standing::Outdated);
    store.invalidate_labels(&tag, &[one]).await.unwrap();
}

#[tokio::test]
async fn a_soft_one_is_heard_where_other_members_of_the_family_are() {
    let server = Server::start().await;
    let store = server.store().await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    store.soften(&address("a")).await.unwrap();
    assert!(matches!(notice(&mut watch).await, Notice::Invalidated));
}
