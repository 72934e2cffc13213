//! Which requests are the same.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::fixture::{Inner, answer, fresh, get, get_with, pair, send};

fn request(uri: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = get(uri);
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        request.headers_mut().append(name, value.parse().expect("a value"));
    }
    request
}

#[tokio::test(start_paused = true)]
async fn requests_for_different_things_never_share() {
    let inner = Inner::new(|request, _| async move {
        let mut fields: Vec<_> = request.headers().iter().collect();
        fields.sort_by_key(|(name, _)| name.as_str());
        Ok(fresh(format!("{} {:?} {fields:?}", request.method(), request.uri())))
    });
    let nodes = pair(&inner, |layer| layer);
    let different = [
        request("/a", &[]),
        request("/a/", &[]),
        request("//a", &[]),
        request("/A", &[]),
        request("/%61", &[]),
        request("/a?", &[]),
        request("/a?x=1&y=2", &[]),
        request("/a?y=2&x=1", &[]),
        request("/a", &[("host", "a")]),
        request("/a", &[("host", "b")]),
        request("/a", &[("host", "a:80")]),
        request("http://b:81/a", &[]),
        request("https://b:81/a", &[]),
        request("http://c/a", &[]),
        request("/a", &[("x-forwarded-host", "a")]),
        request("/a", &[("x-forwarded-host", "b")]),
        request("/a", &[("x-forwarded-proto", "https")]),
        request("/a", &[("forwarded", "host=a")]),
        request("/a", &[("x-original-url", "/b")]),
        request("/a", &[("x-rewrite-url", "/b")]),
    ];
    let mut bodies = Vec::new();
    for round in 0..2 {
        for (i, request) in different.iter().enumerate() {
            let body = answer(send(&nodes[(i + round) % 2], request.clone())).await.body;
            if round == 0 {
                assert!(!bodies.contains(&body), "{request:?} got {body:?}");
                bodies.push(body);
            } else {
                assert_eq!(body, bodies[i], "{request:?}");
            }
        }
        assert_eq!(inner.calls(), different.len());
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_select_nothing_do_not_keep_requests_apart() {
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let nodes = pair(&inner, |layer| layer);
    for (name, value) in [
        ("user-agent", "one"),
        ("accept", "text/html"),
        ("x-request-id", "1"),
        ("traceparent", "00-1-1-01"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cache-control", "no-cache"),
        ("te", "trailers"),
    ] {
        assert_eq!(
            answer(send(&nodes[0], get_with("/", name, value))).await.body,
            "1",
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn requests_without_one_clear_target_go_their_own_way() {
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let nodes = pair(&inner, |layer| layer);
    let unclear = [
        request("/", &[("host", "a"), ("host", "b")]),
        request("http://a/", &[("host", "b")]),
        request("/", &[("host", "a/b")]),
        request("/", &[("host", "")]),
    ];
    let twice = unclear.iter().flat_map(|request| [request, request]);
    for (i, request) in twice.enumerate() {
        let body = answer(send(&nodes[i % 2], request.clone())).await.body;
        assert_eq!(body, (i + 1).to_string(), "{request:?}");
    }
}
