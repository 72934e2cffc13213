//! Many clients that ask for different large pages and do not read them: what a node holds for them.

use std::fs;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{HttpClient, Node, Origin, RedisServer, Reply, eventually, within};

const PAGE: usize = 16 << 20;

const PAGES: usize = 30;

const MIB: usize = 1 << 20;

/// The resident memory of a process.
fn resident(node: &Node) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a figure");
    kib.trim().parse::<usize>().expect("a number") * 1024
}

fn page(path: &str) -> Vec<u8> {
    format!("{path:>64}").repeat(PAGE / 64).into_bytes()
}

/// Asks, and has the head. The rest stays with the node.
async fn ask(node: &Node, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.authority()).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut head = [0; 15];
    within("a head", stream.read_exact(&mut head)).await.expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_pages_that_no_client_reads_are_not_in_memory() {
    let redis = RedisServer::start();
    // For longer than a busy machine takes for all this: a page that has expired is asked of the origin once more, and its
    // recording is in memory. So is that of one that Redis does not give in time.
    let origin =
        Origin::start(|call| async move { Reply::ok(page(call.uri.path())).header("cache-control", "max-age=3600") })
            .await;
    let (redis_url, max_body) = (redis.url(), "20000000");
    let patient = ["--redis-timeout", "30s", "--lease", "30s"];
    let flags = [&["--redis", &redis_url, "--max-body", max_body][..], &patient].concat();
    let writer = Node::reverse_proxy(&origin.url(), &flags).await;
    for n in 0..PAGES {
        read(ask(&writer, &format!("/{n}")).await).await;
        eventually("a page in Redis", || redis.stored().len() == n + 1).await;
    }
    for at_once in [1, PAGES] {
        let node = Node::reverse_proxy(&origin.url(), &flags).await;
        let before = resident(&node);
        let mut unread = Vec::new();
        while unread.len() < PAGES {
            let paths: Vec<_> = (unread.len()..unread.len() + at_once)
                .map(|n| format!("/{n}"))
                .collect();
            let asked = paths.iter().map(|path| ask(&node, path));
            unread.extend(futures_util::future::join_all(asked).await);
        }
        let held = resident(&node) - before;
        let calls: usize = (0..PAGES).map(|n| origin.calls(&format!("/{n}"))).sum();
        assert_eq!(calls, PAGES, "{at_once} at once: {} MiB", held / MIB);
        // All of them are 480 MiB.
        assert!(held < 240 * MIB, "{at_once} at once: {} MiB", held / MIB);
        // They are whole all the same.
        for (n, stream) in unread.into_iter().enumerate() {
            let rest = read(stream).await;
            let begin = rest.len() - PAGE;
            assert!(rest[begin..] == page(&format!("/{n}")), "page {n} is another one");
        }
    }
    let hits = HttpClient::http1().get(&writer.url("/0")).await.expect("an answer");
    assert_eq!(hits.body.len(), PAGE);
}

async fn read(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    within("the rest", stream.read_to_end(&mut rest))
        .await
        .expect("the rest");
    rest
}
