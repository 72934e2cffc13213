//! What a keeper does where the store does not answer.

use std::time::Duration;

use tokio::time::sleep;

use super::lossy::Lossy;
use super::{Caller, LEASE, SECOND, address, settle};
use crate::error::StoreErrorKind;
use crate::store::{Store, Token, Value};

#[tokio::test(start_paused = true)]
async fn a_lock_is_given_back_once_the_store_answers_again() {
    let store = Lossy::new();
    let memo = store.node().lease(10 * SECOND);
    store.lose("commit", StoreErrorKind::Timeout);
    store.lose("release", StoreErrorKind::Timeout);
    let caller = Caller::ask(&memo, "one").await;
    assert_eq!(caller.answer().await, "one");
    settle().await;
    assert_eq!(memo.stats().store_errors, 1);
    let mut released = Vec::new();
    for _ in 0..5 {
        sleep(Duration::from_millis(145)).await;
        released.push(store.asked("release").len());
    }
    // After 50, 150, 350, 750, and 1550 ms, and then every second.
    assert_eq!(released, [1, 2, 3, 3, 3]);
    sleep(SECOND).await;
    assert_eq!(store.asked("release").len(), 5);
    sleep(SECOND).await;
    assert_eq!(store.asked("release").len(), 6);
    assert!(!store.is_free().await);
    store.lose_nothing();
    sleep(SECOND).await;
    assert!(store.is_free().await);
    sleep(20 * SECOND).await;
    assert_eq!(store.asked("release").len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_not_given_back_after_its_lease_nor_where_the_store_refuses() {
    let store = Lossy::new();
    store.lose("commit", StoreErrorKind::Timeout);
    store.lose("release", StoreErrorKind::Unavailable);
    let caller = Caller::ask(&store.node(), "one").await;
    assert_eq!(caller.answer().await, "one");
    sleep(LEASE).await;
    let released = store.asked("release").len();
    assert!(released >= 4);
    sleep(10 * LEASE).await;
    assert_eq!(store.asked("release").len(), released);

    store.lose("release", StoreErrorKind::Rejected);
    let caller = Caller::ask(&store.node(), "two").await;
    assert_eq!(caller.answer().await, "two");
    sleep(10 * LEASE).await;
    assert_eq!(store.asked("release").len(), released + 1);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_free_at_once_where_the_value_cannot_be_handed_on() {
    let store = Lossy::new();
    let memo = store.node().ttl(Duration::ZERO);
    store.lose("share", StoreErrorKind::Encode);
    let caller = Caller::ask(&memo, "one").await;
    assert_eq!(caller.answer().await, "one");
    assert_eq!(store.asked("release").len(), 1);
    assert!(store.is_free().await);
    assert_eq!(memo.stats().store_errors, 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_committed_is_for_callers_before_the_lease_and_no_other() {
    let store = Lossy::new();
    let memo = store.node();
    store.lose("commit", StoreErrorKind::Timeout);
    let leader = Caller::ask(&memo, "old").await;
    let late = Caller::ask(&memo, "new").await;
    assert_eq!(memo.stats().waiting, 1);
    assert_eq!(leader.answer().await, "old");
    store.lose_nothing();
    assert_eq!(late.answer().await, "new");
    assert_eq!(memo.stats().led, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_three_times_while_it_lasts() {
    let store = Lossy::new();
    let caller = Caller::ask(&store.node(), "one").await;
    sleep(10 * SECOND + SECOND / 2).await;
    assert_eq!(store.asked("renew").len(), 10);
    assert!(!store.is_free().await);
    assert_eq!(caller.answer().await, "one");
}

#[tokio::test(start_paused = true)]
async fn callers_that_an_unanswered_renewal_does_not_vouch_for_ask_for_themselves() {
    let store = Lossy::new();
    let memo = store.node();
    store.lose("renew", StoreErrorKind::Timeout);
    let leader = Caller::ask(&memo, "old").await;
    let late = Caller::ask(&memo, "new").await;
    assert_eq!(store.asked("acquire").len(), 1);
    sleep(SECOND / 2).await;
    assert!(store.asked("acquire").len() > 1);
    assert_eq!(memo.stats().store_errors, 1);
    // It waits for the lock as other processes do, and is told of the value that was stored.
    assert_eq!(leader.answer().await, "old");
    assert_eq!(late.answer().await, "old");
    assert_eq!(memo.stats().led, 1);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_asks_with_no_token_twice_and_gives_back_what_it_does_not_have() {
    let store = Lossy::new();
    let memo = store.node();
    assert!(store.store.acquire(&address(), Token::random(), LEASE).await.is_ok());
    let caller = Caller::ask(&memo, "one").await;
    sleep(LEASE + SECOND).await;
    assert_eq!(memo.stats().led, 1);
    let tokens = store.asked("acquire");
    assert!(tokens.len() >= 2);
    for (at, token) in tokens.iter().enumerate() {
        assert!(!tokens[..at].contains(token));
    }
    assert!(
        store.asked("release").is_empty(),
        "the store has said that none of them holds the lock"
    );
    assert_eq!(caller.answer().await, "one");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_may_have_been_taken_does_not_outlast_the_computation() {
    let store = Lossy::new();
    let memo = store.node();
    store.lose("acquire", StoreErrorKind::Timeout);
    let caller = Caller::ask(&memo, "one").await;
    let [token] = store.asked("acquire")[..] else { panic!() };
    assert!(store.store.acquire(&address(), token, 60 * SECOND).await.is_ok());
    assert_eq!(caller.answer().await, "one");
    settle().await;
    assert_eq!(store.asked("release"), [token]);
    assert!(store.is_free().await);
    assert_eq!(memo.stats().store_errors, 1);
    assert_eq!(memo.stats().failed_open, 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_stored_without_a_notice_is_found_for_who_joins() {
    let mut store = Lossy::new();
    store.is_deaf = true;
    let (memo, token) = (store.node(), Token::random());
    assert!(store.store.acquire(&address(), token, 60 * SECOND).await.is_ok());
    let early = Caller::ask(&memo, "new").await;
    let value = Value::encoded("there");
    assert!(
        store
            .store
            .commit(&address(), token, &value, 60 * SECOND)
            .await
            .unwrap()
    );
    sleep(SECOND).await;
    let before = store.asked("lookup").len();
    sleep(SECOND).await;
    assert_eq!(store.asked("lookup").len(), before);
    let late = Caller::ask(&memo, "newer").await;
    assert_eq!(late.answer().await, "there");
    assert_eq!(early.answer().await, "there");
    assert_eq!(store.asked("lookup").len(), before + 1);
}
