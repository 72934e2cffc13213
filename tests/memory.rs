//! What a store in memory really takes, as the allocator sees it, and each request that waits: responses come over a
//! connection whose read buffer has grown, so that each of them is a small part of something large.

use std::alloc::System;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cap::Cap;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_memolock::middleware::{MemoLockService, UriKey};
use tower_memolock::{MemoLock, MemoLockLayer, MemoryStore};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const CAPACITY: u64 = 4 * 1024 * 1024;

type Upstream = Client<HttpConnector, Empty<Bytes>>;
type Node = MemoLockService<Upstream, UriKey>;

/// Answers `/large..` with what makes a read buffer grow, `/page/BYTES/..` with that many bytes, and everything with the
/// fields of a usual response.
async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = listener.local_addr().expect("its number").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    authority
}

async fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&request);
        let bytes: usize = text
            .split('/')
            .nth(2)
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or(2_000_000);
        let lifetime = if text.contains("/large") {
            "no-store"
        } else {
            "max-age=600"
        };
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: {lifetime}\r\nVary: X-Language\r\n\
             ETag: \"0123456789abcdef\"\r\nX-Request-Id: 0123456789abcdef0123456789abcdef\r\n\
             Content-Length: {bytes}\r\n\r\n{}",
            " ".repeat(bytes)
        );
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
        request.clear();
    }
}

async fn get(node: &Node, uri: &str, language: &str) {
    let request = Request::get(uri).header("x-language", language);
    let request = request.body(Empty::new()).expect("a request");
    let response = node.clone().ready().await.expect("ready").call(request).await;
    let response = response.expect("a response");
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.expect("a body");
}

fn new_node() -> Node {
    let store = MemoryStore::with_capacity(CAPACITY);
    let client = Client::builder(TokioExecutor::new()).build_http();
    MemoLockLayer::new(store, "memory").layer(client)
}

/// How many times its capacity the store takes, when it is full of responses of `bytes` bytes in `languages` variants.
async fn taken(authority: &str, bytes: usize, languages: usize, hits: bool) -> f64 {
    let node = new_node();
    let large = format!("http://{authority}/large");
    get(&node, &large, "").await;
    // Whatever there is once.
    for page in 0..10 {
        get(&node, &format!("http://{authority}/page/{bytes}/warm/{page}"), "").await;
    }
    let before = HEAP.allocated();
    let number = 3 * CAPACITY as usize / (bytes + 2000);
    for page in 0..number / languages {
        if page % 100 == 0 {
            get(&node, &large, "").await;
        }
        for language in 0..languages {
            let uri = format!("http://{authority}/page/{bytes}/{page}");
            for _ in 0..=usize::from(hits) {
                get(&node, &uri, &language.to_string()).await;
            }
        }
    }
    get(&node, &large, "").await;
    let taken = HEAP.allocated().saturating_sub(before);
    drop(node);
    taken as f64 / CAPACITY as f64
}

/// Values of `bytes` bytes, each a part of something twice as large, given to the core one after the other. How many
/// times the capacity they take, at the most and in the end.
async fn taken_by_values(bytes: usize, number: usize) -> (f64, f64) {
    let memo = MemoLock::new(MemoryStore::with_capacity(CAPACITY), "memory");
    let compute = |bytes| async move { Ok::<_, Infallible>(Bytes::from(vec![0; 2 * bytes]).slice(..bytes)) };
    memo.get_or_compute("first", move || compute(1)).await.expect("a value");
    let before = HEAP.allocated();
    let mut most = 0;
    for n in 0..number {
        memo.get_or_compute(&format!("key-{n:04}"), move || compute(bytes))
            .await
            .expect("a value");
        most = most.max(HEAP.allocated().saturating_sub(before));
    }
    memo.get_or_compute("last", move || compute(1)).await.expect("a value");
    let taken = HEAP.allocated().saturating_sub(before);
    (most as f64 / CAPACITY as f64, taken as f64 / CAPACITY as f64)
}

/// There is one heap, so there is one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs a test while no other one takes or frees memory, with all that its runtime drops in the end.
fn alone(test: impl Future<Output = ()>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn responses_take_about_the_memory_that_their_store_is_given() {
    alone(async {
        let authority = upstream().await;
        for (bytes, languages, hits) in [
            (200, 1, false),
            (200, 1, true),
            (200, 16, false),
            (0, 1, true),
            (20_000, 1, true),
        ] {
            let taken = taken(&authority, bytes, languages, hits).await;
            assert!(
                (0.5..1.3).contains(&taken),
                "{bytes} bytes, {languages} variants: {taken:.2} times the capacity"
            );
        }
    });
}

#[test]
fn values_take_about_the_memory_that_their_store_is_given() {
    alone(async {
        for (bytes, number) in [(10, 16_000), (10_000, 1000), (300_000, 60)] {
            let (most, taken) = taken_by_values(bytes, number).await;
            assert!(most < 1.5, "{bytes} bytes: {most:.2} times the capacity on the way");
            assert!(
                (0.5..1.3).contains(&taken),
                "{bytes} bytes: {taken:.2} times the capacity"
            );
        }
    });
}

/// Its task, the request, and what it waits in: 1,999 bytes, of which a request with one field takes some 600.
#[test]
fn a_request_that_waits_takes_little_memory() {
    alone(async {
        const WAITERS: u64 = 1024;
        let (gate, called) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let layer = MemoLockLayer::new(MemoryStore::new(), "memory");
        let service = layer.layer(service_fn({
            let (gate, called) = (Arc::clone(&gate), Arc::clone(&called));
            move |_: Request<Empty<Bytes>>| {
                let (gate, called) = (Arc::clone(&gate), Arc::clone(&called));
                async move {
                    called.add_permits(1);
                    gate.acquire().await.expect("a gate").forget();
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }
            }
        }));
        let mut tasks = JoinSet::new();
        let mut ask = || {
            let mut service = service.clone();
            tasks.spawn(async move {
                let request = Request::get("http://example.com/report/42").header("accept", "application/json");
                let request = request.body(Empty::new()).expect("a request");
                drop(service.call(request).await.expect("a response"));
            });
        };
        ask();
        called.acquire().await.expect("the leader's call").forget();
        let before = HEAP.allocated();
        (0..WAITERS).for_each(|_| ask());
        while layer.handle().stats().waiting < WAITERS {
            tokio::task::yield_now().await;
        }
        let each = (HEAP.allocated() - before) / WAITERS as usize;
        gate.add_permits(1);
        tasks.join_all().await;
        assert_eq!(called.available_permits(), 0);
        assert!(each <= 2_000, "{each} bytes");
    });
}
