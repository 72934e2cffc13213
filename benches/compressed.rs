//! What compressed values save in Redis, and what they cost a hit in CPU time, beside the same values as they are.
//!
//! One thread, hits one after the other; the store's connections run on it as well. Needs `redis-server` on the path, and
//! Linux for its account of the thread's CPU time.

mod support;

use std::convert::Infallible;
use std::fs;

use bytes::Bytes;
use support::{RedisServer, get, median, response, serve};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_memolock::{MemoLockLayer, RedisStore};

const HITS: usize = 500;
const ROUNDS: usize = 15;

/// Rows of a table as an API sends them.
fn rows(bytes: usize) -> Bytes {
    let row = |n: u64| {
        let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!(
            "{{\"id\":{n},\"sku\":\"{hash:016x}\",\"state\":\"open\",\"price\":{},\"tags\":[\"new\",\"sale\"]}}\n",
            hash % 9973
        )
    };
    let rows: String = (0..bytes as u64 / 64).map(row).collect();
    Bytes::from(rows).slice(..bytes)
}

/// What no program can shorten, as pictures are.
fn noise(bytes: usize) -> Bytes {
    (0..bytes).map(|_| fastrand::u8(..)).collect::<Vec<_>>().into()
}

/// Nanoseconds of CPU that this thread has had.
fn cpu() -> f64 {
    let figures = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    figures
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .expect("nanoseconds")
}

/// A service with one response, and how many bytes Redis has of it.
async fn node(
    server: &RedisServer,
    tag: &str,
    body: Bytes,
    compress: bool,
) -> (
    impl Service<
        http::Request<http_body_util::Full<Bytes>>,
        Response = http::Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>>,
        Error: std::fmt::Debug,
    >,
    usize,
) {
    let builder = RedisStore::builder(server.url());
    let builder = if compress { builder.compress_from(1024) } else { builder };
    let store = builder.connect().await.expect("a store");
    let size = body.len();
    let handler = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(response(body.clone()))));
    let layer = MemoLockLayer::new(store, tag);
    let mut service = layer.layer(handler);
    while layer.handle().stats().hits == 0 {
        service.ready().await.expect("a service");
        serve(&mut service, vec![get(0)], size).await;
    }
    let mut connection = server.connect().await;
    let mut keys = redis::cmd("KEYS");
    let keys: Vec<String> = keys
        .arg(format!("{tag}:*"))
        .query_async(&mut connection)
        .await
        .expect("the keys");
    let mut strlen = redis::cmd("STRLEN");
    let stored = strlen
        .arg(&keys[0])
        .query_async(&mut connection)
        .await
        .expect("a length");
    (service, stored)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!(
        "{:<14} {:>10} {:>10} {:>9} {:>9} {:>7}",
        "value", "bytes", "in Redis", "us a hit", "plain", "ratio"
    );
    runtime.block_on(async {
        let server = RedisServer::start();
        for (name, body) in [
            ("rows, 4 KiB", rows(4 << 10)),
            ("rows, 16 KiB", rows(16 << 10)),
            ("rows, 60 KiB", rows(60 << 10)),
            ("rows, 1 MiB", rows(1 << 20)),
            ("noise, 16 KiB", noise(16 << 10)),
        ] {
            let size = body.len();
            let tags = [
                name.replace([' ', ','], ""),
                format!("{}c", name.replace([' ', ','], "")),
            ];
            let (mut plain, _) = node(&server, &tags[0], body.clone(), false).await;
            let (mut packed, stored) = node(&server, &tags[1], body, true).await;
            let (mut with, mut without) = (Vec::new(), Vec::new());
            let hits = if size > 1 << 16 { HITS / 10 } else { HITS };
            let requests = || (0..hits).map(|_| get(0)).collect::<Vec<_>>();
            for _ in 0..ROUNDS {
                let began = cpu();
                serve(&mut plain, requests(), size).await;
                let between = cpu();
                serve(&mut packed, requests(), size).await;
                without.push((between - began) / hits as f64 / 1e3);
                with.push((cpu() - between) / hits as f64 / 1e3);
            }
            let ratio = median(
                with.iter()
                    .zip(&without)
                    .map(|(with, without)| with / without)
                    .collect(),
            );
            let (with, without) = (median(with), median(without));
            println!("{name:<14} {size:>10} {stored:>10} {with:>9.1} {without:>9.1} {ratio:>7.2}");
        }
    });
}
