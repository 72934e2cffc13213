//! What is invalidated while it is computed, and tags where the store cannot say.

use std::sync::Arc;

use tokio::sync::Notify;

use super::lossy::Lossy;
use super::{Caller, settle};
use crate::error::StoreErrorKind;

#[tokio::test(start_paused = true)]
async fn no_caller_joins_a_computation_from_before_its_invalidation_began_or_ended() {
    let mut store = Lossy::new();
    let held = Arc::new(Notify::new());
    store.held = Some(Arc::clone(&held));
    let memo = store.node();
    let _before = Caller::ask(&memo, "one").await;
    let invalidation = tokio::spawn(memo.invalidate("a"));
    settle().await;
    let asked = store.asked("acquire").len();
    assert_eq!(asked, 1);
    let _meanwhile = Caller::ask(&memo, "two").await;
    assert!(store.asked("acquire").len() > asked);
    held.notify_one();
    assert!(invalidation.await.unwrap().is_ok());
    settle().await;
    assert_eq!(memo.stats().led, 2);
    let asked = store.asked("acquire").len();
    let _after = Caller::ask(&memo, "three").await;
    assert!(store.asked("acquire").len() > asked);
}

#[tokio::test(start_paused = true)]
async fn no_caller_joins_an_earlier_computation_where_a_tag_could_not_be_invalidated() {
    let store = Lossy::new();
    let memo = store.node().tags_of(|_, _| ["x"]);
    let _before = Caller::ask(&memo, "one").await;
    assert!(memo.invalidate_tags(["y"]).await.is_ok());
    let _joins = Caller::ask(&memo, "two").await;
    assert_eq!(store.asked("acquire").len(), 1);
    store.lose("invalidate_labels", StoreErrorKind::Timeout);
    assert!(memo.invalidate_tags(["x"]).await.is_err());
    let _alone = Caller::ask(&memo, "three").await;
    assert!(store.asked("acquire").len() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_generations_is_no_error_and_one_that_does_not_say_is() {
    for (kind, is_error) in [(StoreErrorKind::Unsupported, false), (StoreErrorKind::Timeout, true)] {
        let store = Lossy::new();
        let memo = store.node();
        store.lose("generation", kind);
        let caller = Caller::ask(&memo, "one").await;
        assert_eq!(caller.answer().await, "one");
        assert!(store.asked("generation").is_empty(), "without tags it does not matter");
        assert_eq!(store.asked("commit").len(), 1);
        assert!(memo.invalidate("a").await.is_ok());

        let memo = memo.tags_of(|_, _| ["x"]);
        let caller = Caller::ask(&memo, "one").await;
        assert_eq!(memo.stats().store_errors > 0, is_error);
        assert_eq!(caller.answer().await, "one");
        assert_eq!(store.asked("commit").len(), 1);

        let begun = memo.stats().store_errors;
        store.lose("begin_generation", kind);
        assert!(memo.invalidate("a").await.is_ok());
        assert_eq!(memo.stats().store_errors > begun, is_error);
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_whose_tags_may_be_out_of_date_stays_in_its_process() {
    let store = Lossy::new();
    let memo = store.node().tags_of(|_, _| ["x"]);
    store.lose("standing", StoreErrorKind::Timeout);
    let caller = Caller::ask(&memo, "one").await;
    assert_eq!(caller.answer().await, "one");
    assert!(store.asked("commit").is_empty());
    assert_eq!(memo.stats().store_errors, 1);
    assert!(store.is_free().await);
}
