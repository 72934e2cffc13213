//! Where the sentinels say that the master is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::DEADLINE;
use super::scripted::{ScriptedServer, array, bulk, hello};
use super::server::free_port;
use crate::store::redis::conn::address::{Endpoint, ServerUrl};
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::DialError;
use crate::store::redis::conn::sentinel::Sentinels;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

fn is_question(words: &[String]) -> bool {
    words.join(" ") == "SENTINEL GET-MASTER-ADDR-BY-NAME m"
}

fn dialer(url: &str) -> Dialer {
    Dialer::new(ServerUrl::read(url).unwrap(), LONG, LONG)
}

/// One that answers the question in this way.
async fn sentinel(answer: String) -> ScriptedServer {
    ScriptedServer::start(move |words| is_question(words).then(|| answer.clone())).await
}

/// One that says that the master is there.
async fn naming((host, port): &Endpoint) -> ScriptedServer {
    sentinel(array(&[bulk(host), bulk(&port.to_string())])).await
}

fn all<'a>(sentinels: impl IntoIterator<Item = &'a ScriptedServer>) -> Arc<Sentinels> {
    let dialers = sentinels.into_iter().map(|server| dialer(&server.url()));
    Arc::new(Sentinels::new("m".to_owned(), dialers))
}

fn place(port: u16) -> Endpoint {
    ("10.0.0.1".to_owned(), port)
}

#[tokio::test]
async fn the_place_that_most_name_comes_first() {
    let (a, b, c) = (place(1), place(2), place(3));
    for named in [[&a, &b, &b, &c], [&b, &b, &a, &c], [&c, &a, &b, &b]] {
        let mut servers = Vec::new();
        for place in named {
            servers.push(naming(place).await);
        }
        let candidates = all(&servers).candidates().await.unwrap();
        assert_eq!((candidates.first(), candidates.len()), (Some(&b), 3));
    }
}

#[tokio::test]
async fn more_than_half_are_enough_and_half_are_not() {
    let (a, b) = (place(1), place(2));
    let servers = [naming(&a).await, naming(&a).await, naming(&b).await];
    // It never answers.
    servers[2].hold(is_question);
    let sentinels = all(&servers);
    let candidates = timeout(DEADLINE, sentinels.candidates())
        .await
        .expect("an answer in time");
    assert_eq!(candidates.unwrap().as_slice(), std::slice::from_ref(&a));

    let servers = [naming(&a).await, naming(&b).await];
    let held = servers[1].hold(is_question);
    let sentinels = all(&servers);
    let late = async {
        held.asked().await;
        held.answer();
    };
    let (candidates, ()) = tokio::join!(sentinels.candidates(), late);
    assert_eq!(candidates.unwrap(), [a, b]);
}

#[tokio::test]
async fn an_error_that_an_operator_has_to_repair_is_the_one_that_is_told() {
    let down = format!("redis://127.0.0.1:{}", free_port());
    let unknown = sentinel("*-1\r\n".to_owned()).await;
    for [first, second] in [[down.clone(), unknown.url()], [unknown.url(), down.clone()]] {
        let sentinels = Sentinels::new("m".to_owned(), [dialer(&first), dialer(&second)]);
        let error = sentinels.candidates().await.unwrap_err();
        assert!(matches!(&error, DialError::Sentinels(Some(cause)) if matches!(**cause, DialError::UnknownMaster(_))));
        assert!(error.is_permanent());
    }
    let error = Sentinels::new("m".to_owned(), [dialer(&down)])
        .candidates()
        .await
        .unwrap_err();
    assert!(!error.is_permanent());
}

#[tokio::test]
async fn a_permanent_error_stays_the_one_that_is_told_whatever_comes_later() {
    let [unknown, late] = [sentinel("*-1\r\n".to_owned()).await, sentinel(String::new()).await];
    let holds = [&unknown, &late].map(|server| server.hold(is_question));
    let sentinels = all([&unknown, &late]);
    let hang_up = async {
        for hold in &holds {
            hold.asked().await;
            hold.answer();
        }
    };
    let (candidates, ()) = tokio::join!(sentinels.candidates(), hang_up);
    assert!(candidates.unwrap_err().is_permanent());
}

#[tokio::test]
async fn what_is_no_sentinel_is_told_from_one_that_knows_no_master() {
    let host = bulk("10.0.0.1");
    for (answer, is_known) in [
        ("-ERR unknown command\r\n".to_owned(), false),
        ("+OK\r\n".to_owned(), false),
        (array(std::slice::from_ref(&host)), false),
        (array(&[host.clone(), bulk("x")]), false),
        (array(&[host.clone(), bulk("6379"), bulk("1")]), false),
        (array(&[host, bulk("6379")]), true),
    ] {
        let server = sentinel(answer.clone()).await;
        match all([&server]).candidates().await {
            Ok(candidates) => assert!(is_known && candidates == [place(6379)], "{answer}"),
            Err(DialError::Sentinels(Some(cause))) => {
                assert!(!is_known && matches!(*cause, DialError::NoSentinel(_)), "{answer}");
            }
            Err(other) => panic!("{answer} {other}"),
        }
    }
}

#[tokio::test]
async fn a_connection_to_a_sentinel_is_kept_as_long_as_it_answers() {
    let server = naming(&place(1)).await;
    let sentinels = all([&server]);
    let greetings = || server.heard(|words| words[0] == "PING");
    for _ in 0..3 {
        sentinels.candidates().await.unwrap();
    }
    assert_eq!((greetings(), server.heard(is_question)), (1, 3));

    let server = sentinel(String::new()).await;
    let sentinels = all([&server]);
    for time in 1..=2 {
        assert!(!sentinels.candidates().await.unwrap_err().is_permanent());
        assert_eq!(server.heard(|words| words[0] == "PING"), time);
    }
}

#[tokio::test]
async fn a_server_that_is_named_and_is_no_master_is_passed_over() {
    let server = |role| ScriptedServer::start(move |words| (words[0] == "HELLO").then(|| hello(role)));
    let (demoted, master) = (server("slave").await, server("master").await);
    let [of_demoted, of_master, other] = [
        naming(&demoted.endpoint()).await,
        naming(&master.endpoint()).await,
        naming(&("127.0.0.1".to_owned(), free_port())).await,
    ];
    for (likeliest, is_for_commands) in [
        (&of_demoted, true),
        (&of_demoted, false),
        (&of_master, true),
        (&of_master, false),
    ] {
        let sentinels = all([&of_demoted, &of_master, &other, likeliest]);
        let dialer = dialer("redis://nowhere").through(Arc::clone(&sentinels));
        assert!(sentinels.is_at(&demoted.endpoint()), "none was seen yet");
        let connection = match is_for_commands {
            true => dialer.commands().await,
            false => dialer.notifications(Arc::new(drop)).await,
        };
        let connection = connection.unwrap();
        assert_eq!(connection.endpoint(), Some(master.endpoint()));
        assert!(sentinels.is_at(&master.endpoint()) && !sentinels.is_at(&demoted.endpoint()));
        let answer = connection.send(&dialer.heartbeat()).await.unwrap();
        dialer.check(&connection, &answer).unwrap();
        // The other connection has found the master elsewhere.
        sentinels.saw(demoted.endpoint());
        assert!(matches!(dialer.check(&connection, &answer), Err(DialError::NotMaster)));
    }
    let sentinels = all([&of_demoted]);
    let dialer = dialer("redis://nowhere").through(Arc::clone(&sentinels));
    assert!(matches!(dialer.commands().await, Err(DialError::NotMaster)));
    assert!(matches!(
        dialer.notifications(Arc::new(drop)).await,
        Err(DialError::NotMaster)
    ));
    assert!(sentinels.is_at(&demoted.endpoint()) && sentinels.is_at(&master.endpoint()));
}
