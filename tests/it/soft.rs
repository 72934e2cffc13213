//! Soft invalidation of the values of a [`MemoLock`]: all callers go on with the stale one while one of them computes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tower_memolock::{Invalidation, Key, MemoLock, MemoryStore, RedisStore, Store};

use crate::support::{Gate, RedisServer, until, within};

/// Two nodes that compute the number of the call, as the gate lets them.
struct Pair {
    memos: [MemoLock; 2],
    calls: Arc<AtomicUsize>,
    gate: Gate,
    id: Key,
}

impl Pair {
    fn over(stores: [impl Store; 2]) -> Self {
        let memo = |store| MemoLock::new(store, "t").stamped(true).tags_of(|_, _| ["x"]);
        Self {
            memos: stores.map(memo),
            calls: Arc::default(),
            gate: Gate::new(),
            id: Key::new("a").expect("a key"),
        }
    }

    /// Of an id that only members of our kind know.
    fn of_a_derived_id(mut self) -> Self {
        self.id = Key::builder().part("GET").part("a").build();
        self
    }

    async fn ask(&self, node: usize) -> Bytes {
        let (calls, gate) = (Arc::clone(&self.calls), self.gate.clone());
        let compute = || async move {
            let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
            gate.pass().await;
            Ok::<_, Infallible>(call.to_string().into())
        };
        within("a value", self.memos[node].get_or_compute(self.id.clone(), compute))
            .await
            .expect("a value")
    }

    fn by(&self, way: usize, node: usize) -> Invalidation {
        match way {
            0 => self.memos[node].invalidate(self.id.clone()),
            1 => self.memos[node].invalidate_tags(["x", "y"]),
            _ => self.memos[node].invalidate_all(),
        }
    }

    async fn until(&self, node: usize, value: &str) {
        until("a new value", async || {
            let found = self.memos[node].get(self.id.clone()).await.expect("a key");
            found.is_some_and(|found| found == value)
        })
        .await;
    }
}

async fn all_go_on_with_the_stale_one(pair: &Pair) {
    pair.gate.let_go(1);
    assert_eq!(pair.ask(0).await, "1");
    for (way, node) in [(0, 0), (1, 1), (2, 0), (0, 1)] {
        let before = pair.calls.load(Ordering::SeqCst);
        let (old, new) = (before.to_string(), (before + 1).to_string());
        within("an invalidation", pair.by(way, node).soft())
            .await
            .expect("an invalidation");
        for node in [0, 1, 1, 0] {
            assert_eq!(
                pair.memos[node].get(pair.id.clone()).await.expect("a key"),
                None,
                "way {way}"
            );
            assert_eq!(pair.ask(node).await, old, "way {way}");
        }
        pair.gate.reached_by(before + 1).await;
        assert_eq!(pair.calls.load(Ordering::SeqCst), before + 1, "way {way}");
        pair.gate.let_go(1);
        pair.until(0, &new).await;
        pair.until(1, &new).await;
        assert_eq!(pair.ask(1).await, new);
    }
}

async fn over_redis(server: &RedisServer) -> Pair {
    Pair::over(server.two_stores().await)
}

#[tokio::test]
async fn all_callers_go_on_with_the_stale_one_over_redis() {
    let server = RedisServer::start();
    all_go_on_with_the_stale_one(&over_redis(&server).await).await;
}

#[tokio::test]
async fn all_callers_go_on_with_the_stale_one_in_memory() {
    let store = MemoryStore::new();
    all_go_on_with_the_stale_one(&Pair::over([store.clone(), store])).await;
}

#[tokio::test]
async fn all_callers_go_on_with_a_stale_near_copy() {
    let server = RedisServer::start();
    let connect = || async {
        RedisStore::builder(server.url())
            .near(1 << 20)
            .connect()
            .await
            .expect("a store")
    };
    all_go_on_with_the_stale_one(&Pair::over([connect().await, connect().await])).await;
}

#[tokio::test]
async fn what_is_computed_meanwhile_is_for_those_from_before_and_stale_to_the_others() {
    for way in 0..3 {
        // What the round before left running in the background holds locks.
        let server = RedisServer::start();
        let pair = over_redis(&server).await.of_a_derived_id();
        let value = async {
            let first = pair.ask(0);
            let meanwhile = async {
                pair.gate.reached_by(1).await;
                within("an invalidation", pair.by(way, 1).soft())
                    .await
                    .expect("an invalidation");
                pair.gate.let_go(1);
                pair.ask(1).await
            };
            tokio::join!(first, meanwhile)
        };
        assert_eq!(value.await, ("1".into(), "1".into()), "way {way}");
        assert_eq!(
            pair.memos[0].get(pair.id.clone()).await.expect("a key"),
            None,
            "way {way}"
        );
        pair.gate.reached_by(2).await;
        pair.gate.let_go(1);
        pair.until(0, "2").await;
        assert_eq!(pair.calls.load(Ordering::SeqCst), 2, "way {way}");
    }
}

/// They take what they read to the letter.
#[tokio::test]
async fn other_members_of_the_family_never_read_what_stands_in_front_of_a_stale_value() {
    let server = RedisServer::start();
    let store = server.store().await;
    let memo = MemoLock::new(store, "t");
    let gate = Gate::new();
    let value = async |value: &'static str| {
        let gate = gate.clone();
        let compute = move || async move {
            gate.pass().await;
            Ok::<_, Infallible>(Bytes::from(value))
        };
        within("a value", memo.get_or_compute("a", compute))
            .await
            .expect("a value")
    };
    gate.let_go(1);
    assert_eq!(value("old").await, "old");
    assert_eq!(server.cli(&["GET", "t:a"]), "old");
    memo.invalidate("a").soft().await.expect("an invalidation");
    assert_eq!(server.cli(&["EXISTS", "t:a"]), "0");
    let invalidated = async {
        gate.reached_by(2).await;
        memo.invalidate("a").soft().await.expect("an invalidation");
        assert_eq!(server.cli(&["EXISTS", "t/lock:a"]), "0");
        gate.let_go(1);
    };
    assert_eq!(tokio::join!(value("between"), invalidated).0, "between");
    memo.drained().await;
    assert_eq!(server.cli(&["EXISTS", "t:a"]), "0");
    gate.let_go(1);
    assert_eq!(value("new").await, "new");
    assert_eq!(server.cli(&["GET", "t:a"]), "new");
}

#[tokio::test]
async fn a_stale_one_that_cannot_be_computed_anew_goes_on() {
    let memo = MemoLock::new(MemoryStore::new(), "t");
    let fill = || async { Ok::<_, std::io::Error>("old".into()) };
    memo.get_or_compute("a", fill).await.expect("a value");
    memo.invalidate("a").soft().await.expect("an invalidation");
    let fail = || async { Err::<Bytes, _>(std::io::Error::other("broken")) };
    for _ in 0..3 {
        assert_eq!(memo.get_or_compute("a", fail).await.expect("a value"), "old");
        memo.drained().await;
    }
    assert!(memo.stats().stale >= 3);
}

#[tokio::test]
async fn who_has_the_receipt_waits_for_what_is_new() {
    for way in 0..3 {
        // What the round before left running in the background holds locks.
        let server = RedisServer::start();
        let pair = over_redis(&server).await;
        pair.gate.let_go(1);
        assert_eq!(pair.ask(0).await, "1");
        let receipt = within("an invalidation", pair.by(way, 0).soft())
            .await
            .expect("a receipt");
        let receipt = receipt.to_string().parse().expect("its text");
        let asked = async {
            let since = pair.memos[1].since(receipt);
            assert_eq!(since.get("a").await.expect("a key"), None);
            let compute = || async { Ok::<_, Infallible>("new".into()) };
            since.get_or_compute("a", compute).await.expect("a value")
        };
        assert_eq!(within("a value", asked).await, "new", "way {way}");
        assert_eq!(pair.ask(0).await, "new", "way {way}");
        let again = || async { Ok::<_, Infallible>("newer".into()) };
        assert_eq!(
            pair.memos[0]
                .since(receipt)
                .get_or_compute("a", again)
                .await
                .expect("a value"),
            "new"
        );
    }
}

#[tokio::test]
async fn a_value_is_computed_now_by_one_in_the_cluster_whatever_is_stored() {
    for stamped in [true, false] {
        // What the round before left running in the background holds locks.
        let server = RedisServer::start();
        let pair = over_redis(&server).await;
        let memos = pair.memos.each_ref().map(|memo| memo.clone().stamped(stamped));
        let refresh = async |node: usize| {
            let (calls, gate) = (Arc::clone(&pair.calls), pair.gate.clone());
            let compute = || async move {
                let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
                gate.pass().await;
                Ok::<_, Infallible>(Bytes::from(call.to_string()))
            };
            within("a value", memos[node].refresh("a", compute))
                .await
                .expect("a value")
        };
        pair.gate.let_go(1);
        assert_eq!(refresh(0).await, "1");
        let release = async {
            pair.gate.reached_by(2).await;
            assert_eq!(memos[1].get("a").await.expect("a key").as_deref(), Some(&b"1"[..]));
            crate::support::eventually("a subscriber", || {
                !server.cli(&["PUBSUB", "CHANNELS", "t/*"]).is_empty()
            })
            .await;
            pair.gate.let_go(1);
        };
        let (one, two, three, ()) = tokio::join!(refresh(0), refresh(1), refresh(1), release);
        assert_eq!([one, two, three], ["2", "2", "2"]);
        assert_eq!(memos[0].get("a").await.expect("a key").as_deref(), Some(&b"2"[..]));
        pair.gate.let_go(1);
        assert_eq!(refresh(1).await, "3");
    }
}
