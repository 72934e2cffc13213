//! How soon a follower elsewhere has a byte, where Redis is far away.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tower::Layer;
use tower_memolock::middleware::StreamFollowers;
use tower_memolock::{MemoLockLayer, RedisStore};

use super::fixture::{give, growing, next, open, plain, whole};
use crate::layer::fixture::{Inner, Node, get};
use crate::support::RedisServer;

/// How long a byte takes to Redis, or from there.
const WAY: Duration = Duration::from_millis(100);

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Send + Unpin + 'static) {
    let (sender, mut pieces) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let _ = sender.send((tokio::time::Instant::now() + WAY, buffer[..length].to_vec()));
    }
}

async fn node(server: &RedisServer, inner: &Inner) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("redis://{}", listener.local_addr().expect("its number"));
    let upstream = server.port();
    tokio::spawn(async move {
        while let Ok((here, _)) = listener.accept().await {
            let there = TcpStream::connect(("127.0.0.1", upstream)).await.expect("a server");
            let ((here_read, here_write), (there_read, there_write)) = (here.into_split(), there.into_split());
            tokio::spawn(pass(here_read, there_write));
            tokio::spawn(pass(there_read, here_write));
        }
    });
    let store = RedisStore::connect(&url).await.expect("a store");
    let layer = MemoLockLayer::new(store, "layer").stream_followers(StreamFollowers::Cluster);
    layer.layer(inner.clone())
}

#[tokio::test]
async fn a_byte_is_there_within_one_and_a_half_round_trips() {
    let server = RedisServer::start();
    let mut late = Vec::new();
    for _ in 0..2 {
        let (sender, inner) = growing(plain);
        let (here, there) = (node(&server, &inner).await, node(&server, &inner).await);
        let mut leader = open(&here, get("/")).await;
        let mut follower = open(&there, get("/")).await;
        // What was to be sent with the head is.
        sleep(WAY * 6).await;
        let reading = tokio::spawn(async move {
            next(&mut follower).await;
            (follower, Instant::now())
        });
        give(&sender, "one");
        next(&mut leader).await;
        let here = Instant::now();
        let (follower, there) = reading.await.expect("no panic");
        late.push(there - here);
        drop(sender);
        assert_eq!(whole(follower).await.body, "");
        server.cli(&["DEL", "layer:{GET ///}"]);
    }
    // The first time, Redis does not know the scripts yet.
    let round_trip = 2 * WAY;
    assert!(late[1] < round_trip * 3 / 2, "{late:?}");
}
