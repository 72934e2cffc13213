//! Near copies in `reverse_proxy`, a process each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::Empty;

use crate::support::{HttpClient, Node, Origin, RedisCluster, RedisServer, Reply, eventually, run_example, within};

/// An upstream whose answer says how often something was changed.
async fn origin() -> (Origin, Arc<AtomicUsize>) {
    let changes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&changes);
    let origin = Origin::start(move |call| {
        let changes = Arc::clone(&counted);
        async move {
            let number = match call.method {
                Method::GET => changes.load(Ordering::SeqCst),
                _ => changes.fetch_add(1, Ordering::SeqCst) + 1,
            };
            Reply::fresh(number.to_string())
        }
    })
    .await;
    (origin, changes)
}

async fn node(origin: &Origin, redis: &RedisServer, lag: &str) -> Node {
    let url = redis.url();
    near_node(origin, &["--redis", &url], lag).await
}

async fn node_in_cluster(origin: &Origin, cluster: &RedisCluster, lag: &str) -> Node {
    let url = cluster.nodes[5].url();
    near_node(origin, &["--cluster", "--redis", &url], lag).await
}

async fn near_node(origin: &Origin, redis: &[&str], lag: &str) -> Node {
    // What Redis has not taken in time holds on the other nodes once it has.
    let near = ["--near", "1048576", "--near-lag", lag, "--redis-timeout", "30s"];
    Node::reverse_proxy(&origin.url(), &[redis, &near].concat()).await
}

async fn send(node: &Node, method: &str, path: &str) -> (String, String) {
    let method: Method = method.parse().unwrap();
    let request = Request::builder().method(method).uri(node.url(path));
    let client = HttpClient::http1();
    let answer = client.send(request.body(Empty::<Bytes>::new()).unwrap());
    let answer = within("an answer", answer).await.unwrap();
    (answer.text().to_owned(), answer.header("cache-status").join(", "))
}

/// Asks until a near copy answers.
async fn warm(node: &Node, path: &str) -> String {
    within("a near hit", async {
        loop {
            let (body, status) = send(node, "GET", path).await;
            if status.ends_with("; detail=near") {
                assert!(status.starts_with("memolock; hit; ttl="), "{status}");
                return body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_change_through_any_proxy_holds_on_all_when_it_is_answered() {
    let redis = RedisServer::start();
    let (origin, _) = origin().await;
    let nodes = [
        node(&origin, &redis, "1s").await,
        node(&origin, &redis, "1s").await,
        node(&origin, &redis, "1s").await,
    ];
    for (round, method) in ["POST", "PUT", "DELETE", "PATCH"].iter().cycle().take(24).enumerate() {
        for node in &nodes {
            assert_eq!(warm(node, "/x").await, round.to_string());
        }
        send(&nodes[round % 3], method, "/x").await;
        for node in &nodes {
            let (body, status) = send(node, "GET", "/x").await;
            assert_eq!(body, (round + 1).to_string(), "{status}");
        }
    }
}

#[tokio::test]
async fn a_process_that_stood_still_serves_nothing_from_before() {
    let redis = RedisServer::start();
    let (origin, _) = origin().await;
    let (still, node) = (
        node(&origin, &redis, "700ms").await,
        node(&origin, &redis, "700ms").await,
    );
    for round in 0..3 {
        assert_eq!(warm(&still, "/x").await, round.to_string());
        assert_eq!(warm(&node, "/x").await, round.to_string());
        still.stop();
        let since = Instant::now();
        send(&node, "POST", "/x").await;
        assert!(since.elapsed() >= Duration::from_millis(600), "{:?}", since.elapsed());
        let (body, status) = first_of_all(&still, "/x").await;
        assert_eq!(body, (round + 1).to_string(), "{status}");
    }
}

/// What a process that stands still answers once it goes on, to a request from before.
async fn first_of_all(still: &Node, path: &str) -> (String, String) {
    let asked = send(still, "GET", path);
    let cont = async {
        eventually("a request at the process that stands still", || has_unread(still)).await;
        still.cont();
    };
    tokio::join!(asked, cont).0
}

/// Whether the kernel has bytes for this process that it has yet to read.
fn has_unread(node: &Node) -> bool {
    let url: Uri = node.url("/").parse().expect("a URL");
    let port = url.port_u16().expect("a port");
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's list of sockets");
    // number, local address, remote address, state, bytes to send and to read
    sockets.lines().skip(1).any(|socket| {
        let fields: Vec<_> = socket.split_whitespace().collect();
        let is_connected = fields[3] == "01";
        let is_unread = !fields[4].ends_with(":00000000");
        is_connected && is_unread && fields[1].ends_with(&format!(":{port:04X}"))
    })
}

#[tokio::test]
async fn a_change_through_any_proxy_holds_on_all_in_a_cluster() {
    let cluster = RedisCluster::start();
    let (origin, _) = origin().await;
    let nodes = [
        node_in_cluster(&origin, &cluster, "1s").await,
        node_in_cluster(&origin, &cluster, "1s").await,
        node_in_cluster(&origin, &cluster, "1s").await,
    ];
    // Some on each of the masters.
    for (round, path) in ["/a", "/b", "/c", "/d", "/e", "/f"].iter().cycle().take(24).enumerate() {
        let before = send(&nodes[0], "GET", path).await.0;
        for node in &nodes {
            assert_eq!(warm(node, path).await, before);
        }
        send(&nodes[round % 3], "POST", path).await;
        for node in &nodes {
            let (body, status) = send(node, "GET", path).await;
            assert_eq!(body, (round + 1).to_string(), "{path} {status}");
        }
    }
}

/// The process stood still while the home of its tag forgot it, in whichever way.
#[tokio::test]
async fn a_process_that_stood_still_serves_nothing_from_before_in_a_cluster() {
    let cluster = RedisCluster::start();
    let (origin, _) = origin().await;
    let (still, node) = (
        node_in_cluster(&origin, &cluster, "700ms").await,
        node_in_cluster(&origin, &cluster, "700ms").await,
    );
    let home = cluster.home("proxy/gen:{proxy}");
    let redis = &cluster.nodes[home];
    let give_away = || {
        let slot = cluster.slot("proxy/gen:{proxy}");
        let (source, to) = (cluster.id(home + 3), (home + 1) % 3);
        let target = cluster.id(to);
        cluster.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        cluster.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]);
    };
    let losses: [&dyn Fn(); 5] = [
        &|| {},
        &|| drop(redis.cli(&["FLUSHALL"])),
        &|| drop(redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"])),
        &|| drop(cluster.nodes[home + 3].cli(&["CLUSTER", "FAILOVER"])),
        &give_away,
    ];
    let mut changes = 0;
    for (at, loss) in losses.iter().enumerate() {
        let paths = ["/a", "/b", "/c"];
        // A master is replaced once, and a slot given away.
        for path in &paths[..if at >= 3 { 1 } else { 3 }] {
            let before = send(&node, "GET", path).await.0;
            assert_eq!(warm(&still, path).await, before);
            assert_eq!(warm(&node, path).await, before);
            still.stop();
            loss();
            let since = Instant::now();
            send(&node, "POST", path).await;
            changes += 1;
            let took = since.elapsed();
            assert!(at == 3 || took >= Duration::from_millis(600), "{took:?}");
            let (body, status) = first_of_all(&still, path).await;
            assert_eq!(body, changes.to_string(), "{at} {path} {status}");
        }
    }
}

#[tokio::test]
async fn a_process_that_ends_in_order_is_not_waited_for() {
    let redis = RedisServer::start();
    let (origin, _) = origin().await;
    let (mut leaving, staying) = (node(&origin, &redis, "5s").await, node(&origin, &redis, "5s").await);
    warm(&leaving, "/x").await;
    warm(&staying, "/x").await;
    leaving.signal("TERM");
    assert!(leaving.ended().await.success());
    // Redis may take a moment to see that its connection is closed.
    eventually("one listener", || {
        redis
            .cli(&["PUBSUB", "NUMSUB", "proxy/ctl:{proxy}/near"])
            .ends_with("\n1")
    })
    .await;
    let since = Instant::now();
    send(&staying, "POST", "/x").await;
    assert!(since.elapsed() < Duration::from_millis(2500), "{:?}", since.elapsed());
    assert_eq!(send(&staying, "GET", "/x").await.0, "1");
}

#[tokio::test]
async fn flags_that_make_no_sense_are_refused() {
    let upstream = ["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"];
    let redis = "redis://127.0.0.1:1";
    for (flags, remedy) in [
        (&["--near", "1000"][..], "--redis"),
        (&["--near-lag", "1s"], "--redis"),
        (&["--redis-timeout", "1s"], "--redis"),
        (&["--redis", redis, "--near-lag", "1s"], "--near"),
        (&["--redis", redis, "--near", "many"], "--near"),
        (&["--redis", redis, "--near", "1000", "--near-lag", "1"], "--near-lag"),
    ] {
        let output = run_example("reverse_proxy", &[&upstream[..], flags].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(remedy), "{flags:?}: {said}");
    }
}
