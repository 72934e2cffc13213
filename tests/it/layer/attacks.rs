//! What is known to be done to shared caches, and that none of it leaks or poisons anything.
//!
//! | attack | what answers it | shown by |
//! |---|---|---|
//! | poisoning by a field that is not in the key | overrides are in it | [`a_field_that_is_reflected_poisons_no_other_client`] |
//! | a method override | such requests are not collapsed | [`an_error_that_a_client_provokes_does_not_stay`], `private::credentials_and_preconditions_go_their_own_way` |
//! | host confusion | one clear authority, or no key | `keys::requests_without_one_clear_target_go_their_own_way` |
//! | a GET with a body | not collapsed | `private::other_methods_and_bodies_go_their_own_way` |
//! | parameter cloaking, normalisation | the target is taken byte by byte | `keys::requests_for_different_things_never_share` |
//! | key injection | every part of a key is escaped | [`no_field_reaches_into_another_part_of_the_key`], and properties in `key/builder.rs` |
//! | a target that looks like another layer's key | a key names what it covers | `shapes` |
//! | hash flooding | maps with random seeds, keys and flights bounded | `load::a_key_over_the_limit_of_keys_in_flight_is_not_collapsed` |
//! | cache deception | no path makes anything storable | [`a_path_that_looks_static_stores_nothing`] |
//! | `Set-Cookie` for all clients | never shared | [`nothing_that_is_for_one_client_reaches_another`] |
//! | another user's credentials | stored responses have to allow it | `readers::credentials_get_what_says_that_it_is_for_all_clients`, `credentials` |
//! | credentials that no setting lists | known by the words of their names | `identity` |
//! | `private` in disguise | parsed whole, or not shared | [`nothing_that_is_for_one_client_reaches_another`] |
//! | `private` beside a field, or listed in one, that makes it void | any field that says so counts | `never` |
//! | a provoked error for all clients (CPDoS) | errors stay for seconds, if they ask for it | [`an_error_that_a_client_provokes_does_not_stay`] |
//! | HEAD, range and 304 mixed up with GET | they never lead | [`no_part_of_a_response_becomes_the_whole`] |
//! | `*` hidden among the members of `Vary` | not shared | [`nothing_that_is_for_one_client_reaches_another`] |
//! | variants without end | bounded for each response | `store::variants_without_end_fill_nothing` |
//! | a truncated response | whole or nothing | `failures::a_body_that_breaks_off_is_neither_stored_nor_shared`, `failures::a_body_of_another_length_than_declared_is_neither_stored_nor_shared` |
//! | bodies, fields and keys without end | bounded | `limits`, `load` |
//! | cache busting by random queries | the store evicts | `store::queries_without_end_fill_no_more_than_the_store_may_hold` |
//! | another writer in Redis | address and checksum are verified | `store::what_another_program_writes_or_publishes_is_no_answer`, `redis::what_is_stored_under_another_key_is_not_an_answer` |
//! | secrets at rest | no request field is stored | `store::no_secret_of_a_request_is_at_rest_in_the_store` |
//! | request smuggling | fields of one connection are not replayed | [`fields_of_one_connection_reach_no_other`] |
//! | an unread body on a connection | requests with one are no hits | `frameworks::on_a_bare_hyper_server_it_takes_incoming_bodies` |
//! | probing what others asked for | no key is told | [`no_answer_tells_the_key`] |
//! | purging another origin's cache | only the same origin's targets | `change::what_an_answer_names_is_out_of_date_too_where_it_is_the_same_origins` |

mod store;

use http::{HeaderName, Method, Request};
use http_body_util::Full;
use tower::Layer;
use tower_memolock::middleware::{CacheStatus, UriKey};
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{Inner, Node, answer, fresh, get, get_with, pair, pair_over, send, settle, text, with};
use crate::support::{RedisServer, eventually};

/// Answers with all that an application may reflect: method, target and fields.
fn reflecting() -> Inner {
    Inner::new(|request, _| async move {
        let mut fields: Vec<_> = request.headers().iter().collect();
        fields.sort_by_key(|(name, _)| name.as_str());
        Ok(fresh(format!("{} {} {fields:?}", request.method(), request.uri())))
    })
}

/// What a request gets of a service that nothing is in front of.
async fn alone(request: Request<Full<bytes::Bytes>>) -> bytes::Bytes {
    let layer = MemoLockLayer::new(MemoryStore::new(), "alone");
    answer(send(&layer.layer(reflecting()), request)).await.body
}

#[tokio::test(start_paused = true)]
async fn a_field_that_is_reflected_poisons_no_other_client() {
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-scheme", "nothttps"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "host=evil.example"),
        ("x-host", "evil.example"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("x-http-method-override", "DELETE"),
        ("x-method-override", "DELETE"),
        ("host", "evil.example"),
    ] {
        let nodes = pair(&reflecting(), |layer| layer);
        answer(send(&nodes[0], get_with("/", name, value))).await;
        settle().await;
        let victim = get_with("/", "host", "good.example");
        assert_eq!(
            answer(send(&nodes[1], victim.clone())).await.body,
            alone(victim).await,
            "{name}"
        );
        assert_eq!(
            answer(send(&nodes[1], get("/"))).await.body,
            alone(get("/")).await,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_field_reaches_into_another_part_of_the_key() {
    let inner = reflecting();
    let tenant = HeaderName::from_static("x-tenant");
    let user = HeaderName::from_static("x-user");
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").key(UriKey::new().headers([tenant, user]));
    let node = layer.layer(inner.clone());
    let requests = [
        &[("x-tenant", "a"), ("x-user", "b")][..],
        &[("x-tenant", "a x-user=b")],
        &[("x-tenant", "a} x-user=b")],
        &[("x-tenant", "a\tx-user=b")],
        &[("x-tenant", "a"), ("x-tenant", "b")],
        &[("x-tenant", "a, b")],
        &[("x-user", "b"), ("x-tenant", "a, x-user=b")],
    ];
    for (calls, fields) in requests.iter().enumerate() {
        let request = fields.iter().fold(Request::get("/"), |request, (name, value)| {
            request.header(*name, *value)
        });
        answer(send(&node, request.body(Full::default()).expect("a request"))).await;
        settle().await;
        assert_eq!(inner.calls(), calls + 1, "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_that_looks_static_stores_nothing() {
    let inner = Inner::replying(|call| with(text(call.to_string()), "content-type", "text/css"));
    let nodes = pair(&inner, |layer| layer);
    for path in [
        "/account/a.css",
        "/account;a.css",
        "/account%2fa.css",
        "/account?a.css",
        "/account/.js",
    ] {
        let one = answer(send(&nodes[0], get(path))).await.body;
        settle().await;
        assert_ne!(answer(send(&nodes[1], get(path))).await.body, one, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_for_one_client_reaches_another() {
    for lines in [
        &[("set-cookie", "session=1")][..],
        &[("set-cookie2", "session=1")],
        &[("cache-control", "PRIVATE")],
        &[("cache-control", "max-age=60"), ("cache-control", "private")],
        &[("cache-control", "max-age=60, private=\"set-cookie, x\"")],
        &[("cache-control", "x=\"a\\\", max-age=60\", private")],
        &[("cache-control", ",,private,,")],
        &[("cache-control", "private =x")],
        &[("cache-control", "no-store\u{b}")],
        &[("cache-control", "max-age=60 private")],
        &[("cache-control", "max-age=60; private")],
        &[("cache-control", "No-Cache")],
        &[("cdn-cache-control", "private")],
        &[("cdn-cache-control", "no-store")],
        &[("cdn-cache-control", "private=?1, max-age=60")],
        &[("vary", "*")],
        &[("vary", "accept, *")],
        &[("vary", "accept"), ("vary", "*")],
        &[("vary", "accept, a b")],
    ] {
        let inner = Inner::replying(move |call| {
            let reply = with(text(call.to_string()), "cache-control", "public, max-age=60");
            lines.iter().fold(reply, |reply, (name, value)| {
                // Not all of them are values that `http` makes of text.
                match http::HeaderValue::from_bytes(value.as_bytes()) {
                    Ok(_) => with(reply, name, value),
                    Err(_) => with(reply, "set-cookie", "a=b"),
                }
            })
        });
        let nodes = pair(&inner, |layer| layer.ttl(std::time::Duration::from_secs(60)));
        let mut bodies = Vec::new();
        for asked in (0..6).map(|i| send(&nodes[i % 2], get("/"))).collect::<Vec<_>>() {
            bodies.push(answer(asked).await.body);
        }
        settle().await;
        bodies.push(answer(send(&nodes[1], get("/"))).await.body);
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 7, "{lines:?}");
    }
}

/// A header too long (HHO), a meta character (HMC) or a method override (HMO) makes the origin answer with an error.
#[tokio::test(start_paused = true)]
async fn an_error_that_a_client_provokes_does_not_stay() {
    for (explicit, seconds) in [(false, 0), (true, 11)] {
        for (name, value) in [
            ("x-oversized", "a".repeat(20_000)),
            ("x-meta", "\\n".to_owned()),
            ("x-http-method-override", "POST".to_owned()),
        ] {
            let inner = Inner::new(move |request, _| async move {
                let mut reply = text("fine");
                if request.headers().contains_key(name) {
                    reply = text("provoked");
                    *reply.status_mut() = http::StatusCode::BAD_REQUEST;
                }
                // Some origins put the same lifetime on whatever they send.
                Ok(match explicit {
                    true => with(reply, "cache-control", "max-age=86400"),
                    false => reply,
                })
            });
            let nodes = pair(&inner, |layer| layer.ttl(std::time::Duration::from_secs(86_400)));
            answer(send(&nodes[0], get_with("/", name, &value))).await;
            settle().await;
            tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
            assert_eq!(answer(send(&nodes[1], get("/"))).await.body, "fine", "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_part_of_a_response_becomes_the_whole() {
    for (method, name, value) in [
        (Method::HEAD, "accept", "*/*"),
        (Method::GET, "range", "bytes=0-1"),
        (Method::GET, "if-none-match", "*"),
        (Method::GET, "if-modified-since", "Sun, 06 Nov 2094 08:49:37 GMT"),
        (Method::GET, "if-match", "\"b\""),
    ] {
        let inner = Inner::new(|request, _| async move {
            let fields = request.headers();
            let (status, body) = match *request.method() {
                Method::HEAD => (200, ""),
                _ if fields.contains_key("range") => (206, "wh"),
                _ if fields.contains_key("if-match") => (412, "no"),
                _ if fields.keys().any(|name| name.as_str().starts_with("if-")) => (304, ""),
                _ => (200, "whole"),
            };
            let mut reply = with(fresh(body), "etag", "\"a\"");
            *reply.status_mut() = status.try_into().expect("a status");
            Ok(reply)
        });
        let nodes = pair(&inner, |layer| layer);
        let request = Request::builder().method(&method).uri("/").header(name, value);
        let attacker = send(&nodes[0], request.body(Full::default()).expect("a request"));
        let victim = send(&nodes[0], get("/"));
        answer(attacker).await;
        assert_eq!(answer(victim).await.body, "whole", "{method} {name}");
        settle().await;
        let later = answer(send(&nodes[1], get("/"))).await;
        assert_eq!(
            (later.status.as_u16(), &later.body[..]),
            (200, &b"whole"[..]),
            "{method} {name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn fields_of_one_connection_reach_no_other() {
    let inner = Inner::replying(|_| {
        [
            ("connection", "x-listed, close"),
            ("x-listed", "1"),
            ("keep-alive", "timeout=1"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("proxy-authenticate", "Basic"),
            ("x-kept", "1"),
        ]
        .into_iter()
        .fold(fresh("x"), |reply, (name, value)| with(reply, name, value))
    });
    let nodes = pair(&inner, |layer| layer);
    answer(send(&nodes[0], get("/"))).await;
    settle().await;
    let hit = answer(send(&nodes[1], get("/"))).await;
    let mut names: Vec<_> = hit.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["age", "cache-control", "date", "x-kept"]);
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_answer_tells_the_key() {
    let inner = Inner::replying(|_| fresh("x"));
    let nodes = pair(&inner, |layer| layer.cache_status(CacheStatus::Outcome));
    for _ in 0..2 {
        let found = answer(send(&nodes[0], get_with("/secret-path?token=1", "host", "secret-host"))).await;
        settle().await;
        for (name, value) in &found.headers {
            let shown = value.to_str().expect("ASCII");
            assert!(!shown.contains("secret") && !shown.contains("token"), "{name}: {shown}");
        }
    }
}
