//! The connection for large values.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::address;
use super::scripted::{ScriptedServer, bulk};
use crate::store::redis::large::LARGE;
use crate::store::{RedisStore, Store};

#[tokio::test]
async fn a_connection_on_which_the_server_cannot_serve_is_replaced() {
    let at = address("a");
    for (answer, connections) in [("-LOADING it", 3), ("-READONLY it", 3), ("-ERR it", 2)] {
        let is_refused = Arc::<AtomicBool>::default();
        let refuses = Arc::clone(&is_refused);
        let large = bulk(&"v".repeat(LARGE));
        let server = ScriptedServer::start(move |words| {
            let answer = match refuses.load(Ordering::Relaxed) {
                true => format!("{answer}\r\n"),
                false => large.clone(),
            };
            (words[0] == "GET" && words[1] == "t:a").then_some(answer)
        })
        .await;
        let store = RedisStore::connect(&format!("{}/3", server.url())).await.unwrap();
        // The first one shows that it is large.
        for _ in 0..2 {
            assert!(store.lookup(&at).await.unwrap().is_some());
        }
        let greetings = || server.heard(|words| words.join(" ") == "SELECT 3");
        assert_eq!(greetings(), 2, "{answer}");
        is_refused.store(true, Ordering::Relaxed);
        store.lookup(&at).await.unwrap_err();
        is_refused.store(false, Ordering::Relaxed);
        assert!(store.lookup(&at).await.unwrap().is_some());
        assert_eq!(greetings(), connections, "{answer}");
    }
}
