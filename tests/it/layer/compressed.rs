//! Compressed values: fewer bytes in Redis, and the same responses on every node.

use bytes::Bytes;
use http::Method;
use tower_memolock::{MemoLock, MemoLockLayer, RedisStore};

use super::fixture::{Gate, Inner, Node, answer, bodies, fresh, get, get_with, pair_over, send, send_many, with};
use super::redis::{other_node_listens, stored};
use crate::support::RedisServer;

const FROM: usize = 1024;

async fn compressing(server: &RedisServer) -> RedisStore {
    let builder = RedisStore::builder(server.url()).compress_from(FROM);
    builder.connect().await.expect("a store")
}

async fn nodes(server: &RedisServer, inner: &Inner) -> [Node; 2] {
    let stores = [compressing(server).await, compressing(server).await];
    pair_over(stores, inner, |layer: MemoLockLayer| layer)
}

fn report(rows: usize) -> Bytes {
    let row = |n: usize| {
        format!(
            "{{\"id\":{n},\"name\":\"row {n}\",\"state\":\"open\",\"price\":{}}}\n",
            n * 7 % 1000
        )
    };
    (0..rows).map(row).collect::<String>().into()
}

fn bytes_of(server: &RedisServer, id: &str) -> usize {
    let key = format!("layer:{{GET //{id}}}");
    server.cli(&["STRLEN", &key]).parse().expect("a length")
}

#[tokio::test]
async fn another_node_replays_what_is_stored_in_fewer_bytes() {
    let server = RedisServer::start();
    let body = report(500);
    let inner = {
        let body = body.clone();
        Inner::replying(move |_| with(fresh(body.clone()), "etag", "\"1\""))
    };
    let nodes = nodes(&server, &inner).await;
    let first = answer(send(&nodes[0], get("/"))).await;
    stored(&server, 1).await;
    let bytes = bytes_of(&server, "/");
    assert!(bytes > 100 && bytes * 4 < body.len(), "{bytes} of {} bytes", body.len());
    let second = answer(send(&nodes[1], get("/"))).await;
    assert_eq!((&first.body, &second.body), (&body, &body));
    assert_eq!(second.header("etag"), Some("\"1\""));
    let part = answer(send(&nodes[1], get_with("/", "range", "bytes=100-199"))).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &body[100..200]));
    let unchanged = answer(send(&nodes[1], get_with("/", "if-none-match", "\"1\""))).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    let mut head = get("/");
    *head.method_mut() = Method::HEAD;
    let head = answer(send(&nodes[1], head)).await;
    assert_eq!(head.header("content-length"), Some(&*body.len().to_string()));
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn those_who_wait_on_another_node_get_it_too() {
    let server = RedisServer::start();
    let gate = Gate::new();
    let body = report(200);
    let inner = {
        let (gate, body) = (gate.clone(), body.clone());
        Inner::new(move |_, _| {
            let (gate, body) = (gate.clone(), body.clone());
            async move {
                gate.pass().await;
                Ok(fresh(body))
            }
        })
    };
    let nodes = nodes(&server, &inner).await;
    let asked = send_many(&nodes, 20, || get("/"));
    gate.reached_by(1).await;
    other_node_listens(&server).await;
    gate.open();
    assert!(bodies(asked).await.iter().all(|heard| *heard == body));
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_node_that_compresses_and_one_that_does_not_share_what_they_store() {
    let server = RedisServer::start();
    let body = report(500);
    let inner = {
        let body = body.clone();
        Inner::replying(move |_| fresh(body.clone()))
    };
    let plain = server.store().await;
    let nodes = pair_over([plain, compressing(&server).await], &inner, |layer: MemoLockLayer| {
        layer
    });
    for (count, [one, other]) in [[0, 1], [1, 0]].into_iter().enumerate() {
        let path = format!("/{one}");
        answer(send(&nodes[one], get(&path))).await;
        stored(&server, count + 1).await;
        assert_eq!(bytes_of(&server, &path) < body.len(), one == 1);
        assert_eq!(answer(send(&nodes[other], get(&path))).await.body, body);
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test]
async fn small_values_and_what_gets_no_shorter_stay_as_they_are() {
    let server = RedisServer::start();
    let noise: Bytes = (0..5000).map(|_| fastrand::u8(..)).collect::<Vec<u8>>().into();
    let small = report(5);
    let inner = {
        let (noise, small) = (noise.clone(), small.clone());
        Inner::new(move |request, _| {
            let body = if request.uri().path() == "/small" {
                small.clone()
            } else {
                noise.clone()
            };
            async move { Ok(fresh(body)) }
        })
    };
    let nodes = nodes(&server, &inner).await;
    for (count, (path, body)) in [("/small", &small), ("/noise", &noise)].into_iter().enumerate() {
        answer(send(&nodes[0], get(path))).await;
        stored(&server, count + 1).await;
        assert!(bytes_of(&server, path) > body.len());
        assert_eq!(answer(send(&nodes[1], get(path))).await.body, body);
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test]
async fn what_the_family_reads_stands_to_the_letter() {
    let server = RedisServer::start();
    let memo = MemoLock::new(compressing(&server).await, "family");
    let (value, computed) = (report(100), report(100));
    let computed = memo
        .get_or_compute("42", || async { Ok::<_, std::io::Error>(computed) })
        .await;
    assert_eq!(computed.expect("a value"), value);
    assert_eq!(
        server.cli(&["GET", "family:42"]).trim_end().as_bytes(),
        value.trim_ascii_end()
    );
}

#[tokio::test]
async fn a_torn_value_is_computed_anew() {
    let server = RedisServer::start();
    let body = report(500);
    let inner = {
        let body = body.clone();
        Inner::replying(move |_| fresh(body.clone()))
    };
    let nodes = nodes(&server, &inner).await;
    answer(send(&nodes[0], get("/"))).await;
    stored(&server, 1).await;
    for (offset, call) in [("40", 2), ("18", 3)] {
        server.cli(&["SETRANGE", "layer:{GET ///}", offset, "damage"]);
        assert_eq!(answer(send(&nodes[1], get("/"))).await.body, body);
        assert_eq!(inner.calls(), call);
    }
}
