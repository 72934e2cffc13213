//! `Date` of what is replayed, where the inner service sent none: when its response was received (RFC 9110, 6.6.1).

use std::time::{Duration, SystemTime};
use tower_memolock::middleware::{CacheStatus, Freshness};

use http::{Method, Request};
use http_body_util::Full;

use super::fixture::{Answer, Inner, Node, answer, fresh, get, pair, send, settle, text, with};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn date(answer: &Answer) -> Option<SystemTime> {
    assert!(answer.headers.get_all("date").iter().count() <= 1);
    answer
        .header("date")
        .map(|date| httpdate::parse_http_date(date).expect("a date"))
}

async fn ask(node: &Node, method: Method, fields: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(method).uri("/");
    let request = fields
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    answer(send(node, request.body(Full::default()).expect("a request"))).await
}

#[tokio::test(start_paused = true)]
async fn all_clients_but_the_leader_get_the_time_of_receipt() {
    for cache_status in [CacheStatus::Silent, CacheStatus::Outcome] {
        let inner = Inner::new(|_, call| async move {
            settle().await;
            let reply = with(fresh(format!("hello {call}")), "etag", "\"1\"");
            Ok(with(reply, "cache-control", "stale-while-revalidate=60"))
        });
        let nodes = pair(&inner, |layer| layer.cache_status(cache_status));
        let second = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).expect("now").as_secs();
        let before = second(SystemTime::now());
        let together: Vec<_> = (0..4).map(|i| send(&nodes[i % 2], get("/"))).collect();
        let mut dates = Vec::new();
        for asked in together {
            dates.push(date(&answer(asked).await));
        }
        let after = second(SystemTime::now());
        // The leader's own is as without the layer.
        assert_eq!(dates.iter().filter(|date| date.is_none()).count(), 1, "{dates:?}");
        let received = dates.into_iter().flatten().next().expect("a follower");
        assert!((before..=after).contains(&second(received)));

        for node in &nodes {
            for (method, fields, status) in [
                (Method::GET, &[][..], 200),
                (Method::GET, &[], 200),
                (Method::HEAD, &[], 200),
                (Method::GET, &[("if-none-match", "\"1\"")], 304),
                (Method::HEAD, &[("if-none-match", "\"1\"")], 304),
                (Method::GET, &[("range", "bytes=1-2")], 206),
                (Method::GET, &[("range", "bytes=100-")], 416),
            ] {
                let found = ask(node, method.clone(), fields).await;
                assert_eq!(found.status, status);
                assert_eq!(date(&found), Some(received), "{method} {fields:?}");
            }
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        let stale = ask(&nodes[0], Method::GET, &[]).await;
        assert_eq!((&stale.body[..7], date(&stale)), (&b"hello 1"[..], Some(received)));
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_that_is_there_stays() {
    let inner = Inner::replying(|_| with(fresh("dated"), "date", DATE));
    let nodes = pair(&inner, |layer| {
        layer.freshness(Freshness::new().override_ttl(Duration::from_secs(1 << 30)))
    });
    for _ in 0..2 {
        for node in &nodes {
            let found = answer(send(node, get("/"))).await;
            assert_eq!(found.header("date"), Some(DATE));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_beside_a_transfer_coding_is_not_of_that_message() {
    for (fields, expected) in [
        (&[("content-length", "3"), ("transfer-encoding", "chunked")][..], None),
        (
            &[("content-length", "3000000000"), ("transfer-encoding", "chunked")],
            None,
        ),
        (&[("content-length", "5, 5")], Some("5")),
        (&[("content-length", "5"), ("content-length", "5")], Some("5")),
    ] {
        let inner = Inner::replying(move |_| {
            fields
                .iter()
                .fold(fresh("hello"), |reply, (name, value)| with(reply, name, value))
        });
        let nodes = pair(&inner, |layer| layer);
        for node in [&nodes[0], &nodes[0], &nodes[1]] {
            assert_eq!(answer(send(node, get("/"))).await.body, "hello");
        }
        let hit = answer(send(&nodes[1], get("/"))).await;
        assert_eq!(
            (hit.header("content-length"), hit.header("transfer-encoding")),
            (expected, None),
            "{fields:?}"
        );
        assert_eq!(inner.calls(), 1, "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_content_has_no_length() {
    let inner = Inner::replying(|_| {
        let mut reply = with(with(text(""), "cache-control", "max-age=60"), "content-length", "5");
        *reply.status_mut() = http::StatusCode::NO_CONTENT;
        reply
    });
    let nodes = pair(&inner, |layer| layer);
    answer(send(&nodes[0], get("/"))).await;
    let hit = answer(send(&nodes[1], get("/"))).await;
    assert_eq!((hit.header("content-length"), inner.calls()), (None, 1));
}
