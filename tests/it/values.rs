//! What a handle makes of each value: how long it is kept, and that there is nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::advance;
use tower_memolock::codec::Json;
use tower_memolock::{ErrorKind, MemoLock, MemoryStore, Store};

use super::support::{RedisServer, within};

type Users = MemoLock<Json<Option<String>>>;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A user is kept for ten minutes, and that there is no such user for five seconds.
fn users(store: impl Store) -> Users {
    Users::json(store, "user").ttl_of(|user| Some(secs(if user.is_some() { 600 } else { 5 })))
}

/// The table of users, and how often it was read.
#[derive(Clone, Default)]
struct Table(Arc<AtomicUsize>);

impl Table {
    fn find(&self, id: u64) -> std::io::Result<Option<String>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok((id < 10).then(|| format!("user {id}")))
    }

    fn reads(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn ask(users: &Users, table: &Table, id: u64) -> Option<String> {
    let table = table.clone();
    let found = users.get_or_compute(id, move || async move { table.find(id) });
    within("an answer", found).await.expect("a value")
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_kept_for_less_time() {
    let users = users(MemoryStore::new());
    let table = Table::default();
    for (after, reads) in [(0, 2), (4, 2), (2, 3), (590, 4), (10, 6)] {
        advance(secs(after)).await;
        assert_eq!(ask(&users, &table, 7).await.as_deref(), Some("user 7"));
        assert_eq!(ask(&users, &table, 70).await, None);
        assert_eq!(table.reads(), reads, "after {after} more seconds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_nothing_is_known_on_every_node_for_as_long() {
    let redis = RedisServer::start();
    let node = async || users(redis.store().await);
    let (here, there) = (node().await, node().await);
    let table = Table::default();
    for (id, user, longest) in [(7, Some("user 7".to_owned()), 600_000), (70, None, 5000)] {
        let before = table.reads();
        assert_eq!(ask(&here, &table, id).await, user);
        assert_eq!(ask(&there, &table, id).await, user);
        assert_eq!(table.reads(), before + 1);
        let ttl: u64 = redis.cli(&["PTTL", &format!("user:{{{id}}}")]).parse().expect("a time");
        assert!(ttl > longest / 2 && ttl <= longest, "{ttl}");
    }
    assert_eq!(redis.cli(&["GET", "user:{70}"]), "null");
}

/// An error that is a value: known to all for a moment.
type Outcome = Result<u64, String>;

#[tokio::test(flavor = "multi_thread")]
async fn an_error_can_be_kept_as_a_value_and_one_that_is_not_is_for_those_who_wait() {
    let redis = RedisServer::start();
    let node = async || {
        let store = redis.store().await;
        MemoLock::<Json<Outcome>>::json(store, "sum").ttl_of(|sum| match sum {
            Ok(_) => Some(secs(60)),
            Err(error) if error == "overflow" => Some(secs(10)),
            Err(_) => None,
        })
    };
    let (here, there) = (node().await, node().await);
    let compute = |outcome: Outcome| move || async move { std::io::Result::Ok(outcome) };
    for (id, outcome, kept) in [
        ("sum", Ok(42), true),
        ("large", Err("overflow".to_owned()), true),
        ("busy", Err("try again".to_owned()), false),
    ] {
        let first = within("an answer", here.get_or_compute(id, compute(outcome.clone()))).await;
        assert_eq!(first.expect("a value"), outcome);
        assert_eq!(there.get(id).await.expect("a key"), kept.then_some(outcome), "{id}");
        assert_eq!(redis.cli(&["EXISTS", &format!("sum/lock:{id}")]), "0");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_reaches_all_who_wait_on_every_node() {
    let store = MemoryStore::new();
    let node = || users(store.clone()).ttl_of(|_| None);
    let (here, there) = (node(), node());
    let (started, has_started) = oneshot::channel();
    let gate = Arc::new(Notify::new());
    let open = Arc::clone(&gate);
    let memo = here.clone();
    let leader = tokio::spawn(async move {
        let compute = || async move {
            let _ = started.send(());
            open.notified().await;
            Ok::<_, std::io::Error>(None)
        };
        memo.get_or_compute(1, compute).await
    });
    has_started.await.expect("a leader");
    let table = Table::default();
    let followers = [&here, &there].map(|memo| {
        let (memo, table) = (memo.clone(), table.clone());
        tokio::spawn(async move { ask(&memo, &table, 1).await })
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    assert_eq!(leader.await.expect("no panic").expect("a value"), None);
    for follower in followers {
        assert_eq!(follower.await.expect("no panic"), None);
    }
    assert_eq!(table.reads(), 0);
    assert_eq!(here.get(1).await.expect("a key"), None);
}

#[tokio::test(start_paused = true)]
async fn a_setting_holds_for_one_handle_and_the_clones_of_it() {
    let users = users(MemoryStore::new());
    let table = Table::default();
    let longer = users.clone().ttl_of(|_| Some(secs(60)));
    assert_eq!(ask(&users, &table, 70).await, None);
    assert_eq!(ask(&longer, &table, 71).await, None);
    advance(secs(10)).await;
    assert_eq!(ask(&longer.clone(), &table, 71).await, None);
    assert_eq!(table.reads(), 2);
    assert_eq!(ask(&longer, &table, 70).await, None);
    assert_eq!(table.reads(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_panics_is_a_panic_of_the_computation_and_keeps_no_lock() {
    let store = MemoryStore::new();
    let here = users(store.clone()).ttl_of(|_| panic!("on purpose"));
    let there = users(store.clone()).tags_of(|_, _| -> [String; 0] { panic!("on purpose") });
    let table = Table::default();
    for memo in [&here, &there] {
        let asked = |memo: &Users| {
            let (memo, table) = (memo.clone(), table.clone());
            tokio::spawn(async move { memo.get_or_compute(1, move || async move { table.find(1) }).await })
        };
        for asked in [asked(memo), asked(memo)] {
            let error = asked.await.expect("no panic here").expect_err("no value");
            assert_eq!(error.kind(), ErrorKind::Panicked);
        }
    }
    assert_eq!(ask(&users(store), &table, 1).await.as_deref(), Some("user 1"));
}
