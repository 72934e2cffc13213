//! What `reverse_proxy` makes of messages at the edge of HTTP: lengths that contradict each other, and broken requests.

use bytes::Bytes;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::BoxError;

use crate::support::{HttpClient, Node, Origin, RawOrigin, Reply, raw_exchange, within};

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
            let upstream = RawOrigin::start(format!("HTTP/1.1 200 OK\r\n{lifetime}{fields}\r\n{CHUNKED}")).await;
            let node = Node::reverse_proxy(&upstream.url(), &[]).await;
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
                let (head, body) = raw_exchange(node.authority(), "GET / HTTP/1.0\r\nHost: x\r\n\r\n").await;
                assert_eq!(body, b"hello", "{fields}: {head}");
            }
        }
    }
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_whole() {
    for version in ["1.0", "1.1"] {
        for lifetime in ["", "Cache-Control: max-age=60\r\n"] {
            let upstream = RawOrigin::start(format!("HTTP/{version} 200 OK\r\n{lifetime}\r\nhello")).await;
            let node = Node::reverse_proxy(&upstream.url(), &[]).await;
            for _ in 0..2 {
                for client in [HttpClient::http1(), HttpClient::http2()] {
                    let answer = client.get(&node.url("/")).await.expect("an answer");
                    assert_eq!((answer.status, answer.text()), (200, "hello"));
                }
                let (head, body) = raw_exchange(node.authority(), "GET / HTTP/1.0\r\nHost: x\r\n\r\n").await;
                assert_eq!(body, b"hello", "{head}");
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
            let upstream = RawOrigin::start(format!("HTTP/1.1 200 OK\r\n{lifetime}{fields}\r\nhello")).await;
            let node = Node::reverse_proxy(&upstream.url(), &[]).await;
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
        "Transfer-Encoding: xchunked, chunked\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        let upstream = RawOrigin::start(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{CHUNKED}")).await;
        let node = Node::reverse_proxy(&upstream.url(), &[]).await;
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
        let upstream = RawOrigin::start(format!("HTTP/1.1 {status}\r\n{fields}\r\n")).await;
        let node = Node::reverse_proxy(&upstream.url(), &[]).await;
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
async fn interim_responses_are_left_out_and_the_final_one_is_as_it_was() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </hint.css>; rel=preload\r\n\r\n";
    let fields = "Link: </final.css>; rel=preload\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n";
    for interim in [
        hints.to_owned(),
        hints.repeat(3),
        format!("HTTP/1.1 102 Processing\r\n\r\n{hints}"),
    ] {
        let upstream = RawOrigin::start(format!("{interim}HTTP/1.1 200 OK\r\n{fields}\r\nhello")).await;
        let node = Node::reverse_proxy(&upstream.url(), &[]).await;
        for client in [HttpClient::http1(), HttpClient::http2()] {
            for method in ["GET", "HEAD", "POST"] {
                let answer = client.send(empty(method, &node.url("/"))).await.expect("an answer");
                assert_eq!(
                    (answer.status, answer.header("link")),
                    (200, vec!["</final.css>; rel=preload"])
                );
            }
        }
    }
}

#[tokio::test]
async fn heads_with_many_fields_pass_both_ways() {
    for number in [101, 1000] {
        let fields: String = (0..number).map(|n| format!("X-Field-{n}: {n}\r\n")).collect();
        let cached = "Cache-Control: max-age=60\r\nContent-Length: 2\r\n";
        let upstream = RawOrigin::start(format!("HTTP/1.1 200 OK\r\n{cached}{fields}\r\nhi")).await;
        let node = Node::reverse_proxy(&upstream.url(), &[]).await;
        for _ in 0..2 {
            let request = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
            let (head, body) = raw_exchange(node.authority(), &request).await;
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
        let (head, body) = raw_exchange(node.authority(), &request).await;
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
            let (head, _) = raw_exchange(node.authority(), &request).await;
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
