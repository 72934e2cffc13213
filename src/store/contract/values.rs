//! Clauses about values, and about what invalidating does to them.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use super::steps::*;
use crate::key::{Address, Key, Tag};
use crate::store::{Notice, Release, Renewed, Store, Token, Value};

/// An unknown address has no value.
pub async fn an_unknown_address_has_no_value<S: Store>(one: S, two: S) {
    assert_eq!(lookup(&one, &address("nobody")).await, None);
    assert_eq!(lookup(&two, &address("nobody")).await, None);
    assert!(one.peek(&address("nobody"), tokio::time::Instant::now()).is_none());
}

/// A committed value is read back until another replaces it.
pub async fn a_committed_value_is_read_back_until_another_replaces_it<S: Store>(one: S, two: S) {
    let address = address("a");
    for content in ["first", "second"] {
        put(&one, &address, &value(content)).await;
        assert_eq!(lookup(&one, &address).await.as_deref(), Some(content.as_bytes()));
        assert_eq!(lookup(&two, &address).await.as_deref(), Some(content.as_bytes()));
    }
}

/// Any bytes are a value.
pub async fn any_bytes_are_a_value<S: Store>(one: S, two: S) {
    let every_byte: Bytes = (0..=u8::MAX).collect();
    let long: Bytes = (0..3 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    for (id, content) in [("none", Bytes::new()), ("every", every_byte), ("long", long)] {
        let address = address(id);
        let mut watch = watch(&two, &address).await;
        put(&one, &address, &Value::encoded(content.clone())).await;
        let heard = hear_value(&mut watch, &two, &address).await;
        assert!(heard == content, "{id}: {} bytes heard", heard.len());
        let read = lookup(&two, &address).await.expect("a value");
        assert!(read == content, "{id}: {} bytes read", read.len());
    }
}

/// A value expires.
pub async fn a_value_expires<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    let committed = one.commit(&address, token, &value("brief"), SHORT).await;
    assert!(committed.expect("an answer to commit"));
    pass(SHORT).await;
    assert_eq!(lookup(&one, &address).await, None);
    assert_eq!(lookup(&two, &address).await, None);
    assert!(
        one.peek(&address, tokio::time::Instant::now()).is_none(),
        "peek shows what has expired"
    );
    let acquired = acquire(&two, &address, Token::random(), LONG).await;
    assert!(acquired.value.is_none(), "acquire shows what has expired");
}

/// The shortest and the longest ttl are taken.
pub async fn the_shortest_and_the_longest_ttl_are_taken<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    let century = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let committed = one.commit(&address, token, &value("for ages"), century).await;
    assert!(committed.expect("an answer to commit"));
    assert_eq!(lookup(&two, &address).await.as_deref(), Some(&b"for ages"[..]));

    let token = lead(&one, &address).await;
    let moment = Duration::from_nanos(1);
    let committed = one.commit(&address, token, &value("for a moment"), moment).await;
    assert!(committed.expect("an answer to commit"));
    pass(Duration::ZERO).await;
    assert_eq!(lookup(&two, &address).await, None);
}

/// A marker stands in the place of the value and is heard as pass.
pub async fn a_marker_stands_in_the_place_of_the_value_and_is_heard_as_pass<S: Store>(one: S, two: S) {
    let address = address("a");
    put(&one, &address, &value("old")).await;
    let mut there = watch(&two, &address).await;
    let token = lead(&one, &address).await;
    assert!(mark(&one, &address, token, &value("marker")).await);
    let heard = hear(&mut there).await;
    assert!(matches!(heard, Notice::Released(Release::Pass)), "{heard:?}");
    assert_eq!(lookup(&two, &address).await.as_deref(), Some(&b"marker"[..]));
    assert!(!is_locked(&two, &address).await);

    let without_lock = mark(&one, &address, token, &value("other")).await;
    assert!(!without_lock);
    assert_eq!(lookup(&two, &address).await.as_deref(), Some(&b"marker"[..]));
}

/// Unmarking removes the marker and no value.
pub async fn unmarking_removes_the_marker_and_no_value<S: Store>(one: S, two: S) {
    let address = address("a");
    let unmark = |store: &S| {
        let (store, address) = (store.clone(), address.clone());
        async move { store.unmark(&address, &value("marker")).await.expect("an answer") }
    };
    unmark(&one).await;
    put(&one, &address, &value("kept")).await;
    unmark(&two).await;
    assert_eq!(lookup(&one, &address).await.as_deref(), Some(&b"kept"[..]));
    let token = lead(&one, &address).await;
    assert!(mark(&one, &address, token, &value("marker")).await);
    unmark(&two).await;
    assert_eq!(lookup(&one, &address).await, None);
    put(&two, &address, &value("new")).await;
    unmark(&one).await;
    assert_eq!(lookup(&one, &address).await.as_deref(), Some(&b"new"[..]));
}

/// Invalidating removes value and lock.
pub async fn invalidating_removes_value_and_lock<S: Store>(one: S, two: S) {
    let address = address("a");
    put(&one, &address, &value("old")).await;
    lead(&one, &address).await;
    invalidate(&two, &address).await;
    assert_eq!(lookup(&one, &address).await, None);
    assert!(
        one.peek(&address, tokio::time::Instant::now()).is_none(),
        "peek shows what was invalidated"
    );
    assert!(!is_locked(&one, &address).await);
}

/// Invalidating an absent value is no error.
pub async fn invalidating_what_is_not_there_is_no_error<S: Store>(one: S, _: S) {
    invalidate(&one, &address("nobody")).await;
}

/// An invalidated computation cannot commit.
pub async fn an_invalidated_computation_cannot_commit<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    invalidate(&two, &address).await;
    assert!(!renew(&one, &address, token, LONG).await);
    assert!(!commit(&one, &address, token, &value("old")).await);
    assert!(!release(&one, &address, token, Release::Pass).await);
    assert_eq!(lookup(&two, &address).await, None);
    put(&two, &address, &value("new")).await;
    assert_eq!(lookup(&one, &address).await.as_deref(), Some(&b"new"[..]));
}

/// Addresses do not interfere.
pub async fn addresses_do_not_interfere<S: Store>(one: S, two: S) {
    keep_apart(one, two, "{x}").await;
}

/// Addresses without a hash tag do not interfere. Not for a Redis Cluster.
pub async fn addresses_without_a_hash_tag_do_not_interfere<S: Store>(one: S, two: S) {
    keep_apart(one, two, "").await;
}

/// Checks that addresses are not mixed up. The ids that are given to the letter begin with `hash_tag`.
async fn keep_apart<S: Store>(one: S, two: S, hash_tag: &str) {
    let mut all = Vec::new();
    for tag in ["one", "two", "one/two", "o"] {
        let tag = Tag::new(tag).expect("a tag");
        for id in [
            "a", "A", "a ", " a", "a:b", "ne:a", "lock:a", "{a}", "{a}b", "a*", "[a]", "a\r\n", "\u{e4}", "a\0",
        ] {
            let id = format!("{hash_tag}{id}");
            all.push(Address::new(&tag, &Key::new(id).expect("a key")));
        }
        let derived = (0..50).map(|n| Key::builder().part("GET").part(format!("/{n}")).build());
        all.extend(derived.map(|key| Address::new(&tag, &key)));
    }
    let names: HashSet<&str> = all.iter().map(Address::as_str).collect();
    assert_eq!(names.len(), all.len(), "the test has an address twice");

    let mut watches = together(all.iter().map(|address| watch(&two, address))).await;
    let tokens = together(all.iter().map(|address| lead(&one, address))).await;
    let values: Vec<Value> = all.iter().map(|a| Value::encoded(a.to_string())).collect();
    let commits = all.iter().zip(&tokens).zip(&values);
    let commits = commits.map(|((address, token), value)| commit(&one, address, *token, value));
    assert!(together(commits).await.into_iter().all(|committed| committed));
    for (address, watch) in all.iter().zip(&mut watches) {
        assert_eq!(
            lookup(&two, address).await.as_deref(),
            Some(address.as_str().as_bytes())
        );
        assert_eq!(hear_value(watch, &two, address).await, address.as_str());
    }
    invalidate(&one, &all[0]).await;
    let left = together(all.iter().map(|address| lookup(&two, address))).await;
    assert_eq!(left.iter().filter(|value| value.is_none()).count(), 1);
}

async fn soften<S: Store>(store: &S, address: &Address) {
    store.soften(address).await.expect("an answer to soften");
}

/// Whether the value is soft, for each way to read it.
async fn is_soft<S: Store>(store: &S, address: &Address) -> bool {
    let found = store.lookup(address).await.expect("an answer").expect("a value");
    let soft = found.soft_since().is_some();
    if let Some(peeked) = store.peek(address, tokio::time::Instant::now()) {
        assert_eq!(peeked.soft_since().is_some(), soft, "peek and lookup disagree");
    }
    soft
}

/// A softened value stays, and is soft until another replaces it.
pub async fn what_was_softened_stays_and_is_soft_until_another_replaces_it<S: Store>(one: S, two: S) {
    // A store may remove a stale value that other programs may read.
    for address in [private_address("a"), private_address("b")] {
        soften(&one, &address).await;
        assert_eq!(lookup(&one, &address).await, None);
        put(&one, &address, &value("old")).await;
        assert!(!is_soft(&one, &address).await);
        soften(&two, &address).await;
        let first = one.lookup(&address).await.expect("an answer").expect("a value");
        soften(&one, &address).await;
        for store in [&one, &two] {
            assert!(is_soft(store, &address).await);
            let found = store.lookup(&address).await.expect("an answer").expect("a value");
            assert_eq!(found.encoded_bytes().unwrap_or_else(|| "old".into()), "old");
            assert_eq!(
                found.soft_since(),
                first.soft_since(),
                "it has been since the first time"
            );
        }
        put(&one, &address, &value("new")).await;
        assert!(!is_soft(&two, &address).await);
        assert_eq!(lookup(&one, &address).await.as_deref(), Some(&b"new"[..]));
        soften(&one, &address).await;
        invalidate(&two, &address).await;
        soften(&one, &address).await;
        assert_eq!(lookup(&one, &address).await, None);
    }
}

/// A value that is committed under a softened lock is soft.
pub async fn what_is_committed_under_a_softened_lock_is_soft<S: Store>(one: S, two: S) {
    // A store may remove a stale value that other programs may read.
    for address in [private_address("a"), private_address("b")] {
        let token = lead(&one, &address).await;
        assert_eq!(
            one.renew(&address, token, LONG).await.expect("an answer"),
            Renewed::Held
        );
        soften(&two, &address).await;
        soften(&two, &address).await;
        assert!(is_locked(&two, &address).await);
        assert_eq!(
            one.renew(&address, token, LONG).await.expect("an answer"),
            Renewed::Soft
        );
        let foreign = two.renew(&address, Token::random(), LONG).await;
        assert_eq!(foreign.expect("an answer"), Renewed::Lost);
        let mut watch = watch(&two, &address).await;
        assert!(!commit(&one, &address, token, &value("old")).await);
        assert!(is_soft(&two, &address).await);
        match hear(&mut watch).await {
            Notice::Stored(heard) => assert!(heard.soft_since().is_some()),
            Notice::Announced => {}
            other => panic!("{other:?}"),
        }
        put(&two, &address, &value("new")).await;
        assert!(!is_soft(&two, &address).await);
        // In both ways.
        let token = lead(&one, &address).await;
        soften(&two, &address).await;
        invalidate(&two, &address).await;
        assert_eq!(
            one.renew(&address, token, LONG).await.expect("an answer"),
            Renewed::Lost
        );
        assert!(!commit(&one, &address, token, &value("older")).await);
        assert_eq!(lookup(&two, &address).await, None);
    }
}

/// A result that is released under a softened lock is for no watcher.
pub async fn what_is_released_under_a_softened_lock_is_for_none<S: Store>(one: S, two: S) {
    let address = private_address("a");
    for reason in reasons() {
        let token = lead(&one, &address).await;
        let mut watch = watch(&two, &address).await;
        soften(&two, &address).await;
        assert!(!release(&one, &address, token, reason).await);
        match hear(&mut watch).await {
            Notice::Released(Release::Abandoned) => {}
            other => panic!("{other:?}"),
        }
        assert!(!is_locked(&two, &address).await);
    }
}
