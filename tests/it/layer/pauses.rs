//! The inner service is left alone for a while after a failure, where the layer says so.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use http_body_util::Full;
use tokio::time::{Instant, advance, sleep};
use tower_memolock::MemoLockLayer;
use tower_memolock::middleware::Failures;

use super::fixture::{
    Asked, Broken, Failure, Inner, Reply, answer, data, fresh, get, get_with, pair, parts, send, settle, text, with,
};
use crate::support::within;

const PAUSE: Duration = Duration::from_secs(10);

fn paused(layer: MemoLockLayer) -> MemoLockLayer {
    layer.failures(Failures::new().pause(PAUSE))
}

fn status(code: u16, body: &'static str) -> Reply {
    let mut response = text(body);
    *response.status_mut() = code.try_into().expect("a status");
    Ok(response)
}

fn inner(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Inner {
    Inner::new(move |_, call| std::future::ready(reply(call)))
}

async fn ended(asked: Asked) -> Result<u16, Failure> {
    let ended = within("an end", asked).await.expect("no panic");
    ended.map(|answer| answer.status.as_u16())
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_given_again_without_asking_until_the_pause_is_over() {
    for code in [500, 502, 503, 504, 599] {
        let inner = inner(move |_| status(code, "of one client"));
        let nodes = pair(&inner, paused);
        assert_eq!(answer(send(&nodes[0], get("/"))).await.body, "of one client");
        settle().await;
        for asked in 0..5 {
            let answer = answer(send(&nodes[0], get("/"))).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (code, 0), "{asked}");
            assert_eq!(answer.header("retry-after"), Some("10"));
        }
        assert_eq!(inner.calls(), 1);
        // Another key, another process.
        answer(send(&nodes[0], get("/other"))).await;
        answer(send(&nodes[1], get("/"))).await;
        assert_eq!(inner.calls(), 3);
        advance(PAUSE - Duration::from_millis(500)).await;
        let last = answer(send(&nodes[0], get("/"))).await;
        assert_eq!((last.header("retry-after"), inner.calls()), (Some("1"), 3));
        advance(Duration::from_millis(500)).await;
        answer(send(&nodes[0], get("/"))).await;
        assert_eq!(inner.calls(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_503_or_what_is_made_of_it() {
    let failing = || inner(|_| Err(Broken("down")));
    let (plain, made) = (failing(), failing());
    let [node, _] = pair(&plain, paused);
    assert!(matches!(ended(send(&node, get("/"))).await, Err(Failure::Call(_))));
    settle().await;
    assert_eq!(ended(send(&node, get("/"))).await.expect("an answer"), 503);

    let [node, _] = pair(&made, |layer| {
        let bad_gateway = |error: &Broken| Response::builder().status(502).body(Bytes::from(error.0)).ok();
        paused(layer).failures(Failures::new().share_errors(bad_gateway))
    });
    assert!(ended(send(&node, get("/"))).await.is_err());
    settle().await;
    for _ in 0..2 {
        let answer = answer(send(&node, get("/"))).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (502, &b"down"[..]));
        let head = http::Request::head("/").body(Full::default()).expect("a request");
        let answer = self::answer(send(&node, head)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (502, 0));
        assert_eq!(answer.header("retry-after"), Some("10"));
    }
    assert_eq!((plain.calls(), made.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn panics_and_bodies_that_break_off_are_failures_as_well() {
    let broken = inner(|_| Ok(parts([data("begun"), Err(Broken("off"))])));
    let short = inner(|_| Ok(with(parts([data("begun")]), "content-length", "9")));
    let panics = inner(|_| panic!("on purpose"));
    for inner in [broken, short, panics] {
        let [node, _] = pair(&inner, paused);
        let _ = send(&node, get("/")).await;
        settle().await;
        assert_eq!(ended(send(&node, get("/"))).await.expect("an answer"), 503);
        assert_eq!(inner.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_failure_begins_no_pause_and_neither_does_a_layer_that_does_not_say_so() {
    for code in [200, 302, 400, 403, 404, 429, 501] {
        let inner = inner(move |_| status(code, ""));
        let [node, _] = pair(&inner, paused);
        for _ in 0..2 {
            assert_eq!(ended(send(&node, get("/"))).await.expect("an answer"), code);
            settle().await;
        }
        assert_eq!(inner.calls(), 2, "{code}");
    }
    let inner = inner(|_| status(500, ""));
    let [node, _] = pair(&inner, |layer| layer);
    for _ in 0..2 {
        answer(send(&node, get("/"))).await;
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_is_given_first_and_not_refreshed() {
    for stale in ["stale-if-error=600", "stale-if-error=600, stale-while-revalidate=600"] {
        let inner = inner(move |call| match call {
            1 => Ok(with(fresh("1"), "cache-control", stale)),
            _ => status(500, ""),
        });
        let [node, _] = pair(&inner, paused);
        answer(send(&node, get("/"))).await;
        sleep(Duration::from_secs(61)).await;
        for _ in 0..5 {
            assert_eq!(answer(send(&node, get("/"))).await.body, "1", "{stale}");
            settle().await;
        }
        assert_eq!(inner.calls(), 2, "{stale}");
        advance(PAUSE).await;
        assert_eq!(answer(send(&node, get("/"))).await.body, "1", "{stale}");
        settle().await;
        assert_eq!(inner.calls(), 3, "{stale}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_or_a_range_asks_no_sooner_than_the_whole() {
    let inner = inner(|call| match call {
        1 | 3 => status(502, "of one client"),
        _ => Ok(with(fresh("0123456789"), "cache-control", "stale-if-error=600")),
    });
    let [node, _] = pair(&inner, paused);
    let head = || http::Request::head("/").body(Full::default()).expect("a request");
    let range = || get_with("/", "range", "bytes=2-3");
    answer(send(&node, get("/"))).await;
    settle().await;
    for request in [head(), range(), get_with("/", "if-none-match", "\"a\"")] {
        let answer = answer(send(&node, request)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (502, 0));
        assert_eq!(answer.header("retry-after"), Some("10"));
    }
    assert_eq!(inner.calls(), 1);
    // Nothing was ever shared with this one.
    let mut own = head();
    own.headers_mut()
        .insert("authorization", "Basic YTpi".parse().expect("a value"));
    assert_eq!(answer(send(&node, own)).await.status.as_u16(), 200);
    assert_eq!(inner.calls(), 2);

    // What is stale stands in.
    let inner = self::inner(|call| match call {
        1 => Ok(with(fresh("0123456789"), "cache-control", "stale-if-error=600")),
        _ => status(500, ""),
    });
    let [node, _] = pair(&inner, paused);
    answer(send(&node, get("/"))).await;
    sleep(Duration::from_secs(61)).await;
    assert_eq!(answer(send(&node, get("/"))).await.body, "0123456789");
    settle().await;
    let part = answer(send(&node, range())).await;
    assert_eq!((part.status.as_u16(), &*part.body), (206, &b"23"[..]));
    assert_eq!(answer(send(&node, head())).await.status.as_u16(), 200);
    assert_eq!(inner.calls(), 2);
    advance(PAUSE).await;
    assert_eq!(answer(send(&node, head())).await.status.as_u16(), 500);
    assert_eq!(inner.calls(), 3);
    settle().await;
    answer(send(&node, head())).await;
    assert_eq!(inner.calls(), 4, "it has begun no pause");
}

/// A call that takes a second.
fn slow(reply: impl Fn(usize) -> Reply + Clone + Send + Sync + 'static) -> Inner {
    Inner::new(move |_, call| {
        let reply = reply.clone();
        async move {
            sleep(Duration::from_secs(1)).await;
            reply(call)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn of_those_who_wait_one_tries_and_no_other_one_asks() {
    let inner = slow(|_| Err(Broken("down")));
    let [node, _] = pair(&inner, paused);
    let begun = Instant::now();
    let asked: Vec<_> = (0..20).map(|_| send(&node, get("/"))).collect();
    let ends = join_all(asked.into_iter().map(ended)).await;
    let given = ends.iter().filter(|end| matches!(end, Ok(503))).count();
    let own = ends.iter().filter(|end| end.is_err()).count();
    assert_eq!((given, own, inner.calls()), (18, 2, 2));
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_one_request_has_provoked_ends_with_the_success_of_another_that_waited() {
    let inner = slow(|call| match call {
        1 => status(500, ""),
        _ => Ok(fresh(call.to_string())),
    });
    let [node, _] = pair(&inner, paused);
    let attacker = send(&node, get_with("/", "x-odd", "1"));
    settle().await;
    let others: Vec<_> = (0..5).map(|_| send(&node, get("/"))).collect();
    assert_eq!(ended(attacker).await.expect("an answer"), 500);
    for other in others {
        assert_eq!(answer(other).await.body, "2");
    }
    assert_eq!(answer(send(&node, get("/"))).await.body, "2");
    // Nothing is left of it.
    sleep(Duration::from_secs(61)).await;
    assert_eq!(answer(send(&node, get("/"))).await.body, "3");
}

#[tokio::test(start_paused = true)]
async fn a_pause_may_be_of_any_length() {
    for time in [Duration::from_nanos(1), Duration::from_secs(u64::MAX), Duration::MAX] {
        let inner = inner(|_| status(500, ""));
        let [node, _] = pair(&inner, |layer| layer.failures(Failures::new().pause(time)));
        for _ in 0..3 {
            assert_eq!(ended(send(&node, get("/"))).await.expect("an answer"), 500, "{time:?}");
            settle().await;
        }
    }
}
