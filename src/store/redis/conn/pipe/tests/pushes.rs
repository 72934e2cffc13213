use tokio::sync::mpsc;

use super::*;
use crate::store::redis::resp::PushKind;

/// A connection for subscriptions, and what its handler hears.
fn hearing() -> (Pipe, DuplexStream, JoinHandle<()>, mpsc::UnboundedReceiver<Push>) {
    let (ours, server) = duplex(1 << 16);
    let (sender, heard) = mpsc::unbounded_channel();
    let handler: PushHandler = Arc::new(move |push| drop(sender.send(push)));
    let (pipe, driver) = Pipe::new(ours, Some(handler));
    (pipe, server, tokio::spawn(driver), heard)
}

fn about(name: &str, channel: &str) -> Command {
    let mut command = Command::new(name);
    command.arg(channel);
    command
}

fn pushed(kind: &str, channel: &str) -> String {
    format!(
        ">3\r\n${}\r\n{kind}\r\n${}\r\n{channel}\r\n:1\r\n",
        kind.len(),
        channel.len()
    )
}

#[tokio::test]
async fn a_push_confirms_a_subscription_and_is_no_answer_to_anything_else() {
    let (pipe, mut server, _driver, mut heard) = hearing();
    pipe.tell(&about("SSUBSCRIBE", "a")).await.unwrap();
    let refused = pipe.subscribe(&about("SUBSCRIBE", "b"));
    let confirmed = pipe.subscribe(&about("sunsubscribe", "c"));
    let (ping, last) = (pipe.send(&Command::new("PING")), pipe.send(&get("x")));
    let sent = [
        about("SSUBSCRIBE", "a"),
        about("SUBSCRIBE", "b"),
        about("sunsubscribe", "c"),
        Command::new("PING"),
        get("x"),
    ];
    take_in(&mut server, &sent).await;
    let pushes = [
        // Unasked for: a slot has left the server, and a channel has a message.
        pushed("sunsubscribe", "c"),
        pushed("message", "b"),
        pushed("ssubscribe", "a"),
        "-NOPERM b\r\n".to_owned(),
        pushed("ssubscribe", "c"),
        pushed("sunsubscribe", "c"),
        // Once more, while another command is next.
        pushed("sunsubscribe", "c"),
        "+PONG\r\n".to_owned(),
        pushed("subscribe", "b"),
        "$1\r\nX\r\n".to_owned(),
    ];
    server.write_all(pushes.concat().as_bytes()).await.unwrap();
    assert!(matches!(refused.await.unwrap(), Reply::ServerError(error) if error.code() == "NOPERM"));
    assert_eq!(confirmed.await.unwrap(), Reply::Okay);
    assert_eq!(ping.await.unwrap(), Reply::SimpleString("PONG".to_owned()));
    assert_eq!(last.await.unwrap(), text("X"));
    let mut kinds = Vec::new();
    while let Ok(push) = heard.try_recv() {
        kinds.push(push.kind);
    }
    use PushKind::{Message, SSubscribe, SUnsubscribe, Subscribe};
    let expected = [
        SUnsubscribe,
        Message,
        SSubscribe,
        SSubscribe,
        SUnsubscribe,
        SUnsubscribe,
        Subscribe,
    ];
    assert_eq!(kinds, expected);
    drop(server);
    assert_eq!(heard.recv().await.unwrap().kind, PushKind::Disconnection);
}

#[tokio::test]
async fn an_answer_in_the_place_of_a_confirmation_closes_the_connection() {
    let (pipe, mut server, driver, _heard) = hearing();
    pipe.tell(&about("SUBSCRIBE", "a")).await.unwrap();
    let (first, second) = (pipe.send(&get("x")), pipe.send(&get("y")));
    take_in(&mut server, &[about("SUBSCRIBE", "a"), get("x"), get("y")]).await;
    server.write_all(b"$1\r\nX\r\n$1\r\nY\r\n").await.unwrap();
    assert!(first.await.is_err() && second.await.is_err());
    driver.await.unwrap();
}

#[tokio::test]
async fn a_caller_whose_confirmation_is_another_answer_learns_of_it() {
    let (pipe, mut server, driver, _heard) = hearing();
    let (first, second) = (pipe.subscribe(&about("SUBSCRIBE", "a")), pipe.send(&get("x")));
    take_in(&mut server, &[about("SUBSCRIBE", "a"), get("x")]).await;
    server.write_all(b"+OK\r\n").await.unwrap();
    assert!(first.await.is_err() && second.await.is_err());
    driver.await.unwrap();
}

#[tokio::test]
async fn a_caller_that_waits_for_a_confirmation_learns_of_the_end() {
    let (pipe, mut server, _driver, _heard) = hearing();
    let waiting = pipe.subscribe(&about("SUBSCRIBE", "a"));
    take_in(&mut server, &[about("SUBSCRIBE", "a")]).await;
    server.write_all(b"?\r\n").await.unwrap();
    let error = waiting.await.unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::InvalidData));
}

#[tokio::test]
async fn a_push_about_another_channel_or_of_another_kind_confirms_nothing() {
    for other in [pushed("subscribe", "b"), pushed("unsubscribe", "a")] {
        let (pipe, mut server, _driver, _heard) = hearing();
        let (refused, next) = (pipe.subscribe(&about("SUBSCRIBE", "a")), pipe.send(&get("x")));
        take_in(&mut server, &[about("SUBSCRIBE", "a"), get("x")]).await;
        let answers = other + "-NOPERM a\r\n$1\r\nX\r\n";
        server.write_all(answers.as_bytes()).await.unwrap();
        assert!(matches!(refused.await.unwrap(), Reply::ServerError(error) if error.code() == "NOPERM"));
        assert_eq!(next.await.unwrap(), text("X"));
    }
}

#[tokio::test]
async fn what_is_told_is_sent_although_no_caller_waits() {
    let (pipe, mut server, _driver, _heard) = hearing();
    drop(pipe.tell(&about("SUBSCRIBE", "a")));
    drop(pipe.subscribe(&about("SUBSCRIBE", "b")));
    let last = pipe.send(&get("x"));
    take_in(&mut server, &[about("SUBSCRIBE", "a"), get("x")]).await;
    let answers = pushed("subscribe", "a") + "$1\r\nX\r\n";
    server.write_all(answers.as_bytes()).await.unwrap();
    assert_eq!(last.await.unwrap(), text("X"));
}
