//! Responses that set a cookie: refused unless a setting says otherwise, then shared without it or with it.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use tokio::time::advance;
use tower_memolock::MemoLockLayer;
use tower_memolock::middleware::{MemoControl, Privacy, SetCookie};

use super::fixture::{
    Answer, Gate, Inner, Node, TestBody, answer, data, fresh, get, pair, parts, send, send_many, settle, with,
};

const WAVE: usize = 10;

/// Longer than what [`fresh`] makes is fresh.
const STALE: Duration = Duration::from_secs(61);

fn with_cookies(call: usize) -> Response<TestBody> {
    let mut reply = with(fresh(call.to_string()), "set-cookie2", "old=1");
    for name in ["id", "theme"] {
        let value = format!("{name}={call}").parse().expect("a value");
        reply.headers_mut().append("set-cookie", value);
    }
    reply
}

fn gated(gate: &Gate, reply: impl Fn(usize) -> Response<TestBody> + Clone + Send + Sync + 'static) -> Inner {
    let gate = gate.clone();
    Inner::new(move |_, call| {
        let (gate, reply) = (gate.clone(), reply.clone());
        async move {
            gate.pass().await;
            Ok(reply(call))
        }
    })
}

/// All answers to one wave at both nodes, and to one request that comes later.
async fn wave(nodes: &[Node; 2], gate: &Gate) -> (Vec<Answer>, Answer) {
    let asked = send_many(nodes, WAVE, || get("/"));
    gate.reached_by(1).await;
    settle().await;
    gate.open();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(answer(asked).await);
    }
    settle().await;
    (answers, answer(send(&nodes[1], get("/"))).await)
}

fn cookies(fields: &HeaderMap) -> Vec<&str> {
    let names = ["set-cookie", "set-cookie2"];
    let lines = names.iter().flat_map(|name| fields.get_all(*name));
    lines.map(|value| value.to_str().expect("ASCII")).collect()
}

#[tokio::test(start_paused = true)]
async fn stripped_cookies_reach_the_client_whose_request_made_them_and_no_other_client() {
    let gate = Gate::new();
    let inner = gated(&gate, with_cookies);
    let nodes = pair(&inner, |layer| {
        layer.privacy(Privacy::new().set_cookie(SetCookie::Strip))
    });
    let (answers, later) = wave(&nodes, &gate).await;
    assert_eq!(inner.calls(), 1);
    assert!(answers.iter().all(|answer| answer.body == "1"));
    let mut had: Vec<_> = answers.iter().map(|answer| cookies(&answer.headers)).collect();
    had.sort();
    assert_eq!(had.pop().expect("answers"), ["id=1", "theme=1", "old=1"]);
    assert!(had.iter().all(Vec::is_empty), "{had:?}");
    assert_eq!((later.body.as_ref(), cookies(&later.headers)), (&b"1"[..], vec![]));
}

#[tokio::test(start_paused = true)]
async fn shared_cookies_reach_all_clients() {
    let gate = Gate::new();
    let inner = gated(&gate, with_cookies);
    let nodes = pair(&inner, |layer| {
        layer.privacy(Privacy::new().set_cookie(SetCookie::Share))
    });
    let (answers, later) = wave(&nodes, &gate).await;
    assert_eq!(inner.calls(), 1);
    for answer in answers.iter().chain([&later]) {
        assert_eq!(cookies(&answer.headers), ["id=1", "theme=1", "old=1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_handler_says_of_its_cookies_comes_before_what_the_layer_says() {
    for (layer, handler, calls, last) in [
        (SetCookie::Refuse, SetCookie::Strip, 1, 0),
        (SetCookie::Refuse, SetCookie::Share, 1, 3),
        (SetCookie::Share, SetCookie::Strip, 1, 0),
        (SetCookie::Share, SetCookie::Refuse, WAVE + 1, 3),
        (SetCookie::Strip, SetCookie::Refuse, WAVE + 1, 3),
    ] {
        let gate = Gate::new();
        let inner = gated(&gate, move |call| {
            let mut reply = with_cookies(call);
            reply.extensions_mut().insert(MemoControl::new().set_cookie(handler));
            reply
        });
        let nodes = pair(&inner, |new| new.privacy(Privacy::new().set_cookie(layer)));
        let (_, later) = wave(&nodes, &gate).await;
        assert_eq!(inner.calls(), calls, "{layer:?} {handler:?}");
        assert_eq!(cookies(&later.headers).len(), last, "{layer:?} {handler:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cookies_in_trailers_are_treated_as_those_in_headers() {
    for (set_cookie, calls, last) in [
        (SetCookie::Refuse, WAVE + 1, Some(2)),
        (SetCookie::Strip, 1, None),
        (SetCookie::Share, 1, Some(2)),
    ] {
        let gate = Gate::new();
        let inner = gated(&gate, |call| {
            let mut trailers = HeaderMap::new();
            trailers.append("set-cookie", "id=1".parse().expect("a value"));
            trailers.append("set-cookie2", "id=1".parse().expect("a value"));
            let body = parts([data(call.to_string()), Ok(Frame::trailers(trailers))]);
            with(body, "cache-control", "max-age=60")
        });
        let nodes = pair(&inner, |layer: MemoLockLayer<_>| {
            layer.privacy(Privacy::new().set_cookie(set_cookie))
        });
        let (answers, later) = wave(&nodes, &gate).await;
        assert_eq!(inner.calls(), calls, "{set_cookie:?}");
        assert_eq!(later.trailers.map(|trailers| trailers.len()), last, "{set_cookie:?}");
        let had = answers.iter().filter(|answer| answer.trailers.is_some()).count();
        let expected = if set_cookie == SetCookie::Strip { 1 } else { WAVE };
        assert_eq!(had, expected, "{set_cookie:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_with_a_cookie_updates_what_is_stored_without_it() {
    for (set_cookie, later) in [
        (SetCookie::Strip, &[][..]),
        (SetCookie::Share, &["id=2", "theme=2", "old=1"]),
    ] {
        let inner = Inner::new(|request, call| async move {
            let mut reply = with(with_cookies(call), "etag", "\"a\"");
            if request.headers().contains_key("if-none-match") {
                *reply.status_mut() = StatusCode::NOT_MODIFIED;
            }
            Ok(reply)
        });
        let nodes = pair(&inner, |layer| layer.privacy(Privacy::new().set_cookie(set_cookie)));
        answer(send(&nodes[0], get("/"))).await;
        settle().await;
        advance(STALE).await;
        let own = answer(send(&nodes[0], get("/"))).await;
        settle().await;
        assert_eq!(own.body, "1", "{set_cookie:?}");
        assert_eq!(cookies(&own.headers), ["id=2", "theme=2", "old=1"], "{set_cookie:?}");
        let hit = answer(send(&nodes[1], get("/"))).await;
        assert_eq!((hit.body.as_ref(), cookies(&hit.headers)), (&b"1"[..], later.to_vec()));
        assert_eq!(inner.calls(), 2);
    }
}
