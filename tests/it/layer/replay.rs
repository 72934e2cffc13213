//! What of a response others get: all of it.

use std::time::Duration;

use futures_util::stream;
use http::header::{AGE, DATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use tower::ServiceExt;

use super::fixture::{Answer, Inner, Node, TestBody, answer, data, fresh, get, pair, send, settle, streamed, with};
use crate::support::within;

/// A response with everything in it that is easily lost.
pub(super) fn rich() -> Response<TestBody> {
    let trailers: HeaderMap = [("x-cost", "7"), ("x-cost", "8"), ("grpc-status", "0")]
        .into_iter()
        .fold(HeaderMap::new(), |mut trailers, (name, value)| {
            trailers.append(name, HeaderValue::from_static(value));
            trailers
        });
    let mut reply = streamed(stream::iter([
        data("\0one"),
        data(""),
        data("two\u{ff}"),
        Ok(Frame::trailers(trailers)),
    ]));
    *reply.status_mut() = StatusCode::from_u16(299).expect("a status");
    for (name, value) in [
        ("cache-control", &b"max-age=60"[..]),
        ("link", b"z"),
        ("x-raw", b"caf\xe9 \xff\x80"),
        ("link", b"a"),
        ("x-empty", b""),
        ("link", b"m"),
        ("content-type", b"text/plain; charset=latin1"),
        ("etag", b"W/\"1\""),
        ("x-spaced", b"a  b\tc"),
    ] {
        let value = HeaderValue::from_bytes(value).expect("a value");
        reply.headers_mut().append(name, value);
    }
    reply
}

fn assert_rich(mut answer: Answer, what: &str) {
    answer.headers.remove(AGE);
    // The time of receipt, which is not in the original.
    answer.headers.remove(DATE);
    let expected = rich();
    assert_eq!(answer.status, expected.status(), "{what}");
    assert_eq!(&answer.headers, expected.headers(), "{what}");
    let links: Vec<_> = answer.headers.get_all("link").iter().collect();
    assert_eq!(links, ["z", "a", "m"], "{what}");
    assert_eq!(answer.body, "\0onetwo\u{ff}", "{what}");
    let trailers = answer.trailers.expect("trailers");
    let costs: Vec<_> = trailers.get_all("x-cost").iter().collect();
    assert_eq!(costs, ["7", "8"], "{what}");
    assert_eq!(trailers.len(), 3, "{what}");
}

/// Leader, followers and later callers all get all of it.
pub(super) async fn everything_is_replayed(inner: &Inner, nodes: &[Node; 2]) {
    let together: Vec<_> = (0..8).map(|i| send(&nodes[i % 2], get("/"))).collect();
    for asked in together {
        assert_rich(answer(asked).await, "together");
    }
    for node in nodes {
        assert_rich(answer(send(node, get("/"))).await, "later");
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn status_fields_body_and_trailers_are_replayed() {
    let inner = Inner::new(|_, _| async {
        settle().await;
        Ok(rich())
    });
    everything_is_replayed(&inner, &pair(&inner, |layer| layer)).await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_response_is_replayed() {
    let inner = Inner::replying(|_| {
        let mut reply = fresh("");
        *reply.status_mut() = StatusCode::NO_CONTENT;
        reply
    });
    let nodes = pair(&inner, |layer| layer);
    answer(send(&nodes[0], get("/"))).await;
    let response = within("a head", nodes[1].clone().oneshot(get("/")))
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(response.body().is_end_stream());
    assert_eq!(response.body().size_hint().exact(), Some(0));
    let answer = super::fixture::read(response).await.expect("a body");
    assert_eq!((answer.body, answer.trailers), ("".into(), None));
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_with_trailers_is_replayed() {
    let inner = Inner::replying(|_| {
        let trailers = HeaderMap::from_iter([("x-cost".parse().expect("a name"), HeaderValue::from_static("7"))]);
        with(
            streamed(stream::iter([Ok(Frame::trailers(trailers))])),
            "cache-control",
            "max-age=60",
        )
    });
    let nodes = pair(&inner, |layer| layer);
    for node in nodes.iter().chain(&nodes) {
        let answer = answer(send(node, get("/"))).await;
        assert_eq!((answer.body.len(), answer.trailers.expect("trailers").len()), (0, 1));
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_body_says_its_length_unless_trailers_follow() {
    let plain = Inner::replying(|_| {
        with(
            streamed(stream::iter([data("on"), data("e")])),
            "cache-control",
            "max-age=60",
        )
    });
    let trailing = Inner::replying(|_| rich());
    for (inner, exact) in [(plain, Some(3)), (trailing, None)] {
        let nodes = pair(&inner, |layer| layer);
        answer(send(&nodes[0], get("/"))).await;
        let response = within("a head", nodes[1].clone().oneshot(get("/")))
            .await
            .expect("a response");
        assert_eq!(response.body().size_hint().exact(), exact);
        assert!(!response.body().is_end_stream());
        assert_eq!(inner.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn fields_about_one_connection_are_not_replayed() {
    const GONE: [(&str, &str); 6] = [
        ("connection", "x-listed, close"),
        ("x-listed", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-authenticate", "Basic"),
    ];
    let inner = Inner::new(|_, _| async {
        settle().await;
        let reply = with(fresh("body"), "x-kept", "1");
        Ok(GONE
            .into_iter()
            .fold(reply, |reply, (name, value)| with(reply, name, value)))
    });
    let nodes = pair(&inner, |layer| layer);
    let together: Vec<_> = (0..8).map(|i| send(&nodes[i % 2], get("/"))).collect();
    let mut unchanged = 0;
    for asked in together {
        let answer = answer(asked).await;
        assert_eq!(answer.header("x-kept"), Some("1"));
        let kept = GONE.iter().filter(|(name, _)| answer.header(name).is_some()).count();
        assert!([0, GONE.len()].contains(&kept), "{answer:?}");
        unchanged += usize::from(kept > 0);
    }
    assert_eq!(unchanged, 1, "the leader's client has the response as it is");
    let later = answer(send(&nodes[1], get("/"))).await;
    assert!(GONE.iter().all(|(name, _)| later.header(name).is_none()), "{later:?}");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hit_says_its_age_and_no_other_response_does() {
    let inner = Inner::new(|_, _| async {
        settle().await;
        Ok(fresh("body"))
    });
    let nodes = pair(&inner, |layer| layer);
    let together: Vec<_> = (0..8).map(|i| send(&nodes[i % 2], get("/"))).collect();
    for asked in together {
        assert_eq!(answer(asked).await.header("age"), None);
    }
    settle().await;
    let age = answer(send(&nodes[1], get("/"))).await;
    let age: u64 = age.header("age").expect("an age").parse().expect("a number");
    assert!(age < 60, "{age}");
}

#[tokio::test(start_paused = true)]
async fn a_hit_counts_on_from_the_age_it_came_with() {
    let inner = Inner::replying(|_| with(with(fresh("body"), "age", "40"), "age", "7"));
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(
        answer(send(&nodes[0], get("/")))
            .await
            .headers
            .get_all("age")
            .iter()
            .count(),
        2
    );
    settle().await;
    let hit = answer(send(&nodes[1], get("/"))).await;
    let ages: Vec<_> = hit.headers.get_all("age").iter().collect();
    let [age] = ages[..] else { panic!("{ages:?}") };
    let age: u64 = age.to_str().expect("ASCII").parse().expect("a number");
    assert!((40..60).contains(&age), "{age}");
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_replayed_byte_for_byte() {
    let large: Vec<u8> = (0..900_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let body = large.clone();
    let inner = Inner::replying(move |_| {
        let pieces: Vec<_> = body.chunks(4099).map(|piece| data(piece.to_vec())).collect();
        streamed(stream::iter(pieces))
    });
    let nodes = pair(&inner, |layer| layer.ttl(Duration::from_secs(60)));
    for node in nodes.iter().chain(&nodes) {
        let got = answer(send(node, get("/"))).await.body;
        assert!(got == large, "{} bytes", got.len());
    }
    assert_eq!(inner.calls(), 1);
}
