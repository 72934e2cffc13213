//! Clauses about the lock and its lease.

use std::time::Duration;

use super::steps::*;
use crate::store::{Lock, Release, Store, Token};

/// One of many gets the lock.
pub async fn one_of_many_gets_the_lock<S: Store>(one: S, two: S) {
    let address = address("a");
    let attempts = (0..64).map(|n| {
        let store = if n % 2 == 0 { &one } else { &two };
        acquire(store, &address, Token::random(), LONG)
    });
    let answers = together(attempts).await;
    let granted = answers.iter().filter(|a| a.lock == Lock::Granted).count();
    assert_eq!(granted, 1);
}

/// Acquiring again with the same token is granted and starts the lease anew.
pub async fn acquiring_again_with_the_same_token_is_granted_and_starts_the_lease_anew<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    let again = acquire(&two, &address, token, 5 * LONG).await;
    assert_eq!(again.lock, Lock::Granted);
    assert!(is_held_for_more_than(&one, &address, LONG).await);
    assert!(commit(&one, &address, token, &value("x")).await);
}

/// Acquiring reads the value stored meanwhile.
pub async fn acquiring_reads_the_value_stored_meanwhile<S: Store>(one: S, two: S) {
    let address = address("a");
    put(&one, &address, &value("meanwhile")).await;
    let token = Token::random();
    let acquired = acquire(&two, &address, token, LONG).await;
    assert_eq!(acquired.lock, Lock::Granted);
    assert_eq!(acquired.value.as_ref().map(bytes).as_deref(), Some(&b"meanwhile"[..]));
    let refused = acquire(&one, &address, Token::random(), LONG).await;
    assert_ne!(refused.lock, Lock::Granted);
    assert_eq!(refused.value.as_ref().map(bytes).as_deref(), Some(&b"meanwhile"[..]));
}

/// A refusal says what is left of the lease.
pub async fn a_refusal_says_what_is_left_of_the_lease<S: Store>(one: S, two: S) {
    let address = address("a");
    lead(&one, &address).await;
    let refused = acquire(&two, &address, Token::random(), 5 * LONG).await;
    let Lock::Held {
        remaining: Some(remaining),
    } = refused.lock
    else {
        panic!("{:?}", refused.lock);
    };
    assert!(remaining <= LONG && remaining > LONG / 2, "{remaining:?}");
}

/// A lease runs out.
pub async fn a_lease_runs_out<S: Store>(one: S, two: S) {
    let address = address("a");
    let acquired = acquire(&one, &address, Token::random(), Duration::from_millis(300)).await;
    assert_eq!(acquired.lock, Lock::Granted);
    let refused = acquire(&two, &address, Token::random(), LONG).await;
    if let Lock::Held { remaining } = refused.lock {
        pass(remaining.expect("a lease that ends")).await;
        lead(&two, &address).await;
    }
}

/// Renewing extends the lease.
pub async fn renewing_extends_the_lease<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    assert!(renew(&two, &address, token, 5 * LONG).await);
    assert!(is_held_for_more_than(&one, &address, LONG).await);
}

/// A foreign or lost token renews nothing.
pub async fn a_foreign_or_lost_token_renews_nothing<S: Store>(one: S, two: S) {
    let address = address("a");
    assert!(!renew(&one, &address, Token::random(), LONG).await, "there is no lock");
    let token = lead(&one, &address).await;
    assert!(
        !renew(&two, &address, Token::random(), 5 * LONG).await,
        "the token is foreign"
    );
    assert!(!is_held_for_more_than(&one, &address, LONG).await);
    assert!(release(&one, &address, token, Release::Abandoned).await);
    assert!(!renew(&one, &address, token, LONG).await, "the lock was given back");
    assert!(!is_locked(&two, &address).await);
}

/// Committing gives the lock back.
pub async fn committing_gives_the_lock_back<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    assert!(is_locked(&two, &address).await);
    assert!(commit(&one, &address, token, &value("x")).await);
    assert!(!is_locked(&two, &address).await);
    assert!(!commit(&one, &address, token, &value("y")).await, "committed twice");
    assert_eq!(lookup(&two, &address).await.as_deref(), Some(&b"x"[..]));
}

/// A foreign token commits and releases nothing.
pub async fn a_foreign_token_commits_and_releases_nothing<S: Store>(one: S, two: S) {
    let address = address("a");
    let foreign = Token::random();
    assert!(!commit(&two, &address, foreign, &value("x")).await, "there is no lock");
    let token = lead(&one, &address).await;
    assert!(
        !commit(&two, &address, foreign, &value("x")).await,
        "the token is foreign"
    );
    assert!(
        !release(&two, &address, foreign, Release::Pass).await,
        "the token is foreign"
    );
    assert_eq!(lookup(&one, &address).await, None);
    assert!(is_locked(&two, &address).await);
    assert!(commit(&one, &address, token, &value("y")).await);
}

/// An expired lease changes nothing.
pub async fn an_expired_lease_changes_nothing<S: Store>(one: S, two: S) {
    let address = address("a");
    let late = lead_too_long(&one, &address).await;
    assert!(!renew(&one, &address, late, LONG).await);
    assert!(!commit(&one, &address, late, &value("late")).await);
    assert!(!release(&one, &address, late, Release::Pass).await);
    assert_eq!(lookup(&two, &address).await, None);

    let late = lead_too_long(&one, &address).await;
    let token = lead(&two, &address).await;
    assert!(!renew(&one, &address, late, LONG).await);
    assert!(!commit(&one, &address, late, &value("late")).await);
    assert!(!release(&one, &address, late, Release::Pass).await);
    assert!(commit(&two, &address, token, &value("in time")).await);
    assert!(!commit(&one, &address, late, &value("late")).await);
    assert_eq!(lookup(&one, &address).await.as_deref(), Some(&b"in time"[..]));
}

/// Releasing gives the lock back and leaves the value.
pub async fn releasing_gives_the_lock_back_and_leaves_the_value<S: Store>(one: S, two: S) {
    let address = address("a");
    put(&one, &address, &value("kept")).await;
    for reason in reasons() {
        let token = lead(&one, &address).await;
        assert!(release(&two, &address, token, reason.clone()).await, "{reason:?}");
        assert!(!is_locked(&one, &address).await, "{reason:?}");
        assert!(!release(&one, &address, token, reason).await, "released twice");
        assert_eq!(lookup(&one, &address).await.as_deref(), Some(&b"kept"[..]));
    }
}
