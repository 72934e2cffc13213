//! The figures as a recorder of the `metrics` crate gets them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use tokio::sync::Notify;
use tower_memolock::{Limits, MemoLock, MemoryStore};

use crate::support::{RedisServer, eventually};

/// What a metric stands at, by its name and labels.
#[derive(Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<BTreeMap<String, Arc<Number>>>>);

#[derive(Default)]
pub(crate) struct Number(AtomicU64);

impl CounterFn for Number {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }
}

impl GaugeFn for Number {
    fn increment(&self, value: f64) {
        CounterFn::increment(self, value as u64);
    }

    fn decrement(&self, value: f64) {
        self.0.fetch_sub(value as u64, Ordering::SeqCst);
    }

    fn set(&self, value: f64) {
        self.absolute(value as u64);
    }
}

/// Counts what a histogram is told.
impl HistogramFn for Number {
    fn record(&self, value: f64) {
        assert!(value >= 0.0, "{value}");
        CounterFn::increment(self, 1);
    }
}

impl Recorded {
    fn number(&self, key: &Key) -> Arc<Number> {
        let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().expect("no panic").entry(name).or_default())
    }

    /// What begins with `name` and is not 0.
    pub(crate) fn all(&self, name: &str) -> BTreeMap<String, u64> {
        let numbers = self.0.lock().expect("no panic");
        let all = numbers
            .iter()
            .map(|(key, number)| (key.clone(), number.0.load(Ordering::SeqCst)));
        all.filter(|(key, value)| key.starts_with(name) && *value > 0).collect()
    }

    fn get(&self, name: &str) -> u64 {
        let numbers = self.0.lock().expect("no panic");
        let number = numbers
            .get(name)
            .unwrap_or_else(|| panic!("{name} among {:?}", numbers.keys()));
        number.0.load(Ordering::SeqCst)
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, description: SharedString) {
        assert!(description.ends_with('.'), "{description}");
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, description: SharedString) {
        assert!(description.ends_with('.'), "{description}");
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, description: SharedString) {
        assert!(description.ends_with('.'), "{description}");
        // As OpenMetrics has it, a name ends with its unit.
        let unit = unit.expect("a unit").as_str();
        assert!(name.as_str().ends_with(&format!("_{unit}")), "{name:?} in {unit}");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.number(key))
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_gets_what_the_stats_say() {
    let recorded = Recorded::default();
    let memo = with_local_recorder(&recorded, || MemoLock::new(MemoryStore::new(), "likes"));
    let gate = Arc::new(Notify::new());
    let callers: Vec<_> = (0..5)
        .map(|_| {
            let (memo, gate) = (memo.clone(), Arc::clone(&gate));
            let compute = move || async move {
                gate.notified().await;
                Ok::<_, Infallible>(Bytes::from("x"))
            };
            tokio::spawn(async move { memo.get_or_compute("a", compute).await })
        })
        .collect();
    eventually("all but the leader waiting", || memo.stats().waiting == 4).await;
    assert_eq!(recorded.get("memolock_waiting{tag=likes}"), 4);
    assert_eq!(recorded.get("memolock_in_flight{tag=likes}"), 1);
    gate.notify_one();
    for caller in callers {
        caller.await.expect("no panic").expect("a value");
    }
    memo.get("a").await.expect("a key").expect("a hit");
    memo.clone()
        .limits(Limits::new().max_in_flight(0))
        .get_or_compute("b", || async { Ok::<_, Infallible>(Bytes::new()) })
        .await
        .expect("a value");

    let stats = memo.stats();
    assert_eq!(
        (stats.led, stats.followed, stats.hits, stats.limited_in_flight),
        (1, 4, 1, 1)
    );
    for (name, value) in [
        ("memolock_led_total{tag=likes}", 1),
        ("memolock_followed_total{tag=likes}", 4),
        ("memolock_hits_total{tag=likes}", 1),
        ("memolock_limited_total{tag=likes,limit=in_flight}", 1),
        ("memolock_limited_total{tag=likes,limit=waiters}", 0),
        ("memolock_wait_seconds{tag=likes}", 4),
        ("memolock_computation_seconds{tag=likes}", 1),
        ("memolock_stored_bytes{tag=likes}", 1),
        ("memolock_store_command_seconds{tag=likes,command=commit}", 1),
        ("memolock_store_command_seconds{tag=likes,command=invalidate}", 0),
        ("memolock_waiting{tag=likes}", 0),
        ("memolock_in_flight{tag=likes}", 0),
    ] {
        assert_eq!(recorded.get(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_recorder_gets_what_a_redis_store_goes_through() {
    let recorded = Recorded::default();
    let mut redis = RedisServer::start();
    let store = {
        let recorder: &'static Recorded = Box::leak(Box::new(recorded.clone()));
        let _local = metrics::set_default_local_recorder(recorder);
        redis.store().await
    };
    let connected = |plane| recorded.get(&format!("memolock_redis_connected{{plane={plane}}}"));
    eventually("both planes", || {
        connected("commands") + connected("notifications") == 2
    })
    .await;
    redis.kill();
    eventually("an outage", || connected("commands") + connected("notifications") == 0).await;
    assert_eq!(recorded.get("memolock_redis_outages_total{plane=commands}"), 1);
    redis.restart_empty();
    eventually("both planes", || {
        connected("commands") + connected("notifications") == 2
    })
    .await;
    assert_eq!(recorded.get("memolock_redis_reconnects_total{plane=commands}"), 1);
    let stats = store.stats();
    let failed = ["timeout", "rejected", "unavailable"];
    let failed = failed.map(|kind| recorded.get(&format!("memolock_redis_errors_total{{kind={kind}}}")));
    assert_eq!(failed, [stats.timeouts, stats.rejected, stats.unavailable]);
    drop(store);
    eventually("nothing left", || {
        connected("commands") + connected("notifications") == 0
    })
    .await;
}
