use tokio::time::{Instant, sleep};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_is_told_that_its_answer_does_not_come_soon_and_has_it_when_it_comes() {
    let (pipe, mut server, _driver) = piped(1 << 16);
    let _sweeper = tokio::spawn(pipe.sweeper());
    let mut late = pipe.send(&get("a"));
    take_in(&mut server, &[get("a")]).await;
    let since = Instant::now();
    assert!(late.soon(Duration::MAX, true).await.is_none());
    assert!(since.elapsed() >= SOON && since.elapsed() <= SOON * 3);
    assert!(pipe.is_swept());
    // Others are not late because this one is.
    let mut other = pipe.send(&get("b"));
    take_in(&mut server, &[get("b")]).await;
    server.write_all(b"$1\r\nA\r\n$1\r\nB\r\n").await.unwrap();
    assert_eq!(other.soon(Duration::MAX, true).await.unwrap().unwrap(), text("B"));
    assert_eq!(late.await.unwrap(), text("A"));
    // It sleeps as long as there is nothing to sweep.
    sleep(SOON * 3).await;
    let turns = pipe.shared.queue().turn;
    sleep(SOON * 10).await;
    assert_eq!(pipe.shared.queue().turn, turns);
    // And wakes for the next command.
    assert!(pipe.send(&get("c")).soon(Duration::MAX, true).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_not_late_because_others_have_waited_before_it() {
    let (pipe, _server, _driver) = piped(1 << 16);
    let _sweeper = tokio::spawn(pipe.sweeper());
    let _before = pipe.send(&get("a"));
    sleep(SOON * 9 / 10).await;
    let since = Instant::now();
    assert!(pipe.send(&get("b")).soon(Duration::MAX, true).await.is_none());
    assert!(since.elapsed() >= SOON, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_a_sweeper_has_a_timer() {
    let (pipe, mut server, _driver) = piped(1 << 16);
    let mut late = pipe.send(&get("a"));
    assert!(late.soon(SOON, false).await.is_none());
    server.write_all(b"$1\r\nA\r\n").await.unwrap();
    assert_eq!(late.soon(SOON, false).await.unwrap().unwrap(), text("A"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_command_cannot_be_sent_is_told_as_well() {
    let (pipe, _server, _driver) = piped(1);
    let _sweeper = tokio::spawn(pipe.sweeper());
    let mut callers = ["a", "b"].map(|name| pipe.send(&get(name)));
    for caller in &mut callers {
        assert!(caller.soon(Duration::MAX, true).await.is_none());
    }
}

#[tokio::test]
async fn a_caller_on_another_runtime_does_not_rely_on_the_sweeper() {
    let (pipe, _server, _driver) = piped(1 << 16);
    assert!(!pipe.is_swept(), "there is none yet");
    let _sweeper = tokio::spawn(pipe.sweeper());
    yield_now().await;
    assert!(pipe.is_swept());
    let elsewhere = std::thread::spawn(move || {
        let other = runtime::Builder::new_current_thread().build().unwrap();
        (pipe.is_swept(), other.block_on(async { pipe.is_swept() }))
    });
    assert_eq!(elsewhere.join().unwrap(), (false, false));
}
