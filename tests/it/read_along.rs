//! `reverse_proxy --stream-followers cluster`: clients of one process read what another one fetches, while it comes.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::support::{
    BodySender, HttpClient, MASTER, Node, Origin, RedisCluster, RedisServer, Reply, Sentinels, eventually, read_to_end,
    run_example, send_get, until, within,
};

/// An upstream whose first answer grows by the test's hand, and others at once.
async fn growing() -> (Origin, oneshot::Receiver<BodySender>) {
    let (given, sender) = oneshot::channel();
    let given = Arc::new(Mutex::new(Some(given)));
    let origin = Origin::start(move |call| {
        let given = given.lock().expect("no panic").take();
        async move {
            match given {
                Some(given) => {
                    let (sender, reply) = Reply::streamed();
                    assert!(given.send(sender).is_ok());
                    reply.header("cache-control", "max-age=60")
                }
                None => Reply::fresh(call.number.to_string()),
            }
        }
    })
    .await;
    (origin, sender)
}

async fn pair(origin: &Origin, flags: &[&str]) -> [Node; 2] {
    let mut all = vec!["--stream-followers", "cluster"];
    all.extend(flags);
    let url = origin.url();
    [
        Node::reverse_proxy(&url, &all).await,
        Node::reverse_proxy(&url, &all).await,
    ]
}

async fn open(client: &HttpClient, node: &Node) -> Response<Incoming> {
    let request = Request::get(node.url("/")).body(Empty::<Bytes>::new());
    client.start(request.expect("a request")).await.expect("a head")
}

/// Reads so many bytes.
async fn some(response: &mut Response<Incoming>, length: usize) -> Bytes {
    let mut read = Vec::new();
    while read.len() < length {
        let frame = within("a part", response.body_mut().frame()).await.expect("no end");
        if let Ok(data) = frame.expect("no error").into_data() {
            read.extend_from_slice(&data);
        }
    }
    read.into()
}

/// How many bytes are left, if it comes to its end.
async fn rest(response: Response<Incoming>) -> Result<usize, hyper::Error> {
    let (mut body, mut length) = (response.into_body(), 0);
    while let Some(frame) = within("a part or the end", body.frame()).await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(length)
}

async fn reads_along(redis: &[&str]) {
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let (origin, sender) = growing().await;
        let nodes = pair(&origin, redis).await;
        let leader = tokio::spawn({
            let (client, url) = (client.clone(), nodes[0].url("/"));
            async move { client.get(&url).await }
        });
        let sender = sender.await.expect("a call");
        let mut follower = open(&client, &nodes[1]).await;
        for part in ["one", "two"] {
            sender.send(part).await;
            assert_eq!(some(&mut follower, 3).await, part);
        }
        drop(sender);
        assert_eq!(rest(follower).await.expect("a whole body"), 0);
        assert_eq!(leader.await.expect("no panic").expect("an answer").body, "onetwo");
        for node in &nodes {
            assert_eq!(client.get(&node.url("/")).await.expect("an answer").body, "onetwo");
        }
        assert_eq!(origin.all_calls(), 1);
    }
}

#[tokio::test]
async fn a_client_of_another_process_reads_while_the_response_comes() {
    let redis = RedisServer::start();
    reads_along(&["--redis", &redis.url(), "--tag", "a"]).await;
}

#[tokio::test]
async fn so_it_does_over_a_redis_cluster() {
    let cluster = RedisCluster::start();
    let urls = cluster.urls();
    let flags: Vec<&str> = urls
        .iter()
        .flat_map(|url| ["--redis", url])
        .chain(["--cluster"])
        .collect();
    reads_along(&flags).await;
}

#[tokio::test]
async fn so_it_does_over_a_master_behind_sentinels() {
    let sentinels = Sentinels::start();
    let urls = sentinels.urls();
    let flags: Vec<&str> = urls
        .iter()
        .flat_map(|url| ["--redis", url])
        .chain(["--sentinel", MASTER])
        .collect();
    reads_along(&flags).await;
}

#[tokio::test]
async fn a_leader_that_is_killed_breaks_its_followers_elsewhere_and_leaves_nothing() {
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let redis = RedisServer::start();
        let (origin, sender) = growing().await;
        let [mut here, there] = pair(&origin, &["--redis", &redis.url(), "--lease", "1s"]).await;
        let leader = tokio::spawn({
            let (client, url) = (client.clone(), here.url("/"));
            async move { client.get(&url).await }
        });
        let sender = sender.await.expect("a call");
        let mut follower = open(&client, &there).await;
        sender.send("one").await;
        assert_eq!(some(&mut follower, 3).await, "one");
        here.kill().await;
        assert!(rest(follower).await.is_err(), "ended as if it were whole");
        assert!(leader.await.expect("no panic").is_err());
        eventually("nothing left", || redis.keys().is_empty()).await;
        assert_eq!(client.get(&there.url("/")).await.expect("an answer").body, "2");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_aborted_chunked_body() {
    let redis = RedisServer::start();
    let (origin, sender) = growing().await;
    let nodes = pair(&origin, &["--redis", &redis.url()]).await;
    let client = HttpClient::http1();
    let leader = tokio::spawn({
        let (client, url) = (client.clone(), nodes[0].url("/"));
        async move { client.get(&url).await }
    });
    let sender = sender.await.expect("a call");
    let mut watched = open(&client, &nodes[1]).await;
    let (mut raw, mut read) = (send_get(&nodes[1].url("/")).await, Vec::new());
    sender.send("one").await;
    assert_eq!(some(&mut watched, 3).await, "one");
    within("the first piece", async {
        while !read.ends_with(b"one\r\n") {
            raw.read_buf(&mut read).await.expect("no end");
        }
    })
    .await;
    sender.abort().await;
    read_to_end(&mut raw, &mut read).await;
    let raw = String::from_utf8(read).expect("text");
    assert!(raw.contains("\r\n3\r\none\r\n"), "{raw}");
    assert!(!raw.contains("\r\n0\r\n"), "{raw}");
    assert!(rest(watched).await.is_err());
    assert!(leader.await.expect("no panic").is_err());
}

/// The most memory that a process has had, in MiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("a number") / 1024
}

#[tokio::test]
async fn a_hundred_megabytes_take_bounded_memory_everywhere() {
    const PIECES: usize = 1600;
    const PIECE: usize = 64 * 1024;
    let redis = RedisServer::start();
    let (origin, sender) = growing().await;
    let nodes = pair(&origin, &["--redis", &redis.url()]).await;
    let client = HttpClient::http1();
    let leader = tokio::spawn({
        let (client, url) = (client.clone(), nodes[0].url("/"));
        async move {
            let request = Request::get(url).body(Empty::<Bytes>::new()).expect("a request");
            rest(client.start(request).await.expect("a head")).await
        }
    });
    let sender = sender.await.expect("a call");
    let follower = open(&client, &nodes[1]).await;
    let late = open(&client, &nodes[1]).await;
    let followers = [follower, late].map(|follower| tokio::spawn(rest(follower)));
    let piece = Bytes::from(vec![b'x'; PIECE]);
    for _ in 0..PIECES {
        sender.send(piece.clone()).await;
    }
    drop(sender);
    for reader in [leader].into_iter().chain(followers) {
        let read = reader.await.expect("no panic").expect("a whole body");
        assert_eq!(read, PIECES * PIECE);
    }
    assert_eq!(origin.all_calls(), 1);
    let peaks = nodes.each_ref().map(|node| peak(node.pid()));
    assert!(peaks.iter().all(|peak| *peak < 90), "{peaks:?} MiB");
    let info = redis.cli(&["INFO", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_peak:"));
    let most: u64 = line.and_then(|bytes| bytes.trim().parse().ok()).expect("a number");
    assert!(most < 60 * 1024 * 1024, "{most} bytes");
}

#[tokio::test]
async fn a_feed_is_read_along_and_ends_with_the_last_of_its_readers() {
    let redis = RedisServer::start();
    let (origin, sender) = growing().await;
    let nodes = pair(&origin, &["--redis", &redis.url()]).await;
    let leader = tokio::spawn({
        let url = nodes[0].url("/");
        async move {
            let request = Request::get(url).body(Empty::<Bytes>::new()).expect("a request");
            HttpClient::http1().start(request).await.expect("a head")
        }
    });
    let sender = sender.await.expect("a call");
    let mut leader = leader.await.expect("no panic");
    let client = HttpClient::http1();
    let mut follower = open(&client, &nodes[1]).await;
    // Well past the time after which it counts as endless: no lock, and no more than a marker.
    for n in 0..100 {
        let line = format!("{n:09}\n");
        sender.send(line.clone()).await;
        assert_eq!(some(&mut leader, 10).await, line);
        assert_eq!(some(&mut follower, 10).await, line);
        sleep(Duration::from_millis(80)).await;
    }
    // Requests that come now go their own way at once.
    assert_eq!(
        HttpClient::http1()
            .get(&nodes[1].url("/"))
            .await
            .expect("an answer")
            .body,
        "2"
    );
    drop(leader);
    for n in 0..20 {
        let line = format!("{n:09}\n");
        sender.send(line.clone()).await;
        assert_eq!(some(&mut follower, 10).await, line);
    }
    drop(follower);
    let ended = async || !sender.try_send("more\n").await;
    until("an end of the upstream's answer", ended).await;
}

#[tokio::test]
async fn many_clients_of_many_processes_cost_one_call() {
    let redis = RedisServer::start();
    let (origin, sender) = growing().await;
    let url = redis.url();
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(Node::reverse_proxy(&origin.url(), &["--redis", &url, "--stream-followers", "cluster"]).await);
    }
    let client = HttpClient::http2();
    let asked: Vec<_> = (0..100)
        .map(|i| {
            let (client, url) = (client.clone(), nodes[i % 4].url("/"));
            tokio::spawn(async move { client.get(&url).await })
        })
        .collect();
    let sender = sender.await.expect("a call");
    let mut expected = String::new();
    for n in 0..50 {
        let part = format!("{n:0999}\n");
        sender.send(part.clone()).await;
        expected.push_str(&part);
    }
    drop(sender);
    for answer in join_all(asked).await {
        assert_eq!(answer.expect("no panic").expect("an answer").text(), expected);
    }
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test]
async fn another_word_is_refused() {
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "http://127.0.0.1:1",
        "--stream-followers",
        "everybody",
    ];
    let output = run_example("reverse_proxy", &flags).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("off, process or cluster"));
}
