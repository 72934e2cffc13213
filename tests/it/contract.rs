//! The contract of `Store`, clause by clause. `contract_memory.rs` and `contract_redis.rs` run it.
//!
//! A clause gets two handles on one store that is empty: clones, or two connections. Where something must be over,
//! a clause waits for as long as the store itself said, or lets the shortest time pass that it may depend on; what
//! must *not* be over yet lasts a minute, so a slow machine changes nothing.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tower_memolock::store::{Acquire, Generation, Lock, Notice, Release, Stamp, Store, Token, Value, Watch};
use tower_memolock::{Address, Key, Label, MAX_LABELS, RemoteError, Tag};

use crate::support::within;

/// Calls `$each!` with the names of all clauses.
macro_rules! for_each_clause {
    ($each:ident) => {
        $each! {
            an_unknown_address_has_no_value
            a_committed_value_is_read_back_until_another_replaces_it
            any_bytes_are_a_value
            a_value_expires
            the_shortest_and_the_longest_ttl_are_taken
            one_of_many_gets_the_lock
            acquiring_again_with_the_same_token_is_granted_and_starts_the_lease_anew
            acquiring_reads_the_value_stored_meanwhile
            a_refusal_says_what_is_left_of_the_lease
            a_lease_runs_out
            renewing_extends_the_lease
            a_foreign_or_lost_token_renews_nothing
            committing_gives_the_lock_back
            a_foreign_token_commits_and_releases_nothing
            an_expired_lease_changes_nothing
            releasing_gives_the_lock_back_and_leaves_the_value
            a_marker_stands_in_the_place_of_the_value_and_is_heard_as_pass
            unmarking_removes_the_marker_and_no_value
            invalidating_removes_value_and_lock
            invalidating_what_is_not_there_is_no_error
            an_invalidated_computation_cannot_commit
            a_watch_begins_with_reread
            a_commit_is_heard_by_all_watchers
            every_kind_of_release_is_heard
            an_invalidation_is_heard
            what_is_shared_under_an_id_to_the_letter_is_heard
            deferring_extends_the_lease_and_is_heard
            a_foreign_or_lost_token_defers_nothing
            whoever_resolves_stores_and_is_heard_and_leaves_the_lock_alone
            what_is_resolved_for_no_time_is_heard_and_not_stored
            a_watcher_hears_only_its_own_address
            dropping_one_watch_leaves_the_others_alone
            an_address_can_be_watched_again_and_again
            a_watcher_hears_nothing_from_before_it_came
            a_notice_survives_a_wait_that_was_given_up
            addresses_do_not_interfere
            a_stamp_goes_with_its_value
            a_stamp_is_current_until_one_of_its_labels_is_invalidated
            a_generation_is_there_before_and_after_an_invalidation
            invalidating_everything_reaches_every_stamp
            invalidating_under_one_tag_leaves_the_others_alone
            what_is_out_of_date_is_not_peeked_at
            what_is_forgotten_of_invalidations_is_out_of_date
        }
    };
}
pub(crate) use for_each_clause;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

/// As short as it may be for something to be over soon.
const SHORT: Duration = Duration::from_millis(80);

fn tag() -> Tag {
    Tag::new("contract").expect("a tag")
}

/// An address with a hash tag, without which a Redis Cluster takes none.
fn address(id: &str) -> Address {
    Address::new(&tag(), &Key::new(format!("{{{id}}}")).expect("a key"))
}

/// An address of which no other program knows: whatever is said of it may be put in the store's own words.
fn private_address(id: &str) -> Address {
    Address::new(&tag(), &Key::builder().part("GET").part(id).build())
}

fn value(bytes: &'static str) -> Value {
    Value::encoded(bytes)
}

fn bytes(value: &Value) -> Bytes {
    value.bytes().expect("a value with bytes")
}

async fn acquire<S: Store>(store: &S, address: &Address, token: Token, lease: Duration) -> Acquire {
    let acquired = store.acquire(address, token, lease).await;
    acquired.expect("an answer to acquire")
}

/// Takes a lock that is free, for long.
async fn lead<S: Store>(store: &S, address: &Address) -> Token {
    let token = Token::random();
    let acquired = acquire(store, address, token, LONG).await;
    assert_eq!(acquired.lock, Lock::Granted, "the lock should be free");
    token
}

async fn is_locked<S: Store>(store: &S, address: &Address) -> bool {
    let token = Token::random();
    if acquire(store, address, token, LONG).await.lock != Lock::Granted {
        return true;
    }
    let released = store.release(address, token, Release::Abandoned).await;
    assert!(released.expect("an answer to release"));
    false
}

async fn commit<S: Store>(store: &S, address: &Address, token: Token, value: &Value) -> bool {
    let committed = store.commit(address, token, value, LONG).await;
    committed.expect("an answer to commit")
}

async fn release<S: Store>(store: &S, address: &Address, token: Token, reason: Release) -> bool {
    let released = store.release(address, token, reason).await;
    released.expect("an answer to release")
}

async fn mark<S: Store>(store: &S, address: &Address, token: Token, marker: &Value) -> bool {
    let marked = store.mark(address, token, marker, LONG).await;
    marked.expect("an answer to mark")
}

async fn renew<S: Store>(store: &S, address: &Address, token: Token, lease: Duration) -> bool {
    let renewed = store.renew(address, token, lease).await;
    renewed.expect("an answer to renew")
}

async fn defer<S: Store>(store: &S, address: &Address, token: Token, lease: Duration, starts: u32) -> bool {
    let deferred = store.defer(address, token, lease, starts).await;
    deferred.expect("an answer to defer")
}

async fn resolve<S: Store>(store: &S, address: &Address, value: &Value, ttl: Duration) {
    let resolved = store.resolve(address, value, ttl).await;
    resolved.expect("an answer to resolve");
}

async fn invalidate<S: Store>(store: &S, address: &Address) {
    let invalidated = store.invalidate(address).await;
    invalidated.expect("an answer to invalidate");
}

async fn lookup<S: Store>(store: &S, address: &Address) -> Option<Bytes> {
    let found = store.lookup(address).await.expect("an answer to lookup");
    if let (Some(peeked), Some(found)) = (store.peek(address, tokio::time::Instant::now()), &found) {
        assert_eq!(bytes(&peeked), bytes(found), "peek and lookup disagree");
    }
    found.as_ref().map(bytes)
}

/// Computes and commits `value`.
async fn put<S: Store>(store: &S, address: &Address, value: &Value) {
    let token = lead(store, address).await;
    assert!(commit(store, address, token, value).await);
}

/// Takes the lock for [`SHORT`] and waits until the lease is over.
async fn lead_too_long<S: Store>(store: &S, address: &Address) -> Token {
    let token = Token::random();
    let acquired = acquire(store, address, token, SHORT).await;
    assert_eq!(acquired.lock, Lock::Granted, "the lock should be free");
    pass(SHORT).await;
    token
}

/// Lets `time` pass, and the little by which clocks and timers differ.
async fn pass(time: Duration) {
    tokio::time::sleep(time + Duration::from_millis(30)).await;
}

/// A watch that is in effect.
async fn watch<S: Store>(store: &S, address: &Address) -> S::Watch {
    let mut watch = store.watch(address);
    let first = within("the first notice", watch.next()).await;
    assert!(matches!(first, Notice::Reread), "{first:?} came before Reread");
    watch
}

/// The next notice that is more than a reminder to read.
async fn hear(watch: &mut impl Watch) -> Notice {
    loop {
        let notice = within("a notice", watch.next()).await;
        if !matches!(notice, Notice::Reread) {
            return notice;
        }
    }
}

/// The value that a watcher learns of: in the notice, or by reading when told to.
async fn hear_value<S: Store>(watch: &mut S::Watch, store: &S, address: &Address) -> Bytes {
    loop {
        match within("a notice", watch.next()).await {
            Notice::Stored(value) => return bytes(&value),
            Notice::Reread | Notice::Announced => {
                if let Some(value) = lookup(store, address).await {
                    return value;
                }
            }
            other => panic!("{other:?} instead of a value"),
        }
    }
}

pub(crate) async fn an_unknown_address_has_no_value<S: Store>(one: S, two: S) {
    assert_eq!(lookup(&one, &address("nobody")).await, None);
    assert_eq!(lookup(&two, &address("nobody")).await, None);
    assert!(one.peek(&address("nobody"), tokio::time::Instant::now()).is_none());
}

pub(crate) async fn a_committed_value_is_read_back_until_another_replaces_it<S: Store>(one: S, two: S) {
    let address = address("a");
    for content in ["first", "second"] {
        put(&one, &address, &value(content)).await;
        assert_eq!(lookup(&one, &address).await.as_deref(), Some(content.as_bytes()));
        assert_eq!(lookup(&two, &address).await.as_deref(), Some(content.as_bytes()));
    }
}

pub(crate) async fn any_bytes_are_a_value<S: Store>(one: S, two: S) {
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

pub(crate) async fn a_value_expires<S: Store>(one: S, two: S) {
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

pub(crate) async fn the_shortest_and_the_longest_ttl_are_taken<S: Store>(one: S, two: S) {
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

pub(crate) async fn one_of_many_gets_the_lock<S: Store>(one: S, two: S) {
    let address = address("a");
    let attempts = (0..64).map(|n| {
        let store = if n % 2 == 0 { &one } else { &two };
        acquire(store, &address, Token::random(), LONG)
    });
    let answers = join_all(attempts).await;
    let granted = answers.iter().filter(|a| a.lock == Lock::Granted).count();
    assert_eq!(granted, 1);
}

pub(crate) async fn acquiring_again_with_the_same_token_is_granted_and_starts_the_lease_anew<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    let again = acquire(&two, &address, token, 5 * LONG).await;
    assert_eq!(again.lock, Lock::Granted);
    assert!(is_held_for_more_than(&one, &address, LONG).await);
    assert!(commit(&one, &address, token, &value("x")).await);
}

async fn is_held_for_more_than<S: Store>(store: &S, address: &Address, time: Duration) -> bool {
    match acquire(store, address, Token::random(), LONG).await.lock {
        Lock::Granted => panic!("nobody held the lock"),
        Lock::Held { remaining } => remaining.is_none_or(|remaining| remaining > time),
    }
}

pub(crate) async fn acquiring_reads_the_value_stored_meanwhile<S: Store>(one: S, two: S) {
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

pub(crate) async fn a_refusal_says_what_is_left_of_the_lease<S: Store>(one: S, two: S) {
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

pub(crate) async fn a_lease_runs_out<S: Store>(one: S, two: S) {
    let address = address("a");
    let acquired = acquire(&one, &address, Token::random(), Duration::from_millis(300)).await;
    assert_eq!(acquired.lock, Lock::Granted);
    let refused = acquire(&two, &address, Token::random(), LONG).await;
    if let Lock::Held { remaining } = refused.lock {
        pass(remaining.expect("a lease that ends")).await;
        lead(&two, &address).await;
    }
}

pub(crate) async fn renewing_extends_the_lease<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    assert!(renew(&two, &address, token, 5 * LONG).await);
    assert!(is_held_for_more_than(&one, &address, LONG).await);
}

pub(crate) async fn a_foreign_or_lost_token_renews_nothing<S: Store>(one: S, two: S) {
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

pub(crate) async fn committing_gives_the_lock_back<S: Store>(one: S, two: S) {
    let address = address("a");
    let token = lead(&one, &address).await;
    assert!(is_locked(&two, &address).await);
    assert!(commit(&one, &address, token, &value("x")).await);
    assert!(!is_locked(&two, &address).await);
    assert!(!commit(&one, &address, token, &value("y")).await, "committed twice");
    assert_eq!(lookup(&two, &address).await.as_deref(), Some(&b"x"[..]));
}

pub(crate) async fn a_foreign_token_commits_and_releases_nothing<S: Store>(one: S, two: S) {
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

pub(crate) async fn an_expired_lease_changes_nothing<S: Store>(one: S, two: S) {
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

pub(crate) async fn releasing_gives_the_lock_back_and_leaves_the_value<S: Store>(one: S, two: S) {
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

fn reasons() -> [Release; 7] {
    [
        Release::Abandoned,
        Release::Broken { failures: 2 },
        Release::Declined { attempts: 1 },
        Release::Stale,
        Release::Pass,
        Release::Shared(value("shared")),
        Release::Failed(RemoteError::new("it did not work, \"\u{df}\"\r\n")),
    ]
}

pub(crate) async fn a_marker_stands_in_the_place_of_the_value_and_is_heard_as_pass<S: Store>(one: S, two: S) {
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

pub(crate) async fn unmarking_removes_the_marker_and_no_value<S: Store>(one: S, two: S) {
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

pub(crate) async fn invalidating_removes_value_and_lock<S: Store>(one: S, two: S) {
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

pub(crate) async fn invalidating_what_is_not_there_is_no_error<S: Store>(one: S, _: S) {
    invalidate(&one, &address("nobody")).await;
}

pub(crate) async fn an_invalidated_computation_cannot_commit<S: Store>(one: S, two: S) {
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

pub(crate) async fn a_watch_begins_with_reread<S: Store>(one: S, two: S) {
    let address = address("a");
    watch(&one, &address).await;
    let _other = watch(&one, &address).await;
    let _third = watch(&one, &address).await;
    watch(&two, &address).await;
}

pub(crate) async fn a_commit_is_heard_by_all_watchers<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut here = watch(&one, &address).await;
    let mut also_here = watch(&one, &address).await;
    let mut there = watch(&two, &address).await;
    put(&one, &address, &value("heard")).await;
    assert_eq!(hear_value(&mut here, &one, &address).await, "heard");
    assert_eq!(hear_value(&mut also_here, &one, &address).await, "heard");
    assert_eq!(hear_value(&mut there, &two, &address).await, "heard");
}

pub(crate) async fn every_kind_of_release_is_heard<S: Store>(one: S, two: S) {
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

pub(crate) async fn an_invalidation_is_heard<S: Store>(one: S, two: S) {
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

pub(crate) async fn what_is_shared_under_an_id_to_the_letter_is_heard<S: Store>(one: S, two: S) {
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

pub(crate) async fn deferring_extends_the_lease_and_is_heard<S: Store>(one: S, two: S) {
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

pub(crate) async fn a_foreign_or_lost_token_defers_nothing<S: Store>(one: S, two: S) {
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

pub(crate) async fn whoever_resolves_stores_and_is_heard_and_leaves_the_lock_alone<S: Store>(one: S, two: S) {
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

pub(crate) async fn what_is_resolved_for_no_time_is_heard_and_not_stored<S: Store>(one: S, two: S) {
    let address = address("a");
    let mut watch = watch(&one, &address).await;
    resolve(&two, &address, &value("passing"), Duration::ZERO).await;
    match hear(&mut watch).await {
        Notice::Stored(heard) => assert_eq!(bytes(&heard), "passing"),
        other => panic!("{other:?}"),
    }
    assert_eq!(lookup(&one, &address).await, None);
}

pub(crate) async fn a_watcher_hears_only_its_own_address<S: Store>(one: S, two: S) {
    let (mine, other) = (address("mine"), address("other"));
    let mut watch = watch(&two, &mine).await;
    put(&one, &other, &value("other")).await;
    invalidate(&one, &other).await;
    put(&one, &mine, &value("mine")).await;
    assert_eq!(hear_value(&mut watch, &two, &mine).await, "mine");
}

pub(crate) async fn dropping_one_watch_leaves_the_others_alone<S: Store>(one: S, two: S) {
    let address = address("a");
    let gone = watch(&two, &address).await;
    let mut stays = watch(&two, &address).await;
    let never_in_effect = two.watch(&address);
    drop(never_in_effect);
    drop(gone);
    put(&one, &address, &value("heard")).await;
    assert_eq!(hear_value(&mut stays, &two, &address).await, "heard");
}

pub(crate) async fn an_address_can_be_watched_again_and_again<S: Store>(one: S, two: S) {
    let address = address("a");
    for _ in 0..50 {
        let mut watch = watch(&two, &address).await;
        let token = lead(&one, &address).await;
        assert!(release(&one, &address, token, Release::Pass).await);
        let heard = hear(&mut watch).await;
        assert!(matches!(heard, Notice::Released(Release::Pass)), "{heard:?}");
    }
}

pub(crate) async fn a_watcher_hears_nothing_from_before_it_came<S: Store>(one: S, two: S) {
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

pub(crate) async fn a_notice_survives_a_wait_that_was_given_up<S: Store>(one: S, two: S) {
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

pub(crate) async fn addresses_do_not_interfere<S: Store>(one: S, two: S) {
    keep_apart(one, two, "{x}").await;
}

/// Not for a Redis Cluster.
pub(crate) async fn addresses_without_a_hash_tag_do_not_interfere<S: Store>(one: S, two: S) {
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

    let mut watches = join_all(all.iter().map(|address| watch(&two, address))).await;
    let tokens = join_all(all.iter().map(|address| lead(&one, address))).await;
    let values: Vec<Value> = all.iter().map(|a| Value::encoded(a.to_string())).collect();
    let commits = all.iter().zip(&tokens).zip(&values);
    let commits = commits.map(|((address, token), value)| commit(&one, address, *token, value));
    assert!(join_all(commits).await.into_iter().all(|committed| committed));
    for (address, watch) in all.iter().zip(&mut watches) {
        assert_eq!(
            lookup(&two, address).await.as_deref(),
            Some(address.as_str().as_bytes())
        );
        assert_eq!(hear_value(watch, &two, address).await, address.as_str());
    }
    invalidate(&one, &all[0]).await;
    let left = join_all(all.iter().map(|address| lookup(&two, address))).await;
    assert_eq!(left.iter().filter(|value| value.is_none()).count(), 1);
}

fn labels(tags: &[&str]) -> Vec<Label> {
    Label::all(tags).expect("labels")
}

async fn generation<S: Store>(store: &S) -> Generation {
    store.generation(&tag()).await.expect("an answer to generation")
}

/// A stamp of a computation that starts now.
async fn stamp<S: Store>(store: &S, tags: &[&str]) -> Stamp {
    Stamp::new(generation(store).await, labels(tags))
}

async fn is_current<S: Store>(store: &S, stamp: &Stamp) -> bool {
    let is_current = store.is_current(&tag(), stamp).await;
    is_current.expect("an answer to is_current")
}

async fn invalidate_labels<S: Store>(store: &S, tags: &[&str]) {
    let invalidated = store.invalidate_labels(&tag(), &labels(tags)).await;
    invalidated.expect("an answer to invalidate_labels");
}

async fn invalidate_all<S: Store>(store: &S) {
    let invalidated = store.invalidate_all(&tag()).await;
    invalidated.expect("an answer to invalidate_all");
}

pub(crate) async fn a_stamp_goes_with_its_value<S: Store>(one: S, two: S) {
    let long = "x".repeat(1000);
    let address = private_address("a");
    for tags in [&[][..], &["a"], &["a", "b c:{d}", "größe\0", &long]] {
        let stamp = stamp(&one, tags).await;
        let stamped = value("content").stamped(stamp.clone());
        let mut watch = watch(&two, &address).await;
        let token = lead(&one, &address).await;
        assert!(release(&one, &address, token, Release::Shared(stamped.clone())).await);
        match hear(&mut watch).await {
            Notice::Released(Release::Shared(shared)) => assert_eq!(shared.stamp(), Some(&stamp)),
            other => panic!("{other:?}"),
        }
        put(&one, &address, &stamped).await;
        match hear(&mut watch).await {
            Notice::Stored(stored) => assert_eq!(stored.stamp(), Some(&stamp)),
            other => panic!("{other:?}"),
        }
        let found = two.lookup(&address).await.expect("an answer").expect("a value");
        assert_eq!(found.stamp(), Some(&stamp));
        let acquired = acquire(&two, &address, Token::random(), SHORT).await;
        assert_eq!(acquired.value.expect("a value").stamp(), Some(&stamp));
        assert_eq!(lookup(&two, &address).await, lookup(&one, &address).await);
        invalidate(&one, &address).await;
    }
    put(&one, &address, &value("plain")).await;
    let found = two.lookup(&address).await.expect("an answer").expect("a value");
    assert_eq!(found.stamp(), None);
}

pub(crate) async fn a_stamp_is_current_until_one_of_its_labels_is_invalidated<S: Store>(one: S, two: S) {
    for invalidated in [&["a"][..], &["b"], &["c", "b"]] {
        let (with, without) = (stamp(&one, &["a", "b"]).await, stamp(&two, &["d"]).await);
        let bare = stamp(&one, &[]).await;
        for store in [&one, &two] {
            assert!(is_current(store, &with).await);
            assert!(is_current(store, &without).await);
        }
        invalidate_labels(&two, invalidated).await;
        for store in [&one, &two] {
            assert!(!is_current(store, &with).await, "{invalidated:?}");
            assert!(is_current(store, &without).await, "{invalidated:?}");
            assert!(is_current(store, &bare).await, "{invalidated:?}");
        }
    }
}

pub(crate) async fn a_generation_is_there_before_and_after_an_invalidation<S: Store>(one: S, two: S) {
    let mut last = generation(&one).await;
    assert_eq!(generation(&two).await, last);
    for _ in 0..100 {
        invalidate_labels(&two, &["a"]).await;
        let next = generation(&one).await;
        assert_eq!(next.incarnation, last.incarnation);
        assert!(next.number > last.number, "{next:?} after {last:?}");
        assert!(is_current(&two, &Stamp::new(next, labels(&["a"]))).await);
        assert!(!is_current(&two, &Stamp::new(last, labels(&["a"]))).await);
        last = next;
    }
}

pub(crate) async fn invalidating_everything_reaches_every_stamp<S: Store>(one: S, two: S) {
    // Nothing has to be there for it.
    invalidate_all(&one).await;
    invalidate_labels(&one, &["a"]).await;
    for _ in 0..3 {
        let stamps = [stamp(&one, &[]).await, stamp(&two, &["a"]).await];
        for stamp in &stamps {
            assert!(is_current(&two, stamp).await);
        }
        invalidate_all(&one).await;
        for stamp in &stamps {
            assert!(!is_current(&two, stamp).await);
        }
        // Nor does any of it come back.
        let next = stamp(&two, &[]).await;
        invalidate_labels(&one, &["b"]).await;
        for stamp in &stamps {
            assert!(!is_current(&one, stamp).await);
        }
        assert!(is_current(&one, &next).await);
    }
}

pub(crate) async fn invalidating_under_one_tag_leaves_the_others_alone<S: Store>(one: S, two: S) {
    let other = Tag::new("two").expect("a tag");
    let mine = stamp(&one, &["a"]).await;
    let theirs = Stamp::new(one.generation(&other).await.expect("a generation"), labels(&["a"]));
    let invalidated = two.invalidate_labels(&other, &labels(&["a"])).await;
    invalidated.expect("an answer");
    assert!(is_current(&one, &mine).await);
    assert!(!one.is_current(&other, &theirs).await.expect("an answer"));
    two.invalidate_all(&other).await.expect("an answer");
    assert!(is_current(&one, &mine).await);
}

pub(crate) async fn what_is_out_of_date_is_not_peeked_at<S: Store>(one: S, two: S) {
    let address = address("a");
    for all in [false, true] {
        let stamp = stamp(&one, &["a"]).await;
        put(&one, &address, &value("content").stamped(stamp)).await;
        if all {
            invalidate_all(&two).await;
        } else {
            invalidate_labels(&two, &["a"]).await;
        }
        assert!(one.peek(&address, tokio::time::Instant::now()).is_none());
    }
}

pub(crate) async fn what_is_forgotten_of_invalidations_is_out_of_date<S: Store>(one: S, two: S) {
    let first = stamp(&one, &["first"]).await;
    invalidate_labels(&one, &["first"]).await;
    let old = stamp(&one, &["old"]).await;
    // More than any store remembers.
    let tags: Vec<_> = (0..70_000).map(|n| n.to_string()).collect();
    for tags in tags.chunks(MAX_LABELS) {
        let labels = Label::all(tags).expect("labels");
        let invalidated = two.invalidate_labels(&tag(), &labels).await;
        invalidated.expect("an answer");
    }
    let new = stamp(&one, &["first", "old", "0", "69999"]).await;
    invalidate_labels(&two, &["another"]).await;
    assert!(!is_current(&one, &first).await);
    assert!(!is_current(&one, &old).await, "who knows whether it was invalidated");
    assert!(is_current(&one, &new).await);
}
