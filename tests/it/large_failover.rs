//! Large values over TLS, and while a master fails over: whole, or not at all.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};
use tower_memolock::middleware::ResponseLimits;
use tower_memolock::{Key, MemoLock, MemoLockLayer, RedisStore};

use crate::support::{Authority, MASTER, RedisCluster, Sentinels, SlowLink, TlsServer, eventually, within};

const LARGE: usize = 3 << 20;

const TIMEOUT: Duration = Duration::from_millis(500);

/// With this a large value takes three times as long as the store's timeout.
const SLOW: usize = 2 << 20;

/// A value that tells in each of its bytes which call has made it.
fn large(call: usize) -> Bytes {
    Bytes::from(vec![call as u8; LARGE])
}

#[track_caller]
fn assert_whole(value: &[u8]) {
    assert_eq!(value.len(), LARGE);
    assert!(value.iter().all(|byte| *byte == value[0]), "a mixture");
}

/// Nodes that compute large values, and how often they did.
#[derive(Clone)]
struct Nodes {
    nodes: Vec<MemoLock>,
    calls: Arc<AtomicUsize>,
}

impl Nodes {
    fn new(stores: impl IntoIterator<Item = RedisStore>) -> Self {
        let node = |store| MemoLock::new(store, "t").ttl(Duration::from_secs(600));
        Self {
            nodes: stores.into_iter().map(node).collect(),
            calls: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn ask(&self, node: usize, name: &str) -> Bytes {
        let calls = Arc::clone(&self.calls);
        let compute = || async move { Ok::<_, Infallible>(large(calls.fetch_add(1, Ordering::SeqCst) + 1)) };
        let key = Key::builder().part("GET").part(name).build();
        let answer = within("an answer", self.nodes[node].get_or_compute(key, compute)).await;
        let answer = answer.expect("a value");
        assert_whole(&answer);
        answer
    }

    /// Reads of a few values, each called in now and then, until `stopped`. Ends with their number.
    async fn load(&self, stopped: &AtomicBool) -> usize {
        let mut asked = 0;
        while !stopped.load(Ordering::Relaxed) {
            let mut round = JoinSet::new();
            for node in 0..self.nodes.len() {
                for name in ["/a", "/b", "/c", "/d"] {
                    let nodes = self.clone();
                    round.spawn(async move { drop(nodes.ask(node, name).await) });
                }
            }
            asked += round.len();
            within("a round", round.join_all()).await;
            let key = Key::builder().part("GET").part("/a").build();
            // Whether it reaches Redis is another matter.
            let _ = within("an invalidation", self.nodes[asked % 2].invalidate(key)).await;
        }
        asked
    }

    /// Reads while `trouble` comes, until `is_over`, and shared again after that.
    async fn go_through<T>(&self, world: &mut T, trouble: impl FnOnce(&mut T), is_over: impl Fn(&T) -> bool) {
        for node in 0..self.nodes.len() {
            self.ask(node, "/a").await;
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let load = {
            let (nodes, stopped) = (self.clone(), Arc::clone(&stopped));
            tokio::spawn(async move { nodes.load(&stopped).await })
        };
        trouble(world);
        eventually("another master", || is_over(world)).await;
        // What one stores, the other has.
        within("nodes that share", async {
            for round in 0.. {
                let name = format!("/{round}");
                if self.ask(0, &name).await == self.ask(1, &name).await {
                    break;
                }
            }
        })
        .await;
        stopped.store(true, Ordering::Relaxed);
        assert!(load.await.expect("whole values") > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_are_whole_while_sentinels_make_another_the_master() {
    for killed in [true, false] {
        let mut all = Sentinels::start();
        let mut stores = Vec::new();
        for _ in 0..2 {
            let builder = RedisStore::sentinel(all.urls(), MASTER).timeout(TIMEOUT);
            stores.push(builder.connect().await.expect("a store"));
        }
        let nodes = Nodes::new(stores);
        let trouble = |all: &mut Sentinels| match killed {
            true => all.servers[0].kill(),
            false => all.fail_over(),
        };
        nodes.go_through(&mut all, trouble, Sentinels::has_failed_over).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_are_whole_while_a_replica_of_a_cluster_is_promoted() {
    let mut cluster = RedisCluster::start();
    let mut stores = Vec::new();
    for _ in 0..2 {
        let builder = RedisStore::cluster([cluster.nodes[5].url()]).timeout(TIMEOUT);
        stores.push(builder.connect().await.expect("a store"));
    }
    let nodes = Nodes::new(stores);
    let home = cluster.home("t:{GET /a}");
    let kill = |cluster: &mut RedisCluster| cluster.lose(home);
    nodes
        .go_through(&mut cluster, kill, |cluster| cluster.has_promoted(home + 3))
        .await;
}

/// A response that is read in parts, while the server it is read from goes away.
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_read_in_parts_is_whole_or_breaks_off_when_its_master_is_gone() {
    let mut all = Sentinels::start();
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = service_fn(move |_: Request<Full<Bytes>>| {
        let body = Full::new(large(calls.fetch_add(1, Ordering::SeqCst) + 1));
        let response = Response::builder().header("cache-control", "max-age=600").body(body);
        std::future::ready(Ok::<_, Infallible>(response.expect("a response")))
    });
    let builder = RedisStore::sentinel(all.urls(), MASTER).timeout(TIMEOUT);
    let layer = MemoLockLayer::new(builder.connect().await.expect("a store"), "t")
        .response_limits(ResponseLimits::new().max_recording(8 << 20));
    let service = layer.layer(inner);
    let ask = |path: &str| {
        service
            .clone()
            .oneshot(Request::get(path).body(Full::default()).expect("a request"))
    };
    for (count, path) in ["/unread", "/"].into_iter().enumerate() {
        let response = ask(path).await.expect("a response");
        assert_whole(&response.collect().await.expect("a body").to_bytes());
        eventually("stored", || all.servers[0].stored().len() == count + 1).await;
    }
    let _unread = ask("/unread").await.expect("a response");
    let mut body = ask("/").await.expect("a response").into_body();
    let first = within("a part", body.frame()).await.expect("a part").expect("data");
    let mut read = first.into_data().expect("data").to_vec();
    assert!(read.len() < LARGE, "it is not read in parts");
    all.servers[0].kill();
    let end = within("an end", async {
        loop {
            match body.frame().await {
                Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().expect("data")),
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    })
    .await;
    assert!(read.iter().all(|byte| *byte == 2), "a mixture");
    assert_eq!(end.is_ok(), read.len() == LARGE, "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_over_tls_are_whole_however_slow_the_link_and_absent_where_it_is_silent() {
    let ca = Authority::new();
    let server = TlsServer::start(&ca, &ca.issue("127.0.0.1"));
    let port = server
        .url()
        .rsplit(':')
        .next()
        .and_then(|port| port.trim_end_matches('/').parse().ok());
    let link = SlowLink::start(port.expect("a port"), SLOW).await;
    let connect = async |url: String| {
        let builder = RedisStore::builder(url).root_certificates(ca.pem()).timeout(TIMEOUT);
        builder.connect().await.expect("a store")
    };
    let far = link.url().replace("redis://", "rediss://");
    let nodes = Nodes::new([connect(server.url()).await, connect(far.clone()).await]);
    nodes.ask(0, "/a").await;
    eventually("a value", || server.plain.stored().len() == 1).await;
    // Of the first no node knows that it is large, so it may come too late. No part of it is an answer.
    within("a hit", async {
        loop {
            let before = nodes.calls();
            nodes.ask(1, "/a").await;
            if nodes.calls() == before {
                break;
            }
        }
    })
    .await;
    let (before, since) = (nodes.calls(), Instant::now());
    link.silence_after(LARGE / 3);
    nodes.ask(1, "/a").await;
    assert_eq!(nodes.calls(), before + 1);
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}
