//! Nodes whose requests are watched: what became of them as their responses, the log and the metrics have it.

use std::collections::BTreeMap;
use std::ops::Deref;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use metrics::with_local_recorder;
use tower::Layer;
use tower_memolock::middleware::{CacheStatus, Freshness};
use tower_memolock::{MemoLockLayer, MemoryStore, Store};
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use crate::events::Events;
use crate::layer::fixture::{Inner, Node, answer, send, settle};
use crate::metrics::Recorded;

/// What the log and the metrics say.
pub(super) struct Watch {
    recorded: Recorded,
    pub(super) events: Events,
    _capture: DefaultGuard,
}

impl Watch {
    /// Watches what is made here.
    pub(super) fn over<T>(make: impl FnOnce() -> T) -> (Self, T) {
        let recorded = Recorded::default();
        let made = with_local_recorder(&recorded, make);
        let (events, capture) = Events::capture();
        let watch = Self {
            recorded,
            events,
            _capture: capture,
        };
        (watch, made)
    }

    /// How many requests had which outcome and reason, as the metrics have it.
    pub(super) fn counted(&self) -> BTreeMap<String, u64> {
        let all = self.recorded.all("memolock_requests_total{");
        let pair = |key: String| {
            let labels = key.split_once("outcome=").expect("an outcome").1;
            labels.trim_end_matches('}').replace(",reason=", "/")
        };
        all.into_iter().map(|(key, count)| (pair(key), count)).collect()
    }

    /// The same, as the log has it.
    pub(super) fn logged(&self) -> BTreeMap<String, u64> {
        let mut logged = BTreeMap::new();
        for line in self.events.find(Level::DEBUG, "what became of a request") {
            let word = |name: &str| {
                let rest = line.split_once(&format!("{name}=\"")).expect("the field").1;
                rest.split_once('"').expect("its end").0.to_owned()
            };
            *logged
                .entry(format!("{}/{}", word("outcome"), word("reason")))
                .or_default() += 1;
        }
        logged
    }

    /// Asserts that these requests, and no others, had an outcome.
    #[track_caller]
    pub(super) fn has_seen(&self, expected: &[(&str, u64)]) {
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(pair, count)| ((*pair).to_owned(), *count))
            .collect();
        assert_eq!(self.counted(), expected, "in the metrics");
        assert_eq!(self.logged(), expected, "in the log");
    }
}

/// A node that is watched.
pub(super) struct Watched {
    pub(super) node: Node,
    pub(super) layer: MemoLockLayer,
    watch: Watch,
}

impl Deref for Watched {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.watch
    }
}

impl Watched {
    pub(super) fn new(inner: Inner, set: impl FnOnce(MemoLockLayer) -> MemoLockLayer) -> Self {
        Self::over(MemoryStore::new(), inner, set)
    }

    pub(super) fn over(store: impl Store, inner: Inner, set: impl FnOnce(MemoLockLayer) -> MemoLockLayer) -> Self {
        let (watch, layer) = Watch::over(|| {
            let layer = MemoLockLayer::new(store, "layer").cache_status(CacheStatus::Outcome);
            set(layer.freshness(Freshness::new().ttl_jitter(0.0)))
        });
        let node = layer.layer(inner);
        Self { node, layer, watch }
    }

    /// Sends a request that becomes this, and asserts that its response says so.
    pub(super) async fn expect(&self, request: Request<Full<Bytes>>, expected: &str) -> String {
        let shown = format!("{} {:?}", request.method(), request.headers());
        let before = self.counted();
        let answer = answer(send(&self.node, request)).await;
        settle().await;
        let told = answer.header("cache-status").expect("a status").to_owned();
        let reason = expected.split_once('/').expect("a pair").1;
        match expected {
            "hit/fresh" => assert!(!told.contains("detail="), "{told}"),
            _ => assert!(
                told.ends_with(&format!("; detail={reason}")),
                "{shown} is {expected}: {told}"
            ),
        }
        let mut after = self.counted();
        for (pair, count) in before {
            *after.get_mut(&pair).expect("it only grows") -= count;
        }
        after.retain(|_, count| *count > 0);
        assert_eq!(after, BTreeMap::from([(expected.to_owned(), 1)]), "{shown}");
        assert_eq!(self.logged(), self.counted(), "{shown}");
        told
    }
}
