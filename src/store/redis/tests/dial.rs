//! What a server says to its greeting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::scripted::{ScriptedServer, hello};
use crate::error::StoreErrorKind;
use crate::key::Tag;
use crate::store::RedisStore;
use crate::store::redis::conn::address::ServerUrl;
use crate::store::redis::conn::connection::Connection;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::DialError;

const LONG: Duration = Duration::from_secs(9);

/// A server that answers this command in this way.
async fn answering(name: &'static str, answer: &'static str) -> ScriptedServer {
    ScriptedServer::start(move |words| (words[0] == name).then(|| format!("{answer}\r\n"))).await
}

fn dialer(server: &ScriptedServer, login: &str, database: &str) -> Dialer {
    let url = server.url().replacen("//", &format!("//{login}"), 1) + database;
    Dialer::new(ServerUrl::read(&url).unwrap(), LONG, LONG)
}

/// The name of the error.
fn name(outcome: Result<Connection, DialError>) -> String {
    let text = outcome
        .err()
        .map_or_else(|| "None".to_owned(), |error| format!("{error:?}"));
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_error_in_the_greeting_says_whether_to_try_again() {
    for (command, answer, expected) in [
        ("PING", "-LOADING Redis is loading the dataset in memory", "Unreachable"),
        ("PING", "-MASTERDOWN Link with MASTER is down", "Unreachable"),
        ("PING", "-ERR max number of clients reached", "Unreachable"),
        ("PING", "-NOAUTH Authentication required.", "PasswordMissing"),
        ("PING", "-DENIED Redis is running in protected mode", "Protected"),
        ("PING", "-NOPERM this user has no permissions", "None"),
        ("PING", "-MISCONF Redis is configured to save", "None"),
        ("AUTH", "-WRONGPASS invalid username-password pair", "Credentials"),
        ("AUTH", "-LOADING Redis is loading the dataset in memory", "Unreachable"),
        ("SELECT", "-ERR DB index is out of range", "Database"),
        ("SELECT", "-NOPERM this user has no permissions", "Denied"),
    ] {
        let server = answering(command, answer).await;
        let dialled = dialer(&server, "node:pw@", "/3").commands().await;
        assert_eq!(name(dialled), expected, "{command} {answer}");
    }
}

#[tokio::test]
async fn an_error_in_the_greeting_of_the_other_connection_says_the_same() {
    for (answer, expected) in [
        ("-NOPROTO unsupported protocol version", "Unreachable"),
        (
            "-NOAUTH HELLO must be called with the client already authenticated",
            "PasswordMissing",
        ),
        ("-DENIED Redis is running in protected mode", "Protected"),
    ] {
        let server = answering("HELLO", answer).await;
        let dialled = dialer(&server, "", "").notifications(Arc::new(drop)).await;
        assert_eq!(name(dialled), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_server_is_told_what_the_url_says_and_nothing_else() {
    for (login, database, commands, notifications) in [
        ("", "", "PING", "HELLO 3"),
        (":pw@", "", "AUTH pw|PING", "HELLO 3 AUTH default pw"),
        ("me:pw@", "/3", "AUTH me pw|SELECT 3|PING", "HELLO 3 AUTH me pw"),
    ] {
        let server = answering("", "").await;
        let dialer = dialer(&server, login, database);
        dialer.commands().await.unwrap();
        assert_eq!(server.all_heard(), commands.split('|').collect::<Vec<_>>(), "{login}");
        let before = server.all_heard().len();
        dialer.notifications(Arc::new(drop)).await.unwrap();
        assert_eq!(server.all_heard()[before..], [notifications], "{login}");
    }
}

#[tokio::test]
async fn a_node_of_a_cluster_is_asked_what_it_is_on_both_connections() {
    let server = ScriptedServer::start(|words| (words[0] == "HELLO").then(|| hello("master"))).await;
    let dialer = dialer(&server, "", "");
    dialer.commands().await.unwrap();
    let node = dialer.master_at(&server.endpoint());
    assert!(node.is_in_cluster() && !dialer.is_in_cluster());
    assert_eq!(name(node.commands().await), "NotCluster");
    assert_eq!(name(node.notifications(Arc::new(drop)).await), "NotCluster");
}

#[tokio::test]
async fn a_store_goes_on_without_the_other_connection_unless_an_operator_has_to_repair_it() {
    let tag = Tag::from_literal("t");
    for (answer, kind) in [
        ("-NOPROTO unsupported protocol version", None),
        ("-NOAUTH Authentication required.", Some(StoreErrorKind::Rejected)),
    ] {
        let is_refused = Arc::<AtomicBool>::default();
        let refuses = Arc::clone(&is_refused);
        let server = ScriptedServer::start(move |words| {
            let is_refused = words[0] == "HELLO" && refuses.load(Ordering::Relaxed);
            is_refused.then(|| format!("{answer}\r\n"))
        })
        .await;
        let store = RedisStore::connect(&server.url()).await.unwrap();
        store.check(&tag).await.unwrap();
        is_refused.store(true, Ordering::Relaxed);
        let refused = store.check(&tag).await.unwrap_err();
        assert_eq!(refused.kind(), kind.unwrap_or(StoreErrorKind::Unavailable), "{answer}");
        let connected = RedisStore::connect(&server.url()).await;
        assert_eq!(connected.err().map(|error| error.kind()), kind, "{answer}");
    }
}
