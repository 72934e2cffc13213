//! Large responses in a real Redis: what callers hold that read one at a time.

use std::sync::LazyLock;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::MemoControl;
use tower_memolock::{MemoLockLayer, RedisStore};

use super::fixture::{Inner, Node, answer, fresh, get, get_with, send, with};
use super::redis::{nodes, stored};
use crate::support::{Fault, FaultProxy, RedisServer, Target, eventually};

/// A response of some megabytes that is stored.
async fn large(server: &RedisServer) -> (Inner, [Node; 2]) {
    let inner = Inner::replying(|call| fresh(vec![call as u8; 4 << 20]));
    let nodes = nodes(server, &inner).await;
    answer(send(&nodes[0], get("/"))).await;
    stored(server, 1).await;
    (inner, nodes)
}

#[tokio::test]
async fn clients_that_do_not_read_a_large_response_hold_one_copy_of_it() {
    let server = RedisServer::start();
    let (inner, nodes) = large(&server).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut response = nodes[1].clone().oneshot(get("/")).await.expect("a response");
        let frame = response.body_mut().frame().await.expect("a frame").expect("content");
        held.push(frame.into_data().expect("data"));
    }
    assert!(held.iter().all(|body| body.len() == 4 << 20));
    held.dedup_by_key(|body| body.as_ptr());
    assert_eq!(held.len(), 1);
    // What is stored in its place is another response, of which nothing is lost.
    server.cli(&["FLUSHALL"]);
    assert_eq!(answer(send(&nodes[1], get("/"))).await.body[..3], [2; 3]);
    assert_eq!(held[0][..3], [1; 3]);
    assert_eq!(inner.calls(), 2);
}

/// How many bytes the server has sent.
fn sent(server: &RedisServer) -> usize {
    let stats = server.cli(&["INFO", "stats"]);
    let sent = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    sent.expect("a figure").trim().parse().expect("a number")
}

const PAGE: usize = 6 << 20;

/// Made once: where each comparison made it anew, a busy machine took longer than it is fresh.
fn page() -> &'static [u8] {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| (0..PAGE).map(|at| (at / 1009) as u8).collect());
    &CONTENT
}

/// A page of six megabytes that is stored.
async fn paged(server: &RedisServer) -> (Inner, [Node; 2]) {
    let inner = Inner::replying(|_| with(fresh(page()), "etag", "\"a\""));
    let nodes = nodes(server, &inner).await;
    answer(send(&nodes[0], get("/"))).await;
    stored(server, 1).await;
    (inner, nodes)
}

fn head(path: &str) -> Request<Full<Bytes>> {
    Request::head(path).body(Full::default()).expect("a request")
}

#[tokio::test]
async fn a_head_a_304_and_a_range_read_no_more_than_they_need() {
    let server = RedisServer::start();
    let (inner, nodes) = paged(&server).await;
    server.reset_commandstats();
    let before = sent(&server);
    // For the node that led last, the response is stored a moment later.
    for node in nodes.iter().rev() {
        for _ in 0..20 {
            let head = answer(send(node, head("/"))).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
            assert_eq!(head.header("content-length"), Some("6291456"));
            let unmodified = answer(send(node, get_with("/", "if-none-match", "\"a\""))).await;
            assert_eq!((unmodified.status.as_u16(), unmodified.body.len()), (304, 0));
            for (range, part) in [
                ("bytes=0-0", 0..1),
                ("bytes=-5", PAGE - 5..PAGE),
                ("bytes=65530-65550", 65_530..65_551),
            ] {
                let answer = answer(send(node, get_with("/", "range", range))).await;
                assert_eq!(answer.status.as_u16(), 206);
                let shown = format!("bytes {}-{}/{PAGE}", part.start, part.end - 1);
                assert_eq!(answer.header("content-range"), Some(&*shown));
                assert_eq!(answer.body, page()[part]);
            }
            let beyond = answer(send(node, get_with("/", "range", "bytes=6291456-"))).await;
            assert_eq!(beyond.status.as_u16(), 416);
        }
    }
    let moved = sent(&server) - before;
    assert!(moved < 3 * PAGE, "{moved} bytes");
    assert_eq!(server.commandstats().get("get"), None, "no client has read the whole");
    // A client that wants it has it, in parts as well.
    let whole = answer(send(&nodes[1], get_with("/", "range", "bytes=1-"))).await;
    assert_eq!((whole.status.as_u16(), whole.body), (206, page()[1..].into()));
    let whole = answer(send(&nodes[1], get_with("/", "if-none-match", "\"b\""))).await;
    assert_eq!((whole.status.as_u16(), whole.body), (200, page().into()));
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn parts_that_are_not_those_of_the_head_are_not_served() {
    let server = RedisServer::start();
    let (inner, nodes) = paged(&server).await;
    let key = server.keys().remove(0);
    // Somewhere in the second block of the content.
    server.cli(&["SETRANGE", &key, "100000", "?"]);
    let ask = |range| answer(send(&nodes[1], get_with("/", "range", range)));
    let sound = ask("bytes=0-0").await;
    assert_eq!((sound.status.as_u16(), inner.calls()), (206, 1));
    // The inner service knows no ranges.
    let damaged = ask("bytes=100000-100001").await;
    assert_eq!((damaged.status.as_u16(), inner.calls()), (200, 2));
    server.cli(&["SETRANGE", &key, "100", "?"]);
    let damaged = answer(send(&nodes[1], head("/"))).await;
    assert_eq!((damaged.status.as_u16(), inner.calls()), (200, 3));
}

#[tokio::test]
async fn an_answer_that_is_damaged_on_its_way_is_read_again_as_a_whole() {
    let server = RedisServer::start();
    let (inner, _nodes) = paged(&server).await;
    let proxy = FaultProxy::start(server.port()).await;
    let far = RedisStore::connect(&proxy.url()).await.expect("a store");
    let far = MemoLockLayer::new(far, "layer").layer(inner.clone());
    let damaged = proxy.inject(Target::replies(&["GETRANGE"]), Fault::Corrupt);
    let part = answer(send(&far, get_with("/", "range", "bytes=7-8"))).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &page()[7..9]));
    assert_eq!((damaged.count(), inner.calls()), (1, 1));
}

#[tokio::test]
async fn the_head_of_what_was_called_in_is_not_served() {
    let server = RedisServer::start();
    let inner = Inner::replying(|_| {
        let mut reply = with(fresh(page()), "etag", "\"a\"");
        reply.extensions_mut().insert(MemoControl::new().tag("pages"));
        reply
    });
    let store = server.store().await;
    let layer = MemoLockLayer::new(store, "layer");
    let node = layer.layer(inner.clone());
    answer(send(&node, get("/"))).await;
    stored(&server, 1).await;
    eventually("a flight that has landed", || layer.handle().stats().in_flight == 0).await;
    let asked = || {
        [
            head("/"),
            get_with("/", "range", "bytes=0-0"),
            get_with("/", "if-none-match", "\"a\""),
        ]
    };
    for request in asked() {
        answer(send(&node, request)).await;
    }
    assert_eq!(inner.calls(), 1);
    layer
        .handle()
        .invalidate_tags(["pages"])
        .await
        .expect("an invalidation");
    for (calls, request) in (2..).zip(asked()) {
        answer(send(&node, request)).await;
        assert_eq!(inner.calls(), calls);
    }
}

#[tokio::test]
async fn a_user_who_may_not_read_parts_reads_the_whole() {
    let server = RedisServer::start();
    let (inner, _nodes) = paged(&server).await;
    server.cli(&[
        "ACL",
        "SETUSER",
        "memo",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-getrange",
    ]);
    let url = server.url().replace("://", "://memo:secret@");
    let store = RedisStore::connect(&url).await.expect("a store");
    let node = MemoLockLayer::new(store.clone(), "layer").layer(inner.clone());
    for _ in 0..2 {
        let head = answer(send(&node, head("/"))).await;
        assert_eq!(head.header("content-length"), Some("6291456"));
    }
    assert_eq!((inner.calls(), store.stats().rejected), (1, 1));
}
