//! `reverse_proxy` as a proxy: what passes through it unchanged, and how it starts and stops.

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
async fn a_request_body_streams_through_while_it_is_sent() {
    let (heard, mut hears) = mpsc::channel(1);
    let origin = Origin::start(move |mut call| {
        let heard = heard.clone();
        async move {
            while let Some(chunk) = call.chunk().await {
                heard.send(chunk).await.expect("a test that listens");
            }
            Reply::ok("all of it")
        }
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let (parts, body) = mpsc::channel::<&'static str>(1);
        let body = stream::unfold(body, |mut body| async move {
            let part = body.recv().await?;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from(part))), body))
        });
        let request = Request::post(node.url("/"))
            .body(StreamBody::new(body))
            .expect("a request");
        let answer = tokio::spawn(async move { client.send(request).await });
        for part in ["one", "two", "three"] {
            parts.send(part).await.expect("a body that is read");
            let chunk = within("a part of the body", hears.recv()).await;
            assert_eq!(chunk.expect("a part"), part);
        }
        drop(parts);
        let answer = answer.await.expect("no panic").expect("an answer");
        assert_eq!(answer.text(), "all of it");
    }
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
async fn a_response_body_streams_through_while_it_comes() {
    let (origin, mut sender) = streaming().await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        for method in ["GET", "POST"] {
            let response = client.start(empty(method, &node.url("/"))).await;
            let mut body = response.expect("a response's head").into_body();
            let sender = sender.recv().await.expect("a call");
            for part in ["one", "two", "three"] {
                sender.send(part).await;
                let frame = within("a part of the body", body.frame()).await;
                let frame = frame.expect("no end yet").expect("no error");
                assert_eq!(frame.into_data().expect("data"), part);
            }
            drop(sender);
            let rest = within("the end of the body", body.collect()).await;
            assert!(rest.expect("no error").to_bytes().is_empty());
        }
    }
}

#[tokio::test]
async fn trailers_pass_through_both_ways() {
    let origin = Origin::start(|call| async move {
        let (body, trailers) = call.collect().await;
        let sum = trailers.get("x-sum").map_or("none", |sum| sum.to_str().expect("ASCII"));
        Reply::ok(body).trailer("x-back", sum)
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))]);
        let frames = [Frame::data(Bytes::from("content")), Frame::trailers(trailers)];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>)));
        let request = Request::post(node.url("/"))
            .header("te", "trailers")
            .header("trailer", "x-sum");
        let answer = client.send(request.body(body).expect("a request")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.text(), "content");
        assert_eq!(answer.trailers.get("x-back").expect("a trailer"), "7");
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
async fn an_unreachable_upstream_is_a_502() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = format!("http://{}", listener.local_addr().expect("its number"));
    drop(listener);
    let node = Node::reverse_proxy(&nobody, &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        for method in ["GET", "POST"] {
            let answer = client.send(empty(method, &node.url("/"))).await.expect("an answer");
            assert_eq!((answer.status, answer.text()), (502, "no answer from the upstream\n"));
        }
    }
}

#[tokio::test]
async fn an_upstream_that_hangs_up_without_an_answer_is_a_502_after_one_call() {
    let origin = Origin::start(|_| async { Reply::reset() }).await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    let answer = HttpClient::http1().get(&node.url("/")).await;
    assert_eq!(answer.expect("an answer").status, 502);
    assert_eq!(origin.calls("/"), 1);
}

#[tokio::test]
async fn a_body_that_the_upstream_breaks_off_is_broken_off_for_the_client() {
    let origin = Origin::start(|call| async move {
        let reply = Reply::truncated("the first half");
        match call.uri.path() {
            "/chunked" => reply,
            _ => reply.header("content-length", "28"),
        }
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        for path in ["/chunked", "/length"] {
            for method in ["GET", "POST"] {
                let answer = client.send(empty(method, &node.url(path))).await;
                assert!(answer.is_err(), "{method} {path}: {answer:?}");
            }
        }
    }
    let request = "GET /chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let response = exchange(node.authority(), request).await;
    // hyper may not even have sent the head yet when the body fails.
    assert!(!response.ends_with(b"0\r\n\r\n"), "{}", response.escape_ascii());
}

#[tokio::test]
async fn what_came_before_a_body_broke_off_reaches_the_client() {
    let (origin, mut sender) = streaming().await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let response = client.start(empty("GET", &node.url("/"))).await;
        let mut body = response.expect("a response's head").into_body();
        let sender = sender.recv().await.expect("a call");
        sender.send("the first half").await;
        let frame = within("a part of the body", body.frame()).await;
        let frame = frame.expect("no end yet").expect("no error yet");
        assert_eq!(frame.into_data().expect("data"), "the first half");
        sender.abort().await;
        assert!(within("the end of the body", body.collect()).await.is_err());
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_upstream_closed_is_no_error() {
    // Answers one request a connection and closes it without a word, as a server does whose idle time is over.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let upstream = format!("http://{}", listener.local_addr().expect("its number"));
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            stream.write_all(response).await.expect("a response sent");
        }
    });
    let node = Node::reverse_proxy(&upstream, &[]).await;
    let client = HttpClient::http1();
    for _ in 0..300 {
        let answer = client.get(&node.url("/")).await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, "hi"));
    }
    server.abort();
}

/// An upstream that answers `/first` as it should, and everything else with `answer` and the end of the connection. Every
/// connection is alive when it gets its second request. Returns its URL, and how many calls there have been.
async fn flawed(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let upstream = format!("http://{}", listener.local_addr().expect("its number"));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let barrier = Arc::new(Barrier::new(CONNECTIONS));
    let serve = async move |mut stream: TcpStream, counted: Arc<AtomicUsize>, barrier: Arc<Barrier>| {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            if !head.starts_with(b"GET /first") {
                counted.fetch_add(1, Ordering::SeqCst);
                return stream.write_all(answer).await;
            }
            barrier.wait().await;
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            stream.write_all(response).await?;
        }
    };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(serve(stream, Arc::clone(&counted), Arc::clone(&barrier)));
        }
    });
    (upstream, calls)
}

/// As many as the proxy has idle.
const CONNECTIONS: usize = 20;

#[tokio::test]
async fn an_upstream_that_cannot_answer_is_not_asked_on_every_idle_connection() {
    let broken = b"HTTP/1.1 200 OK\r\nbad field\x01: 1\r\n\r\n".as_slice();
    for (answer, most) in [(broken, 1), (b"", 4)] {
        let (upstream, calls) = flawed(answer).await;
        let node = Node::reverse_proxy(&upstream, &[]).await;
        let urls: Vec<_> = (0..CONNECTIONS).map(|n| node.url(&format!("/first/{n}"))).collect();
        for first in HttpClient::http1().get_all(&urls).await {
            assert_eq!(first.expect("an answer").status, 200);
        }
        let answer = HttpClient::http1().get(&node.url("/second")).await;
        assert_eq!(answer.expect("an answer").status, 502);
        let calls = calls.load(Ordering::SeqCst);
        assert!((1..=most).contains(&calls), "{calls} calls");
    }
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

#[tokio::test]
async fn help_goes_to_stdout_and_is_a_success() {
    let output = run_example("reverse_proxy", &["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    for flag in [
        "--listen",
        "--upstream",
        "--redis",
        "--sentinel",
        "--cluster",
        "--redis-ca",
        "--redis-cert",
        "--redis-key",
        "--tag",
        "--ttl",
        "--set-cookie",
        "--lease",
        "--wait-timeout",
        "--max-body",
    ] {
        assert!(stdout.contains(flag), "{flag} in {stdout}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_explained() {
    const PLACES: [&str; 4] = ["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"];
    for (flags, words) in [
        (&["--bogus"][..], &["--bogus"][..]),
        (&["-b"], &["-b"]),
        (&["stray"], &["stray"]),
        (&["--ttl", "5"], &["--ttl", "500ms", "\"5\""]),
        (&["--ttl", "5 s"], &["--ttl", "500ms"]),
        (
            &["--set-cookie", "keep"],
            &["--set-cookie", "refuse, strip or share", "\"keep\""],
        ),
        (&["--set-cookie"], &["--set-cookie", "nothing"]),
        (&["--lease", "0s"], &["--lease", "500ms"]),
        (&["--lease", "99999999999999999999s"], &["--lease", "500ms"]),
        (&["--wait-timeout", "-1s"], &["--wait-timeout", "500ms"]),
        (&["--max-body", "8MiB"], &["--max-body", "bytes"]),
        (&["--max-body"], &["--max-body", "bytes", "nothing"]),
        (&["--tag", "likes/lock"], &["--tag", "likes/lock"]),
        (&["--tag", ""], &["--tag"]),
        (&["--listen", "nowhere"], &["--listen", "127.0.0.1:8080", "nowhere"]),
        (
            &["--upstream", "https://localhost"],
            &["--upstream", "cleartext", "https://localhost"],
        ),
        (&["--upstream", "localhost:80"], &["--upstream", "http://"]),
        (&["--redis", "http://localhost"], &["--redis", "redis://"]),
        (&["--sentinel", "m"], &["--redis is missing", "sentinel"]),
        (&["--sentinel", ""], &["--sentinel", "master"]),
        (&["--cluster"], &["--redis is missing", "cluster"]),
        (&["--cluster", "--sentinel", "m"], &["exclude"]),
        (&["--redis-ca", "/nowhere.pem"], &["--redis-ca", "/nowhere.pem"]),
        (&["--redis-ca", "Cargo.toml"], &["--redis is missing"]),
        (
            &["--redis", "rediss://localhost", "--redis-cert", "Cargo.toml"],
            &["--redis-key is missing"],
        ),
        (
            &["--redis", "rediss://localhost", "--redis-key", "Cargo.toml"],
            &["--redis-cert is missing"],
        ),
    ] {
        let all: Vec<&str> = PLACES.iter().chain(flags).copied().collect();
        let output = run_example("reverse_proxy", &all).await;
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        for word in words {
            assert!(stderr.contains(word), "{flags:?}: no {word} in {stderr}");
        }
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
    let output = run_example("reverse_proxy", &PLACES[..2]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--upstream is missing"));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_so() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("its number").to_string();
    let flags = ["--listen", &taken, "--upstream", "http://127.0.0.1:1"];
    let output = run_example("reverse_proxy", &flags).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&taken));
}

#[tokio::test]
async fn it_stops_cleanly_when_asked_to() {
    let origin = Origin::start(|_| async { Reply::ok("") }).await;
    for signal in ["TERM", "INT"] {
        let mut node = Node::reverse_proxy(&origin.url(), &[]).await;
        let client = HttpClient::http1();
        client.get(&node.url("/")).await.expect("an answer");
        node.signal(signal);
        assert_eq!(node.ended().await.code(), Some(0), "{}", node.stderr());
    }
}

#[tokio::test]
async fn it_answers_requests_under_way_before_it_stops() {
    let open = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&open);
    let origin = Origin::start(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("a gate").forget();
            Reply::ok("in time")
        }
    })
    .await;
    let mut node = Node::reverse_proxy(&origin.url(), &[]).await;
    let (client, url) = (HttpClient::http1(), node.url("/"));
    let answer = tokio::spawn(async move { client.get(&url).await });
    origin.called("/", 1).await;
    node.signal("TERM");
    within("an end to listening", async {
        while TcpStream::connect(node.authority()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    open.add_permits(1);
    let answer = answer.await.expect("no panic").expect("an answer");
    assert_eq!(answer.text(), "in time");
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.stderr());
}
