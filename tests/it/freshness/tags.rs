//! No caller gets a value with a tag that was invalidated before they came. Time is paused.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tower_memolock::{ErrorKind, InvalidateError, Label, LabelError, MAX_LABELS, MemoLock};

use super::fixture::{Caller, Leader, answer, nodes, settle};

const TTL: Duration = Duration::from_secs(60);

/// The same, for values with tags.
fn tagged(memo: &MemoLock) -> MemoLock {
    memo.clone().tags_of(|_, _| ["x", "y"])
}

fn ask(memo: &MemoLock, value: &'static str) -> Caller {
    let memo = tagged(memo);
    tokio::spawn(async move {
        memo.get_or_compute("a", move || async move { Ok::<_, Infallible>(value.into()) })
            .await
    })
}

/// Callers that came before an invalidation get what they waited for, and callers that came after it something newer.
async fn late_callers_get(late: Vec<Caller>, value: &str, here: &MemoLock) {
    for caller in late {
        assert_eq!(answer(caller).await, value);
    }
    assert_eq!(here.get("a").await.unwrap().as_deref(), Some(value.as_bytes()));
}

#[tokio::test(start_paused = true)]
async fn a_value_is_gone_with_any_of_its_tags() {
    let (here, _slow, there) = nodes();
    for tag in ["x", "y"] {
        assert_eq!(answer(ask(&there, "old")).await, "old");
        there.invalidate_tags(["z"]).await.unwrap();
        assert_eq!(answer(ask(&here, "no")).await, "old");
        here.invalidate_tags([tag]).await.unwrap();
        assert_eq!(there.get("a").await.unwrap(), None);
        assert_eq!(here.get("a").await.unwrap(), None);
        assert!(there.stats().outdated > 0 && here.stats().outdated > 0);
        assert_eq!(answer(ask(&here, "new")).await, "new");
        here.invalidate_tags(["z", tag]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_computed_while_its_tag_is_invalidated_is_for_those_who_came_before() {
    for ttl in [TTL, Duration::ZERO] {
        let (here, slow, there) = nodes();
        let memo = tagged(&here).ttl(ttl);
        slow.gates.look.close();
        let starting = tokio::spawn(async move { Leader::start(&memo, "old").await });
        settle().await;
        // Comes before the store is asked for the lock.
        let early = ask(&here, "unused");
        settle().await;
        slow.gates.look.open();
        let leader = starting.await.unwrap();
        let elsewhere = ask(&there, "new");
        settle().await;
        there.invalidate_tags(["x"]).await.unwrap();
        let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
        settle().await;
        assert_eq!(slow.gates.looks.load(Ordering::SeqCst), 2, "the others have joined");
        assert_eq!(leader.finish().await, "old");
        assert_eq!(answer(early).await, "old");
        assert_eq!(answer(elsewhere).await, "new");
        late_callers_get(late, "new", &here).await;
        assert_eq!(here.stats().fenced, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_found_current_before_they_came_is_not_for_them() {
    let (here, slow, there) = nodes();
    slow.gates.acquire.close();
    let early = ask(&here, "unused");
    settle().await;
    assert_eq!(answer(ask(&there, "old")).await, "old");
    slow.gates.checked.close();
    slow.gates.acquire.open();
    settle().await;
    assert_eq!(slow.gates.checks.load(Ordering::SeqCst), 1);
    there.invalidate_tags(["y"]).await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
    settle().await;
    slow.gates.checked.open();
    assert_eq!(answer(early).await, "old");
    late_callers_get(late, "new", &here).await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_was_found_current_before_they_came_is_not_for_them() {
    for ttl in [TTL, Duration::ZERO] {
        let (here, slow, there) = nodes();
        let leader = Leader::start(&tagged(&here).ttl(ttl), "old").await;
        let early = ask(&here, "unused");
        settle().await;
        slow.gates.checked.close();
        leader.end();
        settle().await;
        assert_eq!(slow.gates.checks.load(Ordering::SeqCst), 1);
        there.invalidate_tags(["x"]).await.unwrap();
        let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
        settle().await;
        slow.gates.checked.open();
        assert_eq!(leader.finish().await, "old");
        assert_eq!(answer(early).await, "old");
        late_callers_get(late, "new", &here).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_committed_before_they_came_is_not_for_them() {
    let (here, slow, there) = nodes();
    slow.gates.committed.close();
    let leader = Leader::start(&tagged(&here), "old").await;
    let early = ask(&here, "unused");
    settle().await;
    leader.end();
    settle().await;
    there.invalidate_tags(["x"]).await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
    settle().await;
    slow.gates.committed.open();
    assert_eq!(leader.finish().await, "old");
    assert_eq!(answer(early).await, "old");
    late_callers_get(late, "new", &here).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_with_what_is_out_of_date_is_for_no_caller() {
    for ttl in [TTL, Duration::ZERO] {
        let (here, slow, there) = nodes();
        let leader = Leader::start(&tagged(&there).ttl(ttl), "old").await;
        let early = ask(&here, "new");
        settle().await;
        slow.gates.notices.close();
        assert_eq!(leader.finish().await, "old");
        there.invalidate_tags(["x"]).await.unwrap();
        // They come while the watch is too young to be renewed: for a value without tags they would be in time.
        let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
        settle().await;
        slow.gates.notices.open();
        assert_eq!(answer(early).await, "new");
        late_callers_get(late, "new", &here).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_with_what_is_current_is_for_all_who_wait() {
    for ttl in [TTL, Duration::ZERO] {
        let (here, _slow, there) = nodes();
        let leader = Leader::start(&tagged(&there).ttl(ttl), "kept").await;
        there.invalidate_tags(["z"]).await.unwrap();
        let early: Vec<_> = (0..10).map(|_| ask(&here, "no")).collect();
        settle().await;
        assert_eq!(leader.finish().await, "kept");
        for caller in early {
            assert_eq!(answer(caller).await, "kept");
        }
        assert_eq!(here.stats().led, 0);
    }
}

/// A tag that is invalidated more often than anything with it can be computed.
#[tokio::test(start_paused = true)]
async fn every_caller_is_answered_however_often_a_tag_is_invalidated() {
    let (here, _slow, there) = nodes();
    let restless = tokio::spawn(async move {
        loop {
            there.invalidate_tags(["x"]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let computations = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for _ in 0..200 {
        let (here, computations) = (tagged(&here), Arc::clone(&computations));
        let compute = move || async move {
            computations.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, Infallible>("old".into())
        };
        callers.push(tokio::spawn(async move { here.get_or_compute("a", compute).await }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for caller in callers {
        assert_eq!(answer(caller).await, "old");
    }
    restless.abort();
    let computations = computations.load(Ordering::SeqCst);
    assert!(
        (10..=30).contains(&computations),
        "{computations} computations in a second"
    );
}

/// A waiter has no use for the generation, and a leader has.
#[tokio::test(start_paused = true)]
async fn a_leader_that_takes_over_from_one_without_tags_has_a_generation() {
    let (here, slow, there) = nodes();
    slow.gates.acquire.close();
    let memo = here.clone();
    let plain = tokio::spawn(async move {
        memo.get_or_compute("a", || async { Ok::<_, Infallible>("no".into()) })
            .await
    });
    settle().await;
    let leader = ask(&here, "old");
    settle().await;
    plain.abort();
    settle().await;
    slow.gates.acquire.open();
    assert_eq!(answer(leader).await, "old");
    assert_eq!(there.get("a").await.unwrap().unwrap(), "old");
    there.invalidate_tags(["x"]).await.unwrap();
    assert_eq!(there.get("a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn everything_is_gone_at_once_where_every_value_is_stamped() {
    let (here, slow, there) = nodes();
    let (here, there) = (here.stamped(true), there.stamped(true));
    let plain = |value: &'static str| move || async move { Ok::<_, Infallible>(Bytes::from(value)) };
    for _ in 0..3 {
        assert_eq!(there.get_or_compute("plain", plain("old")).await.unwrap(), "old");
        assert_eq!(answer(ask(&there, "old")).await, "old");
        assert_eq!(here.get("plain").await.unwrap().unwrap(), "old");
        assert_eq!(here.get("a").await.unwrap().unwrap(), "old");
        here.invalidate_all().await.unwrap();
        for id in ["plain", "a"] {
            assert_eq!(there.get(id).await.unwrap(), None);
            assert_eq!(here.get(id).await.unwrap(), None);
        }
    }
    // What is under way as well, and what is on its way.
    let leader = Leader::start(&here, "old").await;
    there.invalidate_all().await.unwrap();
    let late: Vec<_> = (0..10).map(|_| ask(&here, "new")).collect();
    settle().await;
    assert_eq!(leader.finish().await, "old");
    late_callers_get(late, "new", &here).await;
    there.invalidate_all().await.unwrap();

    let leader = Leader::start(&there, "old").await;
    let early = ask(&here, "new");
    settle().await;
    slow.gates.notices.close();
    assert_eq!(leader.finish().await, "old");
    there.invalidate_all().await.unwrap();
    slow.gates.notices.open();
    assert_eq!(answer(early).await, "new");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_stamp_is_nothing_where_every_value_has_one() {
    let (here, _slow, there) = nodes();
    let here = here.stamped(true);
    let plain = |value: &'static str| move || async move { Ok::<_, Infallible>(Bytes::from(value)) };
    assert!(matches!(
        there.invalidate_all().await,
        Err(InvalidateError::NotStamped { .. })
    ));
    assert_eq!(there.get_or_compute("a", plain("old")).await.unwrap(), "old");
    assert_eq!(here.get("a").await.unwrap(), None);
    assert_eq!(here.get_or_compute("a", plain("new")).await.unwrap(), "new");
    // A node that does not stamp can read what is, and finds it gone as all nodes do.
    assert_eq!(there.get("a").await.unwrap().unwrap(), "new");
    here.invalidate_all().await.unwrap();
    assert_eq!(there.get("a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn tags_that_cannot_be_kept_are_errors() {
    let (here, _slow, there) = nodes();
    let many: Vec<_> = (0..=MAX_LABELS).map(|n| n.to_string()).collect();
    for (tags, expected) in [
        (vec![String::new()], LabelError::Empty),
        (many.clone(), LabelError::TooMany(MAX_LABELS + 1)),
    ] {
        match here.invalidate_tags(&tags).await {
            Err(InvalidateError::Tags { source, .. }) => assert_eq!(source, expected),
            other => panic!("{other:?}"),
        }
        let here = here.clone().tags_of(move |_, _| tags.clone());
        let compute = || async { Ok::<_, Infallible>("value".into()) };
        match here.get_or_compute("a", compute).await {
            Err(error) if error.kind() == ErrorKind::Tags => assert_eq!(error.cause(), Some(&expected)),
            other => panic!("{other:?}"),
        }
        assert_eq!(there.get("a").await.unwrap(), None);
    }
    assert!(Label::all(&many[1..]).is_ok());
}

/// A leader here, a later caller that joins it, and a shutdown while it computes. What both get.
async fn a_shutdown_under_a_leader(invalidated: bool) -> [Bytes; 2] {
    let (here, _, there) = nodes();
    let leader = Leader::start(&tagged(&here), "before").await;
    if invalidated {
        tagged(&there).invalidate_tags(["x"]).await.unwrap();
    }
    let later = ask(&here, "after");
    settle().await;
    here.shutdown(Duration::ZERO).await;
    [leader.finish().await, answer(later).await]
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_back_by_a_shutdown_does_not_vouch_for_tags() {
    assert_eq!(a_shutdown_under_a_leader(true).await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn callers_before_a_shutdown_share_what_is_computed_where_no_tag_was_invalidated() {
    assert_eq!(a_shutdown_under_a_leader(false).await, ["before", "before"]);
}
