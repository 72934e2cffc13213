//! The steps of which clauses are made. A step panics where the store does not answer as it has to.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::error::RemoteError;
use crate::key::{Address, Key, Tag};
use crate::store::{Acquire, Lock, Notice, Release, Store, Token, Value, Watch};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits `future`, and panics with `what` where that takes longer than [`PATIENCE`].
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Polls all `futures` at once, and returns what they gave in their order.
pub(super) async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut poll = Poll::Ready(());
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(value) => *output = Some(value),
                Poll::Pending => poll = Poll::Pending,
            }
        }
        poll
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

/// Longer than any test.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// The shortest time that the contract allows, for something that is to be over soon.
pub(super) const SHORT: Duration = Duration::from_millis(80);

pub(super) fn tag() -> Tag {
    Tag::new("contract").expect("a tag")
}

/// An address with a hash tag, without which a Redis Cluster takes none.
pub(super) fn address(id: &str) -> Address {
    Address::new(&tag(), &Key::new(format!("{{{id}}}")).expect("a key"))
}

/// An address of which no other program knows: the store may speak of it in its own words.
pub(super) fn private_address(id: &str) -> Address {
    Address::new(&tag(), &Key::builder().part("GET").part(id).build())
}

pub(super) fn value(bytes: &'static str) -> Value {
    Value::encoded(bytes)
}

pub(super) fn bytes(value: &Value) -> Bytes {
    value.bytes().expect("a value with bytes")
}

pub(super) async fn acquire<S: Store>(store: &S, address: &Address, token: Token, lease: Duration) -> Acquire {
    let acquired = store.acquire(address, token, lease).await;
    acquired.expect("an answer to acquire")
}

/// Takes a lock that is free, for long.
pub(super) async fn lead<S: Store>(store: &S, address: &Address) -> Token {
    let token = Token::random();
    let acquired = acquire(store, address, token, LONG).await;
    assert_eq!(acquired.lock, Lock::Granted, "the lock should be free");
    token
}

pub(super) async fn is_locked<S: Store>(store: &S, address: &Address) -> bool {
    let token = Token::random();
    if acquire(store, address, token, LONG).await.lock != Lock::Granted {
        return true;
    }
    let released = store.release(address, token, Release::Abandoned).await;
    assert!(released.expect("an answer to release"));
    false
}

pub(super) async fn commit<S: Store>(store: &S, address: &Address, token: Token, value: &Value) -> bool {
    let committed = store.commit(address, token, value, LONG).await;
    committed.expect("an answer to commit")
}

pub(super) async fn release<S: Store>(store: &S, address: &Address, token: Token, reason: Release) -> bool {
    let released = store.release(address, token, reason).await;
    released.expect("an answer to release")
}

pub(super) async fn mark<S: Store>(store: &S, address: &Address, token: Token, marker: &Value) -> bool {
    let marked = store.mark(address, token, marker, LONG).await;
    marked.expect("an answer to mark")
}

pub(super) async fn renew<S: Store>(store: &S, address: &Address, token: Token, lease: Duration) -> bool {
    let renewed = store.renew(address, token, lease).await;
    renewed.expect("an answer to renew").is_held()
}

pub(super) async fn defer<S: Store>(store: &S, address: &Address, token: Token, lease: Duration, starts: u32) -> bool {
    let deferred = store.defer(address, token, lease, starts).await;
    deferred.expect("an answer to defer")
}

pub(super) async fn resolve<S: Store>(store: &S, address: &Address, value: &Value, ttl: Duration) {
    let resolved = store.resolve(address, value, ttl).await;
    resolved.expect("an answer to resolve");
}

pub(super) async fn invalidate<S: Store>(store: &S, address: &Address) {
    let invalidated = store.invalidate(address).await;
    invalidated.expect("an answer to invalidate");
}

pub(super) async fn lookup<S: Store>(store: &S, address: &Address) -> Option<Bytes> {
    let found = store.lookup(address).await.expect("an answer to lookup");
    if let (Some(peeked), Some(found)) = (store.peek(address, tokio::time::Instant::now()), &found) {
        assert_eq!(bytes(&peeked), bytes(found), "peek and lookup disagree");
    }
    found.as_ref().map(bytes)
}

/// Computes and commits `value`.
pub(super) async fn put<S: Store>(store: &S, address: &Address, value: &Value) {
    let token = lead(store, address).await;
    assert!(commit(store, address, token, value).await);
}

/// Takes the lock for [`SHORT`] and waits until the lease is over.
pub(super) async fn lead_too_long<S: Store>(store: &S, address: &Address) -> Token {
    let token = Token::random();
    let acquired = acquire(store, address, token, SHORT).await;
    assert_eq!(acquired.lock, Lock::Granted, "the lock should be free");
    pass(SHORT).await;
    token
}

/// Lets `time` pass, and the little by which clocks and timers differ.
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time + Duration::from_millis(30)).await;
}

/// A watch that is in effect.
pub(super) async fn watch<S: Store>(store: &S, address: &Address) -> S::Watch {
    let mut watch = store.watch(address);
    let first = within("the first notice", watch.next()).await;
    assert!(matches!(first, Notice::Reread), "{first:?} came before Reread");
    watch
}

/// The next notice that is more than a reminder to read.
pub(super) async fn hear(watch: &mut impl Watch) -> Notice {
    loop {
        let notice = within("a notice", watch.next()).await;
        if !matches!(notice, Notice::Reread) {
            return notice;
        }
    }
}

/// The value that a watcher learns of: in the notice, or by reading when told to.
pub(super) async fn hear_value<S: Store>(watch: &mut S::Watch, store: &S, address: &Address) -> Bytes {
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

pub(super) async fn is_held_for_more_than<S: Store>(store: &S, address: &Address, time: Duration) -> bool {
    match acquire(store, address, Token::random(), LONG).await.lock {
        Lock::Granted => panic!("no caller held the lock"),
        Lock::Held { remaining } => remaining.is_none_or(|remaining| remaining > time),
    }
}

pub(super) fn reasons() -> [Release; 7] {
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
