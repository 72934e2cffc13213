//! What `reverse_proxy` makes of messages at the edge of HTTP: lengths that contradict each other, broken requests, and
//! its own answers to every kind of client.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::BoxError;

use crate::support::{HttpClient, Node, Origin, Reply, exchange, within};

/// An upstream that answers each request with the same bytes and the end of the connection.
struct Raw {
    url: String,
    _server: JoinSet<()>,
}

impl Raw {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its number"));
        let answer = Arc::new(answer.into());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer_once(stream, Arc::clone(&answer)));
            }
        });
        Self { url, _server: server }
    }
}

async fn answer_once(mut stream: TcpStream, answer: Arc<Vec<u8>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let _ = stream.write_all(&answer).await;
    let _ = stream.shutdown().await;
    // The proxy closes when it has read all.
    let _ = stream.read_to_end(&mut head).await;
}

/// An upstream that is not there.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("its number"))
}

/// Head, in lower case, and body of what comes back for a request over a connection of its own.
async fn raw(node: &Node, request: &str) -> (String, Vec<u8>) {
    let response = exchange(node.authority(), request).await;
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", response.escape_ascii().to_string()));
    let head = String::from_utf8_lossy(&response[..end + 2]).to_ascii_lowercase();
    (head, response[end + 4..].to_vec())
}

fn empty(method: &str, url: &str) -> Request<Empty<Bytes>> {
    let method: Method = method.parse().expect("a method");
    let request = Request::builder().method(method).uri(url);
    request.body(Empty::new()).expect("a request")
}

const CHUNKED: &str = "5\r\nhello\r\n0\r\n\r\n";

#[tokio::test]
async fn a_transfer_coding_overrides_a_length() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: Chunked\r\nContent-Length: 300\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: none\r\n",
    ] {
        for lifetime in ["", "Cache-Control: max-age=60\r\n"] {
            let upstream = Raw::start(format!("HTTP/1.1 200 OK\r\n{lifetime}{fields}\r\n{CHUNKED}")).await;
            let node = Node::reverse_proxy(&upstream.url, &[]).await;
            // The second answer is a stored one where there is a lifetime.
            for _ in 0..2 {
                for client in [HttpClient::http1(), HttpClient::http2()] {
                    let answer = client.get(&node.url("/")).await.expect("an answer");
                    assert_eq!((answer.status, answer.text()), (200, "hello"), "{fields}");
                    let length = answer.header("content-length");
                    assert!(length.is_empty() || length == ["5"], "{fields}: {length:?}");
                }
                let answer = HttpClient::http1().send(empty("POST", &node.url("/"))).await;
                assert_eq!(answer.expect("an answer").text(), "hello", "{fields}");
                let (head, body) = raw(&node, "GET / HTTP/1.0\r\nHost: x\r\n\r\n").await;
                assert_eq!(body, b"hello", "{fields}: {head}");
            }
        }
    }
}

#[tokio::test]
async fn a_length_that_is_repeated_is_told_once() {
    for fields in [
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5 ,05\r\n",
    ] {
        for lifetime in ["", "Cache-Control: max-age=60\r\n"] {
            let upstream = Raw::start(format!("HTTP/1.1 200 OK\r\n{lifetime}{fields}\r\nhello")).await;
            let node = Node::reverse_proxy(&upstream.url, &[]).await;
            for _ in 0..2 {
                for client in [HttpClient::http1(), HttpClient::http2()] {
                    for method in ["GET", "POST"] {
                        let answer = client.send(empty(method, &node.url("/"))).await.expect("an answer");
                        assert_eq!((answer.status, answer.text()), (200, "hello"), "{fields}");
                        assert_eq!(answer.header("content-length"), ["5"], "{fields}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_whose_end_cannot_be_known_is_a_502() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        let upstream = Raw::start(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{CHUNKED}")).await;
        let node = Node::reverse_proxy(&upstream.url, &[]).await;
        for method in ["GET", "POST"] {
            let answer = HttpClient::http1().send(empty(method, &node.url("/"))).await;
            assert_eq!(answer.expect("an answer").status, 502, "{method} {fields}");
        }
    }
}

#[tokio::test]
async fn a_response_without_content_has_no_length_that_it_must_not_have() {
    let lengths = "Content-Length: 5, 5\r\nX-End: 1\r\n";
    for (method, status, fields, expected) in [
        ("GET", "204 No Content", lengths, None),
        ("GET", "204 No Content", "Transfer-Encoding: chunked\r\n", None),
        ("GET", "304 Not Modified", "Content-Length: 5, 6\r\n", None),
        (
            "GET",
            "304 Not Modified",
            "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
            None,
        ),
        ("HEAD", "200 OK", lengths, Some("5")),
        ("HEAD", "200 OK", "Content-Length: 5\r\nContent-Length: 6\r\n", None),
        (
            "HEAD",
            "200 OK",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            None,
        ),
        ("HEAD", "200 OK", "Transfer-Encoding: gzip, chunked\r\n", None),
    ] {
        let upstream = Raw::start(format!("HTTP/1.1 {status}\r\n{fields}\r\n")).await;
        let node = Node::reverse_proxy(&upstream.url, &[]).await;
        for client in [HttpClient::http1(), HttpClient::http2()] {
            let answer = client.send(empty(method, &node.url("/"))).await.expect("an answer");
            assert_eq!(answer.status, status[..3].parse::<u16>().expect("a number"), "{fields}");
            assert_eq!(
                answer.header("content-length").first().copied(),
                expected,
                "{status} {fields}"
            );
            assert!(answer.body.is_empty());
        }
    }
}

#[tokio::test]
async fn heads_with_many_fields_pass_both_ways() {
    for number in [101, 1000] {
        let fields: String = (0..number).map(|n| format!("X-Field-{n}: {n}\r\n")).collect();
        let cached = "Cache-Control: max-age=60\r\nContent-Length: 2\r\n";
        let upstream = Raw::start(format!("HTTP/1.1 200 OK\r\n{cached}{fields}\r\nhi")).await;
        let node = Node::reverse_proxy(&upstream.url, &[]).await;
        for _ in 0..2 {
            let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
            let (head, body) = raw(&node, &request).await;
            assert_eq!(head.matches("\r\nx-field-").count(), number, "{head}");
            assert_eq!(body, b"hi");
        }
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_reaches_the_upstream_whatever_the_method() {
    let origin = Origin::start(|call| async move { Reply::ok(call.collect().await.0) }).await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for method in ["GET", "POST", "DELETE", "OPTIONS", "QUERY"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKED}"
        );
        let (head, body) = raw(&node, &request).await;
        assert_eq!(body, b"hello", "{method}: {head}");
    }
}

#[tokio::test]
async fn a_broken_request_is_a_400() {
    let origin = Origin::start(|mut call| async move {
        while call.chunk().await.is_some() {}
        Reply::ok("all of it")
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\r\n-1\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "5 5\r\nhello\r\n0\r\n\r\n",
    ] {
        for method in ["POST", "GET", "PUT"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let (head, _) = raw(&node, &request).await;
            assert!(head.starts_with("http/1.1 400 "), "{method} {body:?}: {head}");
        }
    }
    // The next request finds everything as it was.
    let answer = HttpClient::http1().send(empty("POST", &node.url("/"))).await;
    assert_eq!(answer.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_request_that_its_client_cuts_off_is_no_fault_of_the_upstream() {
    let origin = Origin::start(|mut call| async move {
        while call.chunk().await.is_some() {}
        Reply::ok("all of it")
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for framing in ["Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n"] {
        let mut stream = TcpStream::connect(node.authority()).await.expect("a connection");
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}hel");
        stream.write_all(request.as_bytes()).await.expect("a request sent");
        stream.shutdown().await.expect("an end of it");
        let mut response = Vec::new();
        let _ = within("the end of a connection", stream.read_to_end(&mut response)).await;
        let response = String::from_utf8_lossy(&response);
        assert!(
            response.is_empty() || response.starts_with("HTTP/1.1 400 "),
            "{response}"
        );
    }
    assert!(
        !node.stderr().contains("no answer from the upstream"),
        "{}",
        node.stderr()
    );
}

/// What a client sees of an answer of the proxy's own.
async fn own_answers(node: &Node, path: &str, status: u16, fields: &str) {
    let line = |version: &str, method: &str| {
        format!("{method} {path} {version}\r\nHost: x\r\nConnection: close\r\n{fields}\r\n")
    };
    let fields: Vec<_> = fields.lines().filter_map(|line| line.split_once(": ")).collect();
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let mut lengths = Vec::new();
        for method in ["GET", "HEAD"] {
            let (head, body) = raw(node, &line(version, method)).await;
            let start = format!("{} {status} ", version.to_ascii_lowercase());
            assert!(head.starts_with(&start), "{method}: {head}");
            assert!(!head.contains("\r\ntransfer-encoding"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map(|length| length.parse::<usize>().expect("a number"));
            if method == "HEAD" {
                assert!(body.is_empty(), "a HEAD with {:?}", body.escape_ascii().to_string());
            } else if status != 304 {
                assert_eq!(length, Some(body.len()), "{head}");
            }
            lengths.push(length);
        }
        assert_eq!(lengths[0], lengths[1], "GET and HEAD");
    }
    let client = HttpClient::http2();
    for method in ["GET", "HEAD", "GET", "HEAD"] {
        let mut request = empty(method, &node.url(path));
        for (name, value) in &fields {
            let (name, value) = (*name, *value);
            let name: http::HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        // DATA in answer to a HEAD would be an error of the whole connection.
        let answer = client.send(request).await.expect("an answer");
        assert_eq!(answer.status, status, "{method}");
        assert!(method == "GET" || answer.body.is_empty(), "{:?}", answer.body);
    }
}

#[tokio::test]
async fn what_the_proxy_says_itself_is_understood_by_every_client() {
    let node = Node::reverse_proxy(&nowhere(), &[]).await;
    own_answers(&node, "/", 502, "").await;
    let upstream = Raw::start("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await;
    own_answers(&Node::reverse_proxy(&upstream.url, &[]).await, "/", 502, "").await;
    let upstream = Raw::start("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n").await;
    let node = Node::reverse_proxy(&upstream.url, &[]).await;
    let (head, _) = raw(&node, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 502 "), "{head}");
}

#[tokio::test]
async fn what_is_made_of_a_stored_response_is_understood_by_every_client() {
    let origin = Origin::start(|_| async { Reply::fresh("hello").header("etag", "\"1\"") }).await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    HttpClient::http1().get(&node.url("/")).await.expect("an answer");
    own_answers(&node, "/", 200, "").await;
    own_answers(&node, "/", 304, "If-None-Match: \"1\"\r\n").await;
    for (range, status, expected) in [("1-2", 206, "el"), ("7-9", 416, "")] {
        for client in [HttpClient::http1(), HttpClient::http2()] {
            let request = Request::get(node.url("/")).header("range", format!("bytes={range}"));
            let answer = client.send(request.body(Empty::new()).expect("a request")).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.text()), (status, expected));
            // A HEAD has no ranges (RFC 9110, 14.2).
            let request = Request::head(node.url("/")).header("range", format!("bytes={range}"));
            let answer = client.send(request.body(Empty::new()).expect("a request")).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.header("content-length")), (200, vec!["5"]));
        }
        let request = format!("GET / HTTP/1.0\r\nHost: x\r\nRange: bytes={range}\r\n\r\n");
        let (head, body) = raw(&node, &request).await;
        assert!(head.starts_with(&format!("http/1.0 {status} ")), "{head}");
        assert_eq!(body, expected.as_bytes());
    }
    assert_eq!(origin.calls("/"), 1);
}

#[tokio::test]
async fn a_call_of_grpc_without_an_upstream_ends_with_its_head() {
    let node = Node::reverse_proxy(&nowhere(), &[]).await;
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web+proto",
    ] {
        let message = Full::from(Bytes::from_static(b"\0\0\0\0\0"));
        let request = Request::post(node.url("/a.B/C"))
            .header("te", "trailers")
            .header("content-type", content_type);
        let answer = HttpClient::http2()
            .send(request.body(message).expect("a request"))
            .await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, ""));
        assert_eq!(answer.header("content-type"), [content_type]);
        assert_eq!(answer.header("grpc-status"), ["14"]);
        assert_eq!(answer.header("grpc-message"), ["no answer from the upstream"]);
    }
}

#[tokio::test]
async fn a_stream_of_http_2_that_breaks_its_request_off_leaves_the_others_alone() {
    let origin = Origin::start(|mut call| async move {
        while call.chunk().await.is_some() {}
        Reply::ok("all of it")
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    let client = HttpClient::http2();
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"hel"))),
        Err::<Frame<Bytes>, BoxError>("broken off".into()),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let request = Request::post(node.url("/")).body(body).expect("a request");
    assert!(client.send(request).await.is_err());
    let whole = Request::post(node.url("/")).body(Full::from("hello").boxed());
    let answer = client.send(whole.expect("a request")).await.expect("an answer");
    assert_eq!(answer.text(), "all of it");
    assert!(
        !node.stderr().contains("no answer from the upstream"),
        "{}",
        node.stderr()
    );
}
