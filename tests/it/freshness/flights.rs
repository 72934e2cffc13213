//! A flight answers callers that joined it late with nothing that was on its way before they came. Time is paused.

use std::convert::Infallible;
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tower_memolock::store::{Release, Token, Value};
use tower_memolock::{Address, Key, MemoLock, Store, Tag};

use super::fixture::{Caller, Leader, answer, nodes, settle};

const TTL: Duration = Duration::from_secs(60);

/// Longer than a keeper waits before it renews its watch for callers that came late.
const A_WHILE: Duration = Duration::from_millis(50);

fn address(id: &str) -> Address {
    Address::new(&Tag::new("t").unwrap(), &Key::new(id).unwrap())
}

fn ask(memo: &MemoLock, value: &'static str) -> Caller {
    let memo = memo.clone();
    tokio::spawn(async move {
        memo.get_or_compute("a", move || async move { Ok::<_, Infallible>(value.into()) })
            .await
    })
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_read_before_they_came_is_not_for_them() {
    let (here, slow, there) = nodes();
    slow.gates.acquire.close();
    let early = ask(&here, "unused");
    settle().await;
    assert_eq!(answer(ask(&there, "old")).await, "old");
    slow.gates.acquired.close();
    slow.gates.acquire.open();
    settle().await;
    there.invalidate("a").await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
    settle().await;
    slow.gates.acquired.open();
    assert_eq!(answer(early).await, "old");
    for caller in late {
        assert_eq!(answer(caller).await, "new");
    }
    assert_eq!(here.stats().led, 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_committed_before_they_came_is_not_for_them() {
    let (here, slow, there) = nodes();
    slow.gates.committed.close();
    let leader = Leader::start(&here.clone().ttl(TTL), "old").await;
    let early = ask(&here, "unused");
    settle().await;
    leader.end();
    settle().await;
    there.invalidate("a").await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
    settle().await;
    slow.gates.committed.open();
    assert_eq!(leader.finish().await, "old");
    assert_eq!(answer(early).await, "old");
    for caller in late {
        assert_eq!(answer(caller).await, "new");
    }
    assert_eq!(here.stats().led, 2);
}

#[tokio::test(start_paused = true)]
async fn those_who_come_while_a_commit_is_under_way_read_the_value_together() {
    let (here, slow, _there) = nodes();
    slow.gates.committed.close();
    let leader = Leader::start(&here.clone().ttl(TTL), "kept").await;
    leader.end();
    settle().await;
    let late: Vec<_> = (0..100).map(|_| ask(&here, "no")).collect();
    settle().await;
    let before = slow.gates.looks.load(Ordering::SeqCst);
    slow.gates.committed.open();
    for caller in late {
        assert_eq!(answer(caller).await, "kept");
    }
    let looks = slow.gates.looks.load(Ordering::SeqCst) - before;
    assert!((1..=2).contains(&looks), "{looks} look-ups");
    assert_eq!(here.stats().led, 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_are_in_time_cost_no_look_up() {
    let (here, slow, _there) = nodes();
    let leader = Leader::start(&here.clone().ttl(TTL), "kept").await;
    let others: Vec<_> = (0..100).map(|_| ask(&here, "no")).collect();
    settle().await;
    assert_eq!(leader.finish().await, "kept");
    for caller in others {
        assert_eq!(answer(caller).await, "kept");
    }
    assert_eq!(slow.gates.looks.load(Ordering::SeqCst), 1, "that of the leader");
    assert_eq!(slow.gates.watches.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stored_value_that_was_published_before_they_came_is_not_for_them() {
    a_message_from_before_they_came_is_not_for_them(TTL).await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_value_that_was_published_before_they_came_is_not_for_them() {
    a_message_from_before_they_came_is_not_for_them(Duration::ZERO).await;
}

async fn a_message_from_before_they_came_is_not_for_them(ttl: Duration) {
    let (here, slow, there) = nodes();
    let leader = Leader::start(&there.clone().ttl(ttl), "old").await;
    let early = ask(&here, "early");
    settle().await;
    slow.gates.notices.close();
    assert_eq!(leader.finish().await, "old");
    there.invalidate("a").await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
    tokio::time::sleep(A_WHILE).await;
    slow.gates.notices.open();
    assert_eq!(answer(early).await, "old");
    for caller in late {
        assert_eq!(answer(caller).await, "new");
    }
    assert_eq!(here.stats().led, 1);
}

/// What is not stored cannot be read by callers that are late, so that hardly any caller may be.
#[tokio::test(start_paused = true)]
async fn a_shared_value_is_for_all_who_wait_when_it_is_published() {
    let (here, slow, there) = nodes();
    let leader = Leader::start(&there.clone().ttl(Duration::ZERO), "shared").await;
    let mut callers = Vec::new();
    for _ in 0..400 {
        callers.extend((0..10).map(|_| ask(&here, "no")));
        tokio::time::sleep(A_WHILE / 2).await;
    }
    // A tenth of the time, in which no caller comes.
    tokio::time::sleep(A_WHILE * 20).await;
    assert_eq!(leader.finish().await, "shared");
    for caller in callers {
        assert_eq!(answer(caller).await, "shared");
    }
    assert_eq!(here.stats().led, 0);
    let watches = slow.gates.watches.load(Ordering::SeqCst);
    assert!(
        (2..=100).contains(&watches),
        "{watches} watches for callers who came all the time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_no_caller_is_late_for_is_not_renewed() {
    let (here, slow, there) = nodes();
    let leader = Leader::start(&there.clone().ttl(Duration::ZERO), "shared").await;
    let early = ask(&here, "no");
    for _ in 0..10 {
        tokio::time::sleep(A_WHILE).await;
    }
    assert_eq!(leader.finish().await, "shared");
    assert_eq!(answer(early).await, "shared");
    assert_eq!(slow.gates.watches.load(Ordering::SeqCst), 1);
}

/// The next watch is in effect, and has not heard it; the one before has, and has not been asked since.
#[tokio::test(start_paused = true)]
async fn what_is_published_while_a_watch_is_renewed_is_heard() {
    let (here, slow, _there) = nodes();
    let (at, leader) = (address("a"), Token::random());
    slow.store.acquire(&at, leader, TTL).await.unwrap();
    let early = ask(&here, "missed");
    settle().await;
    let shared = Release::Shared(Value::encoded("shared"));
    *slow.gates.interposed.lock().unwrap() = Some((leader, shared));
    let late = ask(&here, "new");
    assert_eq!(answer(early).await, "shared");
    assert_eq!(answer(late).await, "new");
}

/// An acquire that is not answered may be executed at any time later, and says nothing of when the computation began.
#[tokio::test(start_paused = true)]
async fn a_lock_that_was_taken_at_an_unknown_time_commits_nothing() {
    for ttl in [TTL, Duration::ZERO] {
        let (here, slow, there) = nodes();
        slow.gates.acquire_times_out.close();
        let leader = Leader::start(&here.clone().ttl(ttl), "old").await;
        there.invalidate("a").await.unwrap();
        slow.gates.acquire_times_out.open();
        settle().await;
        let computations = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&computations);
        let memo = there.clone();
        let compute = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>("new".into())
        };
        let late = tokio::spawn(async move { memo.get_or_compute("a", compute).await });
        settle().await;
        assert_eq!(computations.load(Ordering::SeqCst), 0, "the lock is held");
        assert_eq!(leader.finish().await, "old");
        assert_eq!(answer(late).await, "new");
        assert_eq!(answer(ask(&here, "newer")).await, "new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_came_while_a_follower_asked_once_more_is_the_followers() {
    let (here, slow, there) = nodes();
    let (end, ended) = oneshot::channel();
    let leads = || async move {
        let _ = ended.await;
        Err("no disk")
    };
    let leader = tokio::spawn(async move { there.get_or_compute("a", leads).await });
    settle().await;
    slow.gates.acquired.close();
    let follower = {
        let here = here.clone();
        tokio::spawn(async move { here.get_or_compute("a", || async { Err("computed twice") }).await })
    };
    settle().await;
    slow.gates.acquire.close();
    slow.gates.acquired.open();
    settle().await;
    assert_eq!(slow.gates.watches.load(Ordering::SeqCst), 1);
    end.send(()).unwrap();
    let led = leader.await.unwrap().unwrap_err();
    slow.gates.acquire.open();
    let followed = follower.await.unwrap().unwrap_err();
    for failure in [led, followed] {
        assert_eq!(failure.source().unwrap().to_string(), "no disk");
    }
    assert_eq!(here.stats().led, 0);
}
