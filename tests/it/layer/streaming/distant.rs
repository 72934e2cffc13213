//! How soon a follower elsewhere has a byte, where Redis is far away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::sleep_until;
use tower::Layer;
use tower_memolock::middleware::StreamFollowers;
use tower_memolock::{MemoLockLayer, RedisStore};

use super::fixture::{Reply, give, growing, next, open, plain, whole};
use crate::layer::fixture::{Inner, Node, Part, get};
use crate::support::{RedisServer, eventually, within};

/// How long a byte takes to Redis, or from there.
const WAY: Duration = Duration::from_millis(100);

/// Passes on what comes, that much later. `under_way` counts the pieces that have not arrived.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Send + Unpin + 'static,
    under_way: Arc<AtomicUsize>,
) {
    let left = Arc::clone(&under_way);
    let (sender, mut pieces) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
            left.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        under_way.fetch_add(1, Ordering::SeqCst);
        let _ = sender.send((tokio::time::Instant::now() + WAY, buffer[..length].to_vec()));
    }
}

async fn node(server: &RedisServer, inner: &Inner, under_way: &Arc<AtomicUsize>) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://{}", listener.local_addr().expect("its number"));
    let (upstream, under_way) = (server.port(), Arc::clone(under_way));
    tokio::spawn(async move {
        while let Ok((here, _)) = listener.accept().await {
            let there = TcpStream::connect(("127.0.0.1", upstream)).await.expect("a server");
            let ((here_read, here_write), (there_read, there_write)) = (here.into_split(), there.into_split());
            tokio::spawn(pass(here_read, there_write, Arc::clone(&under_way)));
            tokio::spawn(pass(there_read, here_write, Arc::clone(&under_way)));
        }
    });
    let store = RedisStore::connect(&url).await.expect("a store");
    let layer = MemoLockLayer::new(store, "layer").stream_followers(StreamFollowers::Cluster);
    layer.layer(inner.clone())
}

#[tokio::test]
async fn a_byte_is_there_within_one_and_a_half_round_trips() {
    let server = RedisServer::start();
    let (sender, inner) = growing(plain);
    let under_way = Arc::default();
    let here = node(&server, &inner, &under_way).await;
    let there = node(&server, &inner, &under_way).await;
    let mut leader = open(&here, get("/")).await;
    let mut follower = open(&there, get("/")).await;
    let soon = async {
        // At first Redis does not know the scripts yet. A busy machine adds to what the ways take, and never saves one.
        while lateness(&sender, &mut leader, &mut follower, &under_way).await >= 3 * WAY {}
    };
    within("a byte that is there in time", soon).await;
    drop(sender);
    assert_eq!(whole(follower).await.body, "");
}

/// How much later than the leader's client a follower elsewhere has a byte, that is given once all that is under way has come.
async fn lateness(
    sender: &UnboundedSender<Part>,
    leader: &mut Reply,
    follower: &mut Reply,
    under_way: &AtomicUsize,
) -> Duration {
    eventually("an end of what is under way", || under_way.load(Ordering::SeqCst) == 0).await;
    give(sender, "one");
    let first = async {
        next(leader).await;
        Instant::now()
    };
    let second = async {
        next(follower).await;
        Instant::now()
    };
    let (first, second) = tokio::join!(first, second);
    second - first
}
