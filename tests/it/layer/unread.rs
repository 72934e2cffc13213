//! Large responses in a real Redis while clients do not read others: what is read in parts.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{Freshness, MemoBody, MemoControl, ResponseLimits};
use tower_memolock::{AtLimit, Limits, MemoLockLayer};

use super::fixture::{
    Broken, Gate, Inner, Node, TestBody, answer, fresh, get, get_with, read, send, streamed, text, with,
};
use super::redis::stored;
use crate::support::{RedisServer, eventually};

const PAGE: usize = 3 << 20;

/// Of which a quarter is for bodies from Redis: less than a page.
const ROOM: u64 = 8 << 20;

fn page(call: usize) -> Vec<u8> {
    (0..PAGE).map(|at| (at / 1009 + 7 * call) as u8).collect()
}

async fn layer(server: &RedisServer) -> MemoLockLayer {
    let store = server.store().await;
    MemoLockLayer::new(store, "layer").freshness(Freshness::new().ttl_jitter(0.0))
}

/// A node that has a page in memory which its client does not read, and so no room for more.
struct World {
    server: RedisServer,
    inner: Inner,
    /// With as much room as by default.
    wide: Node,
    node: Node,
    layer: MemoLockLayer,
    _unread: Response<MemoBody<TestBody>>,
}

impl World {
    async fn new(inner: Inner) -> Self {
        let server = RedisServer::start();
        let wide = layer(&server).await.layer(inner.clone());
        let layer = layer(&server)
            .await
            .response_limits(ResponseLimits::new().max_recording(ROOM))
            .limits(Limits::new().at_limit(AtLimit::Bypass));
        let node = layer.layer(inner.clone());
        answer(send(&wide, get("/unread"))).await;
        stored(&server, 1).await;
        let unread = node.clone().oneshot(get("/unread")).await.expect("a response");
        Self {
            server,
            inner,
            wide,
            node,
            layer,
            _unread: unread,
        }
    }

    /// Another node stores `/`.
    async fn store(&self) {
        answer(send(&self.wide, get("/"))).await;
        stored(&self.server, 2).await;
        self.server.reset_commandstats();
    }

    fn key(&self) -> String {
        let keys = self.server.keys();
        keys.into_iter().find(|key| key.ends_with("/}")).expect("a page")
    }

    /// How often a whole value was read.
    fn wholes(&self) -> u64 {
        let stats = self.server.commandstats();
        stats.get("get").copied().unwrap_or_default()
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Response<MemoBody<TestBody>> {
        self.node.clone().oneshot(request).await.expect("a response")
    }
}

fn pages() -> Inner {
    Inner::replying(|call| with(fresh(page(call)), "etag", "\"a\""))
}

/// The next data.
async fn next(body: &mut MemoBody<TestBody>) -> Result<Bytes, tower::BoxError> {
    let frame = body.frame().await.expect("a frame")?;
    Ok(frame.into_data().expect("data"))
}

#[tokio::test]
async fn without_room_a_large_response_is_read_as_its_client_reads() {
    let world = World::new(pages()).await;
    world.store().await;
    let response = world.ask(get("/")).await;
    assert_eq!(world.wholes(), 0);
    assert_eq!(response.body().size_hint().exact(), Some(PAGE as u64));
    let parts = world.server.commandstats()["getrange"];
    assert!(parts <= 2, "{parts} parts of which the client has read none");
    let answer = read(response).await.expect("a whole body");
    assert!(answer.body == page(2), "another body");
    assert!(answer.header("age").is_some() && answer.header("etag") == Some("\"a\""));
    assert_eq!((world.wholes(), world.inner.calls()), (0, 2));
}

#[tokio::test]
async fn a_range_of_much_is_read_as_its_client_reads() {
    let world = World::new(pages()).await;
    world.store().await;
    for (range, from) in [("bytes=0-", 0), ("bytes=70001-", 70_001)] {
        let answer = read(world.ask(get_with("/", "range", range)).await)
            .await
            .expect("a body");
        assert_eq!(answer.status.as_u16(), 206);
        assert!(answer.body == page(2)[from..], "another body");
    }
    let answer = read(world.ask(get_with("/", "if-none-match", "\"b\"")).await)
        .await
        .expect("a body");
    assert!(answer.status.as_u16() == 200 && answer.body == page(2));
    assert_eq!((world.wholes(), world.inner.calls()), (0, 2));
}

#[tokio::test]
async fn what_takes_the_place_of_a_response_that_is_read_ends_it_in_an_error() {
    for replaced in ["deleted", "replaced", "changed", "expired"] {
        let world = World::new(pages()).await;
        world.store().await;
        let mut body = world.ask(get("/")).await.into_body();
        let mut got = next(&mut body).await.expect("the first part").to_vec();
        let key = world.key();
        match replaced {
            "deleted" => drop(world.server.cli(&["DEL", &key])),
            "changed" => drop(world.server.cli(&["SETRANGE", &key, "2000000", "?"])),
            "expired" => drop(world.server.cli(&["PEXPIRE", &key, "0"])),
            _ => {
                world
                    .layer
                    .handle()
                    .invalidate_request(&get("/"))
                    .await
                    .expect("an invalidation");
                world.store().await;
            }
        }
        let error = loop {
            match body.frame().await {
                Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().expect("data")),
                Some(Err(error)) => break error,
                None => panic!("{replaced}: it looks whole"),
            }
        };
        assert!(got.len() < PAGE && got == page(2)[..got.len()], "{replaced}: a mixture");
        assert!(error.to_string().contains("replaced"), "{error}");
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn the_same_response_stored_anew_goes_on() {
    let world = World::new(Inner::replying(|_| fresh(page(1)))).await;
    world.store().await;
    let mut body = world.ask(get("/")).await.into_body();
    let first = next(&mut body).await.expect("the first part");
    world
        .layer
        .handle()
        .invalidate_request(&get("/"))
        .await
        .expect("an invalidation");
    world.store().await;
    let rest = body.collect().await.expect("the rest").to_bytes();
    assert!([first, rest].concat() == page(1));
}

fn with_trailers(call: usize) -> Response<TestBody> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", call.to_string().parse().expect("a value"));
    let body = Bytes::from(page(1));
    let parts = [Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
    with(streamed(stream::iter(parts)), "cache-control", "max-age=60")
}

#[tokio::test]
async fn trailers_come_with_the_body_they_belong_to_or_not_at_all() {
    let world = World::new(Inner::replying(with_trailers)).await;
    world.store().await;
    let response = world.ask(get("/")).await;
    assert_eq!(response.body().size_hint().exact(), None);
    let answer = read(response).await.expect("a whole body");
    assert!(answer.body == page(1));
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "2");
    assert_eq!(world.wholes(), 0);
    // Another response with the same content, and other trailers.
    let mut body = world.ask(get("/")).await.into_body();
    next(&mut body).await.expect("the first part");
    world
        .layer
        .handle()
        .invalidate_request(&get("/"))
        .await
        .expect("an invalidation");
    world.store().await;
    body.collect().await.expect_err("trailers of another response");
}

#[tokio::test]
async fn what_is_stale_and_cannot_be_read_whole_is_computed_anew_first() {
    let inner = Inner::new(|request, call| async move {
        assert!(
            request.headers().get("if-none-match").is_none(),
            "nothing to store anew"
        );
        if request.uri().path() == "/unread" {
            return Ok(fresh(page(call)));
        }
        let control = "max-age=1, stale-while-revalidate=60, stale-if-error=60";
        let response = with(text(page(call)), "cache-control", control);
        match call {
            3 => Err(Broken("the third")),
            _ => Ok(with(response, "etag", "\"a\"")),
        }
    });
    let world = World::new(inner).await;
    world.store().await;
    // Until it is stale.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (call, shown) in [(3, 2), (4, 4)] {
        let answer = read(world.ask(get("/")).await).await.expect("a body");
        assert!(answer.body == page(shown), "another one after call {call}");
        assert_eq!(world.inner.calls(), call);
    }
}

#[tokio::test]
async fn with_room_again_the_whole_is_read() {
    let mut world = World::new(pages()).await;
    world.store().await;
    world._unread = world.ask(get("/nothing")).await;
    world.server.reset_commandstats();
    // The answer to a leader is a recording.
    let answer = read(world.ask(get("/")).await).await.expect("a body");
    assert!(answer.body == page(2));
    assert_eq!(world.server.commandstats().get("getrange"), None);
}

#[tokio::test]
async fn small_responses_need_no_room() {
    let inner = Inner::new(|request, call| async move {
        let size = if request.uri().path() == "/unread" {
            PAGE
        } else {
            1000 * call
        };
        Ok(fresh(page(call)[..size].to_vec()))
    });
    let world = World::new(inner).await;
    world.store().await;
    let answer = read(world.ask(get("/")).await).await.expect("a body");
    assert!(answer.body == page(2)[..2000]);
    assert_eq!(world.inner.calls(), 2);
}

#[tokio::test]
async fn what_was_called_in_is_not_read_in_parts() {
    let inner = Inner::replying(|call| {
        let mut reply = fresh(page(call));
        reply.extensions_mut().insert(MemoControl::new().tag("pages"));
        reply
    });
    let world = World::new(inner).await;
    world.store().await;
    assert!(read(world.ask(get("/")).await).await.expect("a body").body == page(2));
    world
        .layer
        .handle()
        .invalidate_tags(["pages"])
        .await
        .expect("an invalidation");
    assert!(read(world.ask(get("/")).await).await.expect("a body").body == page(3));
}

#[tokio::test]
async fn what_cannot_be_read_in_parts_is_asked_for_without_room() {
    let inner = Inner::replying(|call| with(fresh(page(call)), "content-type", "text/plain"));
    let server = RedisServer::start();
    let layer = layer(&server)
        .await
        .raw_body("text/plain")
        .response_limits(ResponseLimits::new().max_recording(ROOM));
    let node = layer.layer(inner.clone());
    for path in ["/", "/unread"] {
        answer(send(&node, get(path))).await;
    }
    stored(&server, 2).await;
    eventually("flights that have landed", || layer.handle().stats().in_flight == 0).await;
    let unread = node.clone().oneshot(get("/unread")).await.expect("a response");
    assert!(
        answer(send(&node, get("/unread"))).await.body == page(2),
        "its bytes are in memory"
    );
    assert!(answer(send(&node, get("/"))).await.body == page(3));
    drop(unread);
    assert!(answer(send(&node, get("/"))).await.body == page(1));
    assert_eq!((inner.calls(), layer.handle().stats().limited_recording), (3, 1));
}

#[tokio::test]
async fn a_follower_on_another_node_needs_no_room_either() {
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |request, call| {
            let gate = gate.clone();
            async move {
                if request.uri().path() == "/" {
                    gate.pass().await;
                }
                Ok(fresh(page(call)))
            }
        })
    };
    let world = World::new(inner).await;
    let led = send(&world.wide, get("/"));
    gate.reached_by(1).await;
    let followed = send(&world.node, get("/"));
    let listens = || !world.server.cli(&["PUBSUB", "CHANNELS", "layer/*"]).is_empty();
    eventually("a follower", listens).await;
    world.server.reset_commandstats();
    gate.open();
    for asked in [led, followed] {
        assert!(answer(asked).await.body == page(2));
    }
    assert!(world.server.commandstats()["getrange"] > 8);
    assert_eq!(world.inner.calls(), 2);
}
