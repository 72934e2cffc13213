//! What an invalidation in a Redis Cluster waits for, and which is refused.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::scripted::{ScriptedServer, array, bulk};
use super::{address, private_address};
use crate::error::StoreErrorKind;
use crate::store::{RedisStore, Store};

const LAG: Duration = Duration::from_millis(300);

/// A node that has all slots, and refuses to tell the processes with near copies of an invalidation.
async fn node() -> ScriptedServer {
    let port = Arc::<OnceLock<u16>>::default();
    let own = Arc::clone(&port);
    let server = ScriptedServer::start(move |words| {
        let is_notice = words.get(3).is_some_and(|key| key == "t/gen:{t}/near");
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["HELLO", ..] => {
                let fields = ["version", "7.2.0", "mode", "cluster", "role", "master"];
                Some(array(&fields.map(bulk)))
            }
            ["CLUSTER", "INFO"] => Some(bulk("cluster_state:ok\r\ncluster_current_epoch:1\r\n")),
            ["CLUSTER", "SLOTS"] => {
                let node = array(&[bulk("127.0.0.1"), format!(":{}\r\n", own.get().unwrap()), bulk("id")]);
                Some(array(&[array(&[":0\r\n".to_owned(), ":16383\r\n".to_owned(), node])]))
            }
            ["EVALSHA", ..] if is_notice => Some("-ERR no\r\n".to_owned()),
            _ => None,
        }
    })
    .await;
    port.set(server.endpoint().1).unwrap();
    server
}

#[tokio::test]
async fn an_invalidation_of_which_no_process_could_be_told_waits_until_no_lease_is_left() {
    let node = node().await;
    let builder = RedisStore::cluster([node.url()]).near(1 << 20).near_lag(LAG);
    let store = builder.require_connected().connect().await.unwrap();
    let since = Instant::now();
    store.invalidate(&private_address()).await.unwrap();
    assert!(since.elapsed() >= LAG);
}

#[tokio::test]
async fn an_invalidation_that_no_node_could_ever_do_is_refused_and_not_kept() {
    let node = node().await;
    let store = RedisStore::cluster([node.url()]).connect().await.unwrap();
    let refused = store.invalidate(&address("a")).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Config);
    assert_eq!(store.stats().pending_invalidations, 0);
}
