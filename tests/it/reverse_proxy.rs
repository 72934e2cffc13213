//! `reverse_proxy` as a proxy: what passes through it unchanged, and how it starts and stops.

mod bodies;
mod program;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Semaphore, mpsc};
use tower::BoxError;

use crate::support::{BodySender, HttpClient, Node, Origin, Reply, exchange, run_example, within};

fn empty(method: &str, url: &str) -> Request<Empty<Bytes>> {
    let method: Method = method.parse().expect("a method");
    let request = Request::builder().method(method).uri(url);
    request.body(Empty::new()).expect("a request")
}

/// An upstream whose bodies the test sends, one sender a call.
async fn streaming() -> (Origin, mpsc::Receiver<BodySender>) {
    let (senders, sender) = mpsc::channel(1);
    let origin = Origin::start(move |_| {
        let senders = senders.clone();
        async move {
            let (sender, reply) = Reply::streamed();
            assert!(senders.send(sender).await.is_ok(), "a test that listens");
            reply
        }
    })
    .await;
    (origin, sender)
}

#[tokio::test]
async fn every_method_reaches_the_upstream() {
    let origin = Origin::start(|call| async move { Reply::ok("").header("x-method", call.method.as_str()) }).await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY", "BREW",
    ] {
        let path = format!("/{method}");
        let answer = HttpClient::http1().send(empty(method, &node.url(&path))).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.header("x-method")), (200, vec![method]));
        assert_eq!(origin.calls(&path), 1);
    }
}

#[tokio::test]
async fn statuses_that_no_registry_knows_pass_through() {
    let origin = Origin::start(|call| async move {
        let status = call.uri.path()[1..].parse().expect("a number");
        Reply::ok("odd").status(status)
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        for status in [200, 203, 299, 418, 499, 599, 799, 999] {
            let answer = client.get(&node.url(&format!("/{status}"))).await;
            assert_eq!(answer.expect("an answer").status, status);
        }
    }
}

#[tokio::test]
async fn path_and_query_pass_through_to_the_letter_behind_the_base_path() {
    let origin = Origin::start(|call| async move { Reply::ok(call.uri.to_string()) }).await;
    let base = format!("{}/base/", origin.url());
    let node = Node::reverse_proxy(&base, &[]).await;
    for (asked, passed_on) in [
        ("/", "/base/"),
        ("/a//b/%2e%2E/c", "/base/a//b/%2e%2E/c"),
        ("/a?", "/base/a?"),
        ("/a?b=%20&c=d?e/f", "/base/a?b=%20&c=d?e/f"),
        ("/?q", "/base/?q"),
    ] {
        let answer = HttpClient::http1().get(&node.url(asked)).await;
        assert_eq!(answer.expect("an answer").text(), passed_on);
    }
}

#[tokio::test]
async fn all_proxies_send_one_and_the_same_request() {
    let origin = Origin::start(|call| async move { Reply::ok(format!("{:?}", call.headers)) }).await;
    let nodes = [
        Node::reverse_proxy(&origin.url(), &[]).await,
        Node::reverse_proxy(&origin.url(), &[]).await,
    ];
    let mut seen = Vec::new();
    for node in &nodes {
        for client in [HttpClient::http1(), HttpClient::http2()] {
            let answer = client.send(empty("GET", &node.url("/"))).await;
            seen.push(answer.expect("an answer").text().to_owned());
        }
    }
    assert!(seen[0].contains(&origin.authority()), "{}", seen[0]);
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:#?}");
}

#[tokio::test]
async fn fields_about_one_connection_go_no_further() {
    let origin = Origin::start(|call| async move {
        Reply::ok(format!("{:?}", call.headers))
            .header("connection", "x-hop-back")
            .header("x-hop-back", "1")
            .header("keep-alive", "timeout=5")
            .header("x-end-back", "1")
            .header("x-end-back", "2")
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    let request = "POST / HTTP/1.1\r\nHost: elsewhere\r\nConnection: close, X-Hop, TE\r\nX-Hop: 1\r\nX-End: 1\r\n\
                   TE: gzip;q=0.5, trailers\r\nKeep-Alive: 1\r\nProxy-Connection: 1\r\nUpgrade: foo\r\n\
                   Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let response = exchange(node.authority(), request).await;
    let response = String::from_utf8(response)
        .expect("a response of UTF-8")
        .to_ascii_lowercase();
    let (head, seen) = response.split_once("\r\n\r\n").expect("a response");
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "gzip",
        "elsewhere",
    ] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    for kept in ["x-end", "\"te\": \"trailers\"", &origin.authority()] {
        assert!(seen.contains(kept), "no {kept} in {seen}");
    }
    assert!(!head.contains("x-hop-back"), "{head}");
    assert!(!head.contains("keep-alive:"), "{head}");
    assert!(head.contains("x-end-back: 1\r\nx-end-back: 2"), "{head}");
}

#[tokio::test]
async fn what_an_upstream_lists_in_connection_does_not_hide_whose_a_response_is() {
    const FIELDS: [(&str, &str); 5] = [
        ("cache-control", "private"),
        ("cdn-cache-control", "no-store"),
        ("my-control", "private"),
        ("set-cookie", "id=1"),
        ("vary", "*"),
    ];
    let origin = Origin::start(|call| async move {
        let reply = Reply::ok(call.number.to_string());
        let (name, value) = FIELDS[call.uri.path()[1..].parse::<usize>().expect("a number")];
        reply.header(name, value).header("connection", name)
    })
    .await;
    let flags = ["--ttl", "60s", "--targeted", "my-control,cdn-cache-control"];
    let node = Node::reverse_proxy(&origin.url(), &flags).await;
    for (path, (name, value)) in FIELDS.iter().enumerate() {
        for call in ["1", "2"] {
            let answer = HttpClient::http1().get(&node.url(&format!("/{path}"))).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.text(), answer.header(name)), (call, vec![*value]), "{name}");
        }
    }
}

#[tokio::test]
async fn tenants_are_told_apart_and_credentials_that_no_list_has_share_nothing() {
    let origin = Origin::start(|call| async move {
        let said = |name: &str| {
            call.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("-")
                .to_owned()
        };
        Reply::ok(format!(
            "{} {} {}",
            call.number,
            said("x-tenant"),
            said("x-vault-token")
        ))
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &["--ttl", "60s", "--key-headers", "x-tenant"]).await;
    let client = HttpClient::http1();
    for (fields, expected) in [
        (&[("x-tenant", "a")][..], "1 a -"),
        (&[("x-tenant", "b")], "2 b -"),
        (&[("x-tenant", "a")], "1 a -"),
        (&[("x-tenant", "a"), ("x-vault-token", "anna")], "3 a anna"),
        (&[("x-tenant", "a"), ("x-vault-token", "elsa")], "4 a elsa"),
        (&[("x-tenant", "a"), ("x-request-id", "1")], "1 a -"),
        (&[], "5 - -"),
    ] {
        let mut request = empty("GET", &node.url("/"));
        for (name, value) in fields {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        let answer = client.send(request).await.expect("an answer");
        assert_eq!(answer.text(), expected, "{fields:?}");
    }
}

#[tokio::test]
async fn an_http_1_0_client_is_served() {
    let origin = Origin::start(|_| async { Reply::ok("old and good").trailer("x-t", "1") }).await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    let response = exchange(node.authority(), "GET / HTTP/1.0\r\n\r\n").await;
    let response = String::from_utf8(response).expect("a response of UTF-8");
    assert!(response.starts_with("HTTP/1.0 200 "), "{response}");
    assert!(response.ends_with("\r\n\r\nold and good"), "{response}");
}

#[tokio::test]
async fn cookies_are_refused_stripped_or_shared() {
    for (flags, calls, had) in [
        (&[][..], 2, ["id=1", "id=2"]),
        (&["--set-cookie", "refuse"], 2, ["id=1", "id=2"]),
        (&["--set-cookie", "strip"], 1, ["id=1", ""]),
        (&["--set-cookie", "share"], 1, ["id=1", "id=1"]),
    ] {
        let origin =
            Origin::start(
                |call| async move { Reply::fresh("page").header("set-cookie", &format!("id={}", call.number)) },
            )
            .await;
        let node = Node::reverse_proxy(&origin.url(), flags).await;
        for cookie in had {
            let answer = HttpClient::http1().get(&node.url("/")).await.expect("an answer");
            assert_eq!(answer.header("set-cookie").concat(), cookie, "{flags:?}");
        }
        assert_eq!(origin.calls("/"), calls, "{flags:?}");
    }
}
