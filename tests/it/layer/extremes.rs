//! Settings and fields at the ends of what they can be: nothing overflows, panics or hangs. Time is paused but for Redis.

use std::convert::Infallible;
use std::time::Duration;

use http::StatusCode;
use tokio::time::advance;
use tower::Layer;
use tower_memolock::middleware::{Freshness, Privacy, ResponseLimits, StreamFollowers};
use tower_memolock::{AtLimit, Lease, Limits, MemoLock, MemoLockLayer, MemoryStore, RedisStore, Store};

use super::fixture::{Answer, Inner, Node, answer, fresh, get, send, settle, text, with};
use crate::support::{RedisServer, eventually};

const TIMES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_micros(999),
    Duration::from_millis(1),
    Duration::from_secs(u64::MAX / 1000),
    Duration::MAX,
];

type Set = (&'static str, fn(MemoLockLayer, Duration) -> MemoLockLayer);

fn times() -> Vec<Set> {
    vec![
        ("lease", |layer, time| layer.lease(time)),
        ("lease and the rest", |layer, time| {
            layer
                .lease(time)
                .ttl(time)
                .wait_timeout(time)
                .freshness(Freshness::new().stale_while_revalidate(time))
        }),
        ("wait_timeout", |layer, time| layer.wait_timeout(time)),
        ("ttl", |layer, time| layer.ttl(time)),
        ("jittered ttl", |layer, time| {
            layer.ttl(time).freshness(Freshness::new().ttl_jitter(f64::EPSILON))
        }),
        ("override_ttl", |layer, time| {
            layer.freshness(Freshness::new().override_ttl(time))
        }),
        ("status_ttl", |layer, time| {
            layer.freshness(Freshness::new().status_ttl(StatusCode::OK, time))
        }),
        ("stale_while_revalidate", |layer, time| {
            layer.ttl(time).freshness(Freshness::new().stale_while_revalidate(time))
        }),
        ("stale_if_error", |layer, time| {
            layer.ttl(time).freshness(Freshness::new().stale_if_error(time))
        }),
        ("revalidate_for", |layer, time| {
            layer.ttl(time).freshness(Freshness::new().revalidate_for(time))
        }),
        ("pass_marker", |layer, time| {
            layer.privacy(Privacy::new().pass_marker(time))
        }),
        ("early", |layer, time| {
            layer.ttl(time).freshness(Freshness::new().early_refresh(f64::INFINITY))
        }),
        ("retry_after", |layer, time| {
            layer.limits(
                Limits::new()
                    .max_in_flight(0)
                    .at_limit(AtLimit::Refuse { retry_after: time }),
            )
        }),
    ]
}

async fn ask(node: &Node) -> Answer {
    let answer = answer(send(node, get("/"))).await;
    settle().await;
    answer
}

async fn all_times<St: Store>(store: impl Fn() -> St) {
    for (name, set) in times() {
        for time in TIMES {
            for private in [false, true] {
                let inner = Inner::replying(move |_| match private {
                    true => with(text("x"), "cache-control", "private"),
                    false => with(text("x"), "etag", "\"a\""),
                });
                let layer = set(
                    MemoLockLayer::new(
                        store(),
                        format!("{name}-{time:?}-{private}").replace([' ', '.', 'µ'], "-"),
                    ),
                    time,
                );
                let node: Node = layer.layer(inner);
                for _ in 0..3 {
                    let answer = ask(&node).await;
                    let told = (answer.status.as_u16(), answer.header("retry-after").map(str::len));
                    assert!(
                        matches!(told, (200, None) | (503, Some(1..=10))),
                        "{name} {time:?}: {told:?}"
                    );
                }
                let is_idle = || (layer.handle().stats().waiting, layer.handle().stats().recorded_bytes) == (0, 0);
                eventually(&format!("an end of {name} {time:?}"), is_idle).await;
                assert_eq!(layer.handle().stats().store_errors, 0, "{name} {time:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_time_that_can_be_set_can_be_any() {
    all_times(MemoryStore::new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_time_that_can_be_set_can_be_any_with_redis() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    all_times(|| store.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_of_a_redis_store_can_be_any() {
    let redis = RedisServer::start();
    for time in [Duration::from_secs(u64::MAX / 1000), Duration::MAX] {
        let store = RedisStore::builder(redis.url()).timeout(time).connect_timeout(time);
        let store = store.connect().await.expect("a store");
        let memo = MemoLock::new(store, "t");
        let value = memo.get_or_compute(format!("{}", time.as_secs()), || async {
            Ok::<_, Infallible>("x".into())
        });
        assert_eq!(value.await.unwrap(), "x");
    }
    for time in [Duration::ZERO, Duration::from_nanos(1)] {
        let Ok(store) = RedisStore::builder(redis.url()).timeout(time).connect().await else {
            continue;
        };
        let memo = MemoLock::new(store, "t");
        let value = memo.get_or_compute("a", || async { Ok::<_, Infallible>("x".into()) });
        assert_eq!(value.await.unwrap(), "x");
    }
}

#[tokio::test(start_paused = true)]
async fn the_core_takes_any_time_and_number() {
    for time in TIMES {
        for capacity in [0, 1, u64::MAX] {
            let memo = MemoLock::new(MemoryStore::with_capacity(capacity), "t")
                .lease(time)
                .ttl(time);
            let memo = memo.wait_timeout(time).limits(Limits::new().max_attempts(u32::MAX));
            let value = memo
                .get_or_compute("a", || async { Ok::<_, Infallible>("x".into()) })
                .await;
            assert_eq!(value.unwrap(), "x");
            let of_value = memo.clone().ttl_of(move |_| Some(time));
            let value = of_value.get_or_compute("b", || async { Ok::<_, Infallible>("x".into()) });
            assert_eq!(value.await.unwrap(), "x");
            let tagged = of_value.tags_of(|_, _| ["y"]);
            let value = tagged.get_or_compute("c", || async { Ok::<_, Infallible>("x".into()) });
            assert_eq!(value.await.unwrap(), "x");
            let renewable = move || async move {
                let lease = Lease::take().await;
                let extended = lease.extend(time).await.is_ok();
                Ok::<_, Infallible>(if extended { "x" } else { "y" }.into())
            };
            assert_eq!(memo.get_or_compute("d", renewable).await.unwrap(), "x");
            memo.resolve("e", "x".into(), time).await.unwrap();
            assert_eq!((memo.stats().waiting, memo.stats().in_flight), (0, 0));
        }
    }
    for most in [0, usize::MAX] {
        for at_limit in [
            AtLimit::Bypass,
            AtLimit::Refuse {
                retry_after: Duration::MAX,
            },
        ] {
            let memo =
                MemoLock::new(MemoryStore::new(), "t").limits(Limits::new().max_waiters(most).max_in_flight(most));
            let memo = memo.limits(Limits::new().at_limit(at_limit));
            let value = memo.get_or_compute("a", || async { Ok::<_, Infallible>("x".into()) });
            assert!(value.await.is_ok_and(|value| value == "x") || most == 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_number_that_can_be_set_can_be_any() {
    type Set = fn(MemoLockLayer, u64) -> MemoLockLayer;
    let sets: [(&str, Set); 6] = [
        ("max_body", |layer, most| {
            layer.response_limits(ResponseLimits::new().max_body(most))
        }),
        ("max_headers", |layer, most| {
            layer.response_limits(ResponseLimits::new().max_headers(most))
        }),
        ("max_waiters", |layer, most| {
            layer.limits(Limits::new().max_waiters(most as usize))
        }),
        ("max_in_flight", |layer, most| {
            layer.limits(Limits::new().max_in_flight(most as usize))
        }),
        ("max_recording", |layer, most| {
            layer.response_limits(ResponseLimits::new().max_recording(most))
        }),
        ("early_refresh", |layer, most| {
            layer.freshness(
                Freshness::new()
                    .early_refresh(f64::from_bits(most))
                    .ttl_jitter(f64::from_bits(most)),
            )
        }),
    ];
    let numbers = [
        0,
        1,
        u64::MAX,
        1 << 63,
        f64::NAN.to_bits(),
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
        (-1.0_f64).to_bits(),
    ];
    for (name, set) in sets {
        for number in numbers {
            for stream in [StreamFollowers::Off, StreamFollowers::Process] {
                let layer = set(MemoLockLayer::new(MemoryStore::new(), "t"), number).stream_followers(stream);
                let node: Node = layer.layer(Inner::replying(|_| fresh("x")));
                for _ in 0..3 {
                    assert_eq!(ask(&node).await.body, "x", "{name} {number}");
                }
                let stats = layer.handle().stats();
                assert_eq!(
                    (stats.waiting, stats.in_flight, stats.recorded_bytes),
                    (0, 0, 0),
                    "{name} {number}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_field_can_say_anything() {
    const MUCH: &str = "99999999999999999999999999";
    let fields = [
        ("cache-control", format!("max-age={MUCH}")),
        (
            "cache-control",
            format!("s-maxage={MUCH}, stale-while-revalidate={MUCH}, stale-if-error={MUCH}"),
        ),
        ("cache-control", "max-age=18446744073709551615".into()),
        ("cache-control", "max-age=0, stale-while-revalidate=2147483648".into()),
        ("cdn-cache-control", "max-age=999999999999999".into()),
        ("cdn-cache-control", format!("max-age={MUCH}")),
        ("age", MUCH.into()),
        ("age", "18446744073709551615".into()),
        ("age", "-1".into()),
        ("expires", "Fri, 31 Dec 9999 23:59:59 GMT".into()),
        ("expires", "Thu, 01 Jan 1970 00:00:00 GMT".into()),
        ("expires", "Fri, 31 Dec 99999 23:59:59 GMT".into()),
        ("date", "Fri, 31 Dec 9999 23:59:59 GMT".into()),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT".into()),
        ("content-length", "18446744073709551615".into()),
    ];
    for (name, value) in fields {
        let inner = Inner::replying(move |_| {
            let mut response = fresh("x");
            response.headers_mut().insert(name, value.parse().expect("a value"));
            response
        });
        let node: Node = MemoLockLayer::new(MemoryStore::new(), "t").layer(inner);
        for _ in 0..4 {
            let status = ask(&node).await.status;
            assert_eq!(status, 200, "{name}");
            advance(Duration::from_secs(1 << 33)).await;
        }
    }
}
