use std::future::poll_fn;

use tokio::io::{AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::super::{Pipe, Replying};
use super::*;
use crate::store::redis::resp::Command;

/// What becomes of the answer if the driver runs once.
async fn poll_once<T>(driver: &mut PipeDriver<DuplexStream>, answer: &mut Replying<'_, T>) -> Option<T> {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *driver).poll(cx).is_pending());
        Poll::Ready(match Pin::new(&mut *answer).poll(cx) {
            Poll::Ready(reply) => Some(reply.unwrap()),
            Poll::Pending => None,
        })
    })
    .await
}

async fn answered<T>(driver: &mut PipeDriver<DuplexStream>, answer: &mut Replying<'_, T>) -> T {
    loop {
        if let Some(reply) = poll_once(driver, answer).await {
            return reply;
        }
        yield_now().await;
    }
}

/// Runs the driver until all that was asked is on its way, and takes it out of the way.
async fn ask(driver: &mut PipeDriver<DuplexStream>, server: &mut DuplexStream, len: usize) {
    let mut seen = vec![0; len];
    let mut reading = pin!(server.read_exact(&mut seen));
    poll_fn(|cx| {
        assert!(Pin::new(&mut *driver).poll(cx).is_pending());
        reading.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// Different for each, and of different lengths.
fn content(number: usize) -> String {
    let times = match number % 30 {
        // Of a buffer that has to grow for it.
        0 => 9000,
        _ => 1 + number * 37 % 800,
    };
    format!("{number} ").repeat(times)
}

#[tokio::test]
async fn what_callers_hold_stays_as_it_was_while_others_are_answered() {
    const AT_ONCE: usize = 20;
    let (ours, mut server) = duplex(1 << 20);
    let (pipe, mut driver) = Pipe::new(ours, None);
    let (mut held, mut most_used) = (VecDeque::new(), 0);
    for round in 0..60 {
        let numbers = round * AT_ONCE..(round + 1) * AT_ONCE;
        let mut waiting: VecDeque<_> = numbers.clone().map(|number| (number, pipe.get("a"))).collect();
        ask(&mut driver, &mut server, AT_ONCE * Command::get("a").packed().len()).await;
        let mut answers = Vec::new();
        for text in numbers.map(content) {
            answers.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
        }
        // Broken wherever it happens.
        for piece in answers.chunks(1 + round * 501) {
            server.write_all(piece).await.unwrap();
            while let Some((number, mut answer)) = waiting.pop_front() {
                let Some(reply) = poll_once(&mut driver, &mut answer).await else {
                    waiting.push_front((number, answer));
                    break;
                };
                held.push_back((number, reply));
            }
            most_used = most_used.max(driver.used.len());
        }
        assert!(waiting.is_empty());
        // Sometimes more is held than there are buffers for, and sometimes nothing.
        while held.len() > round * 97 % 300 {
            let (number, reply) = held.pop_front().unwrap();
            assert_eq!(
                Reply::from(reply),
                Reply::BulkString(content(number).into_bytes()),
                "{number}"
            );
        }
    }
    assert_eq!(most_used, MOST_USED);
}

/// What a `GET` brings whose answer has this content.
async fn bring(pipe: &Pipe, driver: &mut PipeDriver<DuplexStream>, server: &mut DuplexStream, text: &str) -> GetReply {
    let mut answer = pipe.get("a");
    ask(driver, server, Command::get("a").packed().len()).await;
    let bytes = format!("${}\r\n{text}\r\n", text.len());
    server.write_all(bytes.as_bytes()).await.unwrap();
    answered(driver, &mut answer).await
}

#[tokio::test]
async fn what_callers_have_let_go_is_read_into_again() {
    let (ours, mut server) = duplex(1 << 20);
    let (pipe, mut driver) = Pipe::new(ours, None);
    let mut held = None;
    for _ in 0..60 {
        let next = bring(&pipe, &mut driver, &mut server, &"x".repeat(4000)).await;
        drop(held.replace(next));
    }
    assert!(driver.used.len() < MOST_USED / 2, "{}", driver.used.len());
}

#[tokio::test]
async fn no_more_memory_is_kept_than_is_used() {
    let (ours, mut server) = duplex(1 << 22);
    let (pipe, mut driver) = Pipe::new(ours, None);
    let long = "x".repeat(MOST_KEPT * 4);
    let mut set = Command::new("SET");
    set.arg("a").arg(&long);
    let mut done = pipe.send(&set);
    ask(&mut driver, &mut server, set.packed().len()).await;
    server.write_all(b"+OK\r\n").await.unwrap();
    answered(&mut driver, &mut done).await;
    assert!(driver.writing.capacity() <= MOST_KEPT);

    bring(&pipe, &mut driver, &mut server, &long).await;
    // Until the rest of the buffer is full as well.
    for _ in 0..1000 {
        bring(&pipe, &mut driver, &mut server, &"x".repeat(2000)).await;
    }
    assert!(driver.read.capacity() <= MOST_KEPT);
}

/// A connection that takes nothing in.
struct Stuck;

impl AsyncRead for Stuck {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_connection_that_takes_nothing_in_is_closed() {
    let (pipe, driver) = Pipe::new(Stuck, None);
    let waiting = pipe.get("a");
    timeout(std::time::Duration::from_secs(60), driver).await.unwrap();
    assert_eq!(waiting.await.unwrap_err().io_kind(), Some(io::ErrorKind::WriteZero));
}
