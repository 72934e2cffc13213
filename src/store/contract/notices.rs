//! Clauses about what watchers hear.

use std::time::Duration;

use super::steps::*;
use crate::store::{Lock, Notice, Release, Store, Token, Watch};

/// A watch begins with reread.
pub async fn a_watch_begins_with_reread<S: Store>(one: S, two: S) {
    let address = address("a");
    watch(&one, &address).await;
    let _other = watch(&one, &address).await;
    let _third = watch(&one, &address).await;
    watch(&two, &address).await;
}

/// A commit is heard by all watchers.
pub async fn a_commit_is_heard_by_all_watchers<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut here = watch(&one, &address).await;
    let mut also_here = watch(&one, &address).await;
    let mut there = watch(&two, &address).await;
    put(&one, &address, &value("heard")).await;
    assert_eq!(hear_value(&mut here, &one, &address).await, "heard");
    assert_eq!(hear_value(&mut also_here, &one, &address).await, "heard");
    assert_eq!(hear_value(&mut there, &two, &address).await, "heard");
}

/// Every kind of release is heard.
pub async fn every_kind_of_release_is_heard<S: Store>(one: S, two: S) {
    let address = private_address("a");
    let mut here = watch(&one, &address).await;
    let mut there = watch(&two, &address).await;
    for reason in reasons() {
        let token = lead(&one, &address).await;
        assert!(release(&one, &address, token, reason.clone()).await);
        for watch in [&mut here, &mut there] {
            let Notice::Released(heard) = hear(watch).await else {
                panic!("no word of {reason:?}");
            };
            assert_same_reason(&heard, &reason);
        }
    }
}

fn assert_same_reason(heard: &Release, sent: &Release) {
    match (heard, sent) {
        (Release::Abandoned, Release::Abandoned) | (Release::Pass, Release::Pass) => {}
        (Release::Stale, Release::Stale) => {}
        (Release::Broken { failures: heard }, Release::Broken { failures: sent }) => assert_eq!(heard, sent),
        (Release::Declined { attempts: heard }, Release::Declined { attempts: sent }) => assert_eq!(heard, sent),
        (Release::Shared(heard), Release::Shared(sent)) => assert_eq!(bytes(heard), bytes(sent)),
        (Release::Failed(heard), Release::Failed(sent)) => assert_eq!(heard, sent),
        _ => panic!("{heard:?} heard, {sent:?} sent"),
    }
}

/// An invalidation is heard.
pub async fn an_invalidation_is_heard<S: Store>(one: S, two: S) {
    let address = address("a");
    lead(&one, &address).await;
    let mut here = watch(&one, &address).await;
    let mut there = watch(&two, &address).await;
    invalidate(&one, &address).await;
    for watch in [&mut here, &mut there] {
        let heard = hear(watch).await;
        assert!(matches!(heard, Notice::Invalidated), "{heard:?}");
    }
}

/// A value that is shared under an id to the letter is heard.
pub async fn what_is_shared_under_an_id_to_the_letter_is_heard<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut watch = watch(&two, &address).await;
    let token = lead(&one, &address).await;
    assert!(release(&one, &address, token, Release::Shared(value("shared"))).await);
    match hear(&mut watch).await {
        Notice::Released(Release::Shared(heard)) | Notice::Stored(heard) => assert_eq!(bytes(&heard), "shared"),
        other => panic!("{other:?}"),
    }
    assert_eq!(lookup(&two, &address).await, None);
    assert!(!is_locked(&two, &address).await);
}

/// Deferring extends the lease and is heard.
pub async fn deferring_extends_the_lease_and_is_heard<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut watch = watch(&two, &address).await;
    let token = Token::random();
    assert_eq!(acquire(&one, &address, token, SHORT).await.lock, Lock::Granted);
    for starts in [1, 2, 17] {
        assert!(defer(&one, &address, token, LONG, starts).await);
        match hear(&mut watch).await {
            Notice::Deferred { starts: heard } => assert_eq!(heard, starts),
            other => panic!("{other:?}"),
        }
    }
    pass(SHORT).await;
    assert!(is_locked(&two, &address).await);
    assert!(
        commit(&one, &address, token, &value("then")).await,
        "the lease is the same"
    );
}

/// A foreign or lost token defers nothing.
pub async fn a_foreign_or_lost_token_defers_nothing<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut watch = watch(&two, &address).await;
    assert!(!defer(&two, &address, Token::random(), LONG, 1).await);
    let token = lead(&one, &address).await;
    assert!(!defer(&two, &address, Token::random(), LONG, 1).await);
    assert!(release(&one, &address, token, Release::Abandoned).await);
    assert!(!defer(&one, &address, token, LONG, 1).await);
    match hear(&mut watch).await {
        Notice::Released(Release::Abandoned) => {}
        other => panic!("{other:?}"),
    }
    assert!(!is_locked(&one, &address).await);
}

/// A program that resolves a promise stores the value, is heard, and leaves the lock alone.
pub async fn a_caller_that_resolves_stores_and_is_heard_and_leaves_the_lock_alone<S: Store>(one: S, two: S) {
    for address in [address("a"), private_address("a")] {
        let mut watches = [watch(&one, &address).await, watch(&two, &address).await];
        let token = lead(&one, &address).await;
        for text in ["resolved", "", "resolved again"] {
            resolve(&two, &address, &value(text), LONG).await;
            for watch in &mut watches {
                match hear(watch).await {
                    Notice::Stored(heard) => assert_eq!(bytes(&heard), text),
                    Notice::Announced => {}
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(lookup(&one, &address).await.expect("a value"), text);
        }
        assert!(is_locked(&two, &address).await);
        assert!(release(&one, &address, token, Release::Abandoned).await);
        resolve(&two, &address, &value("brief"), SHORT).await;
        pass(SHORT).await;
        assert_eq!(lookup(&one, &address).await, None);
    }
}

/// A value that is resolved for no time is heard and not stored.
pub async fn what_is_resolved_for_no_time_is_heard_and_not_stored<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut watch = watch(&one, &address).await;
    resolve(&two, &address, &value("passing"), Duration::ZERO).await;
    match hear(&mut watch).await {
        Notice::Stored(heard) => assert_eq!(bytes(&heard), "passing"),
        other => panic!("{other:?}"),
    }
    assert_eq!(lookup(&one, &address).await, None);
}

/// A watcher hears only its own address.
pub async fn a_watcher_hears_only_its_own_address<S: Store>(one: S, two: S) {
    let (mine, other) = (address("mine"), address("other"));
    let mut watch = watch(&two, &mine).await;
    put(&one, &other, &value("other")).await;
    invalidate(&one, &other).await;
    put(&one, &mine, &value("mine")).await;
    assert_eq!(hear_value(&mut watch, &two, &mine).await, "mine");
}

/// Dropping one watch leaves the others alone.
pub async fn dropping_one_watch_leaves_the_others_alone<S: Store>(one: S, two: S) {
    let address = address("a");
    let gone = watch(&two, &address).await;
    let mut stays = watch(&two, &address).await;
    let never_in_effect = two.watch(&address);
    drop(never_in_effect);
    drop(gone);
    put(&one, &address, &value("heard")).await;
    assert_eq!(hear_value(&mut stays, &two, &address).await, "heard");
}

/// An address can be watched again and again.
pub async fn an_address_can_be_watched_again_and_again<S: Store>(one: S, two: S) {
    let address = address("a");
    for _ in 0..50 {
        let mut watch = watch(&two, &address).await;
        let token = lead(&one, &address).await;
        assert!(release(&one, &address, token, Release::Pass).await);
        let heard = hear(&mut watch).await;
        assert!(matches!(heard, Notice::Released(Release::Pass)), "{heard:?}");
    }
}

/// A watcher hears nothing from before it came.
pub async fn a_watcher_hears_nothing_from_before_it_came<S: Store>(one: S, two: S) {
    let address = address("a");
    let _keeps_the_subscription = watch(&one, &address).await;
    for _ in 0..50 {
        for _ in 0..10 {
            invalidate(&two, &address).await;
        }
        let mut watch = watch(&one, &address).await;
        put(&two, &address, &value("heard")).await;
        assert_eq!(hear_value(&mut watch, &one, &address).await, "heard");
    }
}

/// A notice survives a wait that was given up.
pub async fn a_notice_survives_a_wait_that_was_given_up<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut watch = watch(&two, &address).await;
    for _ in 0..20 {
        let given_up = tokio::time::timeout(Duration::ZERO, watch.next()).await;
        assert!(
            !matches!(given_up, Ok(Notice::Stored(_) | Notice::Announced)),
            "nothing was stored yet"
        );
    }
    put(&one, &address, &value("heard")).await;
    assert_eq!(hear_value(&mut watch, &two, &address).await, "heard");
}
