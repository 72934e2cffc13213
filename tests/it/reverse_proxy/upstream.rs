//! Upstreams that cannot be reached, hang up, or break off.

use super::*;

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
