use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, yield_now};

use super::*;

mod late;
mod pushes;

/// The other end of a connection, which takes in so many bytes before they are read.
fn piped(room: usize) -> (Pipe, DuplexStream, JoinHandle<()>) {
    let (ours, server) = duplex(room);
    let (pipe, driver) = Pipe::new(ours, None);
    (pipe, server, tokio::spawn(driver))
}

fn get(name: &str) -> Command {
    Command::get(name)
}

fn text(text: &str) -> Reply {
    Reply::BulkString(text.as_bytes().to_vec())
}

/// Reads as many bytes as these commands take.
async fn take_in(server: &mut DuplexStream, commands: &[Command]) {
    let expected: Vec<_> = commands.iter().flat_map(Command::packed).collect();
    let mut seen = vec![0; expected.len()];
    server.read_exact(&mut seen).await.unwrap();
    assert!(
        seen == expected,
        "{} and more",
        seen[..seen.len().min(99)].escape_ascii()
    );
}

#[tokio::test]
async fn each_gets_its_own_answer_and_who_has_left_takes_none_from_others() {
    let (pipe, mut server, _driver) = piped(1 << 16);
    let commands = ["a", "b", "c"].map(get);
    let [first, second, third] = commands.each_ref().map(|command| pipe.send(command));
    take_in(&mut server, &commands).await;
    drop(second);
    // Broken in the middle of an answer.
    server.write_all(b"$1\r\nA\r\n$1\r\nB\r").await.unwrap();
    assert_eq!(first.await.unwrap(), text("A"));
    server.write_all(b"\n$1\r\nC\r\n").await.unwrap();
    assert_eq!(third.await.unwrap(), text("C"));
}

#[tokio::test]
async fn what_a_caller_has_left_before_it_was_sent_is_not_sent() {
    let (pipe, mut server, _driver) = piped(1 << 16);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(get);
    let mut pipeline = Pipeline::default();
    pipeline.add(b.clone());
    pipeline.add(c.clone());
    let first = pipe.send(&a);
    drop((pipe.send(&b), pipe.send_all(&pipeline)));
    let several = pipe.send_all(&pipeline);
    drop(pipe.send(&c));
    let last = pipe.send(&d);
    take_in(&mut server, &[a.clone(), b, c, d]).await;
    server.write_all(b"+A\r\n+B\r\n+C\r\n+D\r\n").await.unwrap();
    assert_eq!(first.await.unwrap(), Reply::SimpleString("A".to_owned()));
    let replies = ["B", "C"].map(|text| Reply::SimpleString(text.to_owned()));
    assert_eq!(several.await.unwrap(), replies);
    assert_eq!(last.await.unwrap(), Reply::SimpleString("D".to_owned()));
    // Nor where there is nothing else, after which the driver waits for the next.
    drop(pipe.send(&a));
    yield_now().await;
    yield_now().await;
    let next = pipe.send(&a);
    take_in(&mut server, &[a]).await;
    server.write_all(b"+A\r\n").await.unwrap();
    assert_eq!(next.await.unwrap(), Reply::SimpleString("A".to_owned()));
}

#[tokio::test]
async fn several_commands_have_as_many_answers_and_errors_are_among_them() {
    let (pipe, mut server, _driver) = piped(1 << 16);
    let mut pipeline = Pipeline::default();
    pipeline.command("SET").arg("a").arg("1");
    pipeline.command("GET").arg("a");
    pipeline.command("PTTL").arg("a");
    let (several, one) = (pipe.send_all(&pipeline), pipe.send(&get("b")));
    let commands: Vec<_> = pipeline.iter().cloned().chain([get("b")]).collect();
    take_in(&mut server, &commands).await;
    server.write_all(b"-ERR no\r\n$-1\r\n").await.unwrap();
    server.write_all(b":-2\r\n+OK\r\n").await.unwrap();
    let replies = several.await.unwrap();
    assert!(
        matches!(&replies[..], [Reply::ServerError(_), Reply::Nil, Reply::Int(-2)]),
        "{replies:?}"
    );
    assert_eq!(one.await.unwrap(), Reply::Okay);
    assert_eq!(pipe.send_all(&Pipeline::default()).await.unwrap(), []);
}

#[tokio::test]
async fn an_answer_that_is_long_comes_whole() {
    let (pipe, mut server, _driver) = piped(1000);
    let long = "x".repeat(300_000);
    let (first, second) = (pipe.send(&get("a")), pipe.send(&get("b")));
    take_in(&mut server, &["a", "b"].map(get)).await;
    let answers = format!("${}\r\n{long}\r\n$1\r\nB\r\n", long.len());
    let sending = tokio::spawn(async move {
        server.write_all(answers.as_bytes()).await.unwrap();
        server
    });
    assert_eq!(first.await.unwrap(), text(&long));
    assert_eq!(second.await.unwrap(), text("B"));
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn what_a_get_brings_is_left_where_it_was_read_unless_it_is_long() {
    let (pipe, mut server, _driver) = piped(1 << 16);
    let [short, long, none, other] = ["short", "long", "none", "other"].map(get);
    let gets = ["short", "long", "none"].map(|name| pipe.get(name));
    let sent = pipe.send(&other);
    take_in(&mut server, &[short, long, none, other]).await;
    let content = "x".repeat(5000);
    let answers = format!("$1\r\nA\r\n$5000\r\n{content}\r\n$-1\r\n$1\r\nB\r\n");
    server.write_all(answers.as_bytes()).await.unwrap();
    let [short, long, none] = gets;
    assert!(matches!(short.await.unwrap(), GetReply::Lent(bytes) if bytes == "A"));
    assert!(matches!(long.await.unwrap(), GetReply::Other(reply) if reply == text(&content)));
    assert!(matches!(none.await.unwrap(), GetReply::Other(Reply::Nil)));
    assert_eq!(sent.await.unwrap(), text("B"));
}

#[tokio::test]
async fn what_no_command_has_asked_for_closes_the_connection() {
    for stray in ["+OK\r\n", ">1\r\n+x\r\n", "HTTP/1.1 400 Bad Request\r\n"] {
        let (pipe, mut server, driver) = piped(1 << 16);
        let first = pipe.send(&get("a"));
        take_in(&mut server, &[get("a")]).await;
        server.write_all(b"$1\r\nA\r\n").await.unwrap();
        assert_eq!(first.await.unwrap(), text("A"));
        server.write_all(stray.as_bytes()).await.unwrap();
        driver.await.unwrap();
        assert!(pipe.send(&get("b")).await.is_err(), "{stray}");
    }
}

#[tokio::test]
async fn all_who_wait_learn_of_the_end() {
    let (pipe, mut server, driver) = piped(1 << 16);
    let waiting = [pipe.send(&get("a")), pipe.send(&get("b"))];
    // The beginning of an answer is none.
    server.write_all(b"$1\r\n").await.unwrap();
    drop(server);
    for one in waiting {
        assert!(one.await.unwrap_err().is_hang_up());
    }
    driver.await.unwrap();
    assert!(pipe.send(&get("c")).await.unwrap_err().is_hang_up());
}

#[tokio::test]
async fn all_who_wait_learn_that_the_driver_is_gone() {
    let (pipe, _server, driver) = piped(1 << 16);
    let waiting = pipe.send(&get("a"));
    driver.abort();
    assert!(waiting.await.unwrap_err().is_hang_up());
    assert!(pipe.send(&get("b")).await.is_err());
}

/// A command that fills half of the room, and a connection that has no room left: one such command is being written,
/// and two have to wait for it.
async fn full() -> (
    Pipe,
    DuplexStream,
    JoinHandle<()>,
    Command,
    [Replying<'static, Reply>; 3],
) {
    let (pipe, server, driver) = piped(1000);
    let mut set = Command::new("SET");
    set.arg("a").arg(vec![0; MOST_WAITING / 2]);
    let first = pipe.send(&set);
    while !pipe.shared.queue().bytes.is_empty() {
        yield_now().await;
    }
    let sent = [first, pipe.send(&set), pipe.send(&set)];
    (pipe, server, driver, set, sent)
}

/// The server of a [`full`] connection reads again.
async fn make_room(server: &mut DuplexStream, set: &Command, sent: [Replying<'static, Reply>; 3]) {
    for one in sent {
        take_in(server, std::slice::from_ref(set)).await;
        server.write_all(b"+OK\r\n").await.unwrap();
        assert_eq!(one.await.unwrap(), Reply::Okay);
    }
}

#[tokio::test]
async fn a_server_that_does_not_read_holds_callers_back_and_not_more_memory() {
    let (pipe, mut server, driver, set, sent) = full().await;
    let [left, one, other] = [pipe.send(&set), pipe.send(&set), pipe.send(&set)].map(tokio::spawn);
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!(pipe.shared.queue().bytes.len(), 2 * set.packed().len());
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    make_room(&mut server, &set, sent).await;
    for one in [one, other] {
        take_in(&mut server, std::slice::from_ref(&set)).await;
        server.write_all(b"+OK\r\n").await.unwrap();
        assert_eq!(one.await.unwrap().unwrap(), Reply::Okay);
    }
    drop((pipe, server));
    driver.await.unwrap();
}

#[tokio::test]
async fn a_caller_that_waited_for_room_has_its_own_answer() {
    let (pipe, mut server, _driver, set, sent) = full().await;
    let value = tokio::spawn(pipe.get("b"));
    yield_now().await;
    make_room(&mut server, &set, sent).await;
    take_in(&mut server, &[get("b")]).await;
    server.write_all(b"$1\r\nB\r\n").await.unwrap();
    assert_eq!(Reply::from(value.await.unwrap().unwrap()), text("B"));

    let (pipe, mut server, _driver, set, sent) = full().await;
    let mut pipeline = Pipeline::default();
    pipeline.add(get("c"));
    pipeline.add(get("d"));
    let several = tokio::spawn(pipe.send_all(&pipeline));
    yield_now().await;
    make_room(&mut server, &set, sent).await;
    take_in(&mut server, &[get("c"), get("d")]).await;
    server.write_all(b"$1\r\nC\r\n$1\r\nD\r\n").await.unwrap();
    assert_eq!(several.await.unwrap().unwrap(), [text("C"), text("D")]);
}

#[tokio::test]
async fn all_who_wait_for_room_learn_of_the_end() {
    let (pipe, server, _driver, set, sent) = full().await;
    let waiting = [pipe.send(&set), pipe.send(&set), pipe.send(&set)].map(tokio::spawn);
    yield_now().await;
    drop(server);
    for one in sent {
        assert!(one.await.unwrap_err().is_hang_up());
    }
    for one in waiting {
        assert!(one.await.unwrap().unwrap_err().is_hang_up());
    }
}

#[tokio::test]
async fn an_answer_too_many_is_not_that_of_the_next_command() {
    let (pipe, mut server, driver) = piped(1 << 16);
    let first = pipe.send(&get("a"));
    take_in(&mut server, &[get("a")]).await;
    // All of it before the driver runs.
    server.write_all(b"$1\r\nA\r\n$1\r\nB\r\n").await.unwrap();
    let second = pipe.send(&get("b"));
    assert_eq!(first.await.unwrap(), text("A"));
    assert!(second.await.is_err());
    driver.await.unwrap();
}

#[tokio::test]
async fn nothing_behind_what_cannot_be_read_is_an_answer() {
    for broken in [
        ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n",
        "*2\r\n$1\r\nx\r\n>1\r\n+x\r\n",
        "%1\r\n+a\r\n+b\r\n",
        "$1\r\nxyz\r\n",
        "$9999999999\r\n",
        ":x\r\n",
        &format!("{}:1\r\n", "*1\r\n".repeat(200)),
    ] {
        let (pipe, mut server, driver) = piped(1 << 16);
        let commands = ["a", "b", "c"].map(get);
        let [first, second, third] = commands.each_ref().map(|command| pipe.send(command));
        take_in(&mut server, &commands).await;
        let answers = format!("$1\r\nA\r\n{broken}$1\r\nB\r\n$1\r\nC\r\n");
        server.write_all(answers.as_bytes()).await.unwrap();
        assert_eq!(first.await.unwrap(), text("A"));
        for one in [second, third] {
            // And not only that the connection is closed.
            let error = one.await.unwrap_err();
            assert!(!error.is_hang_up(), "{broken} {error}");
        }
        driver.await.unwrap();
    }
}
