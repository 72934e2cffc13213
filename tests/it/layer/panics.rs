//! Code of others that panics: it takes no other request with it, and leaves nothing behind. Time is paused.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tokio::time::{Duration, Instant};
use tower::{Layer, Service, ServiceExt};
use tower_memolock::codec::Codec;
use tower_memolock::middleware::{HeadKey, KeyExtractor, StreamFollowers};
use tower_memolock::store::{Lock, Token};
use tower_memolock::{Address, BoxError, ErrorKind, Key, MemoLock, MemoLockLayer, MemoryStore, Store, Tag};

use super::fixture::{Broken, Inner, settle};
use super::slow::Slow;
use crate::support::within;

/// What panics, in the first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Ready,
    Call,
    Future,
    Frame,
    LaterFrame,
    EndStream,
    SizeHint,
    DropBody,
    DropBodyAfterError,
    DropError,
    DropBodyError,
    DropService,
    DropFuture,
}

const ALL: [Where; 13] = [
    Where::Ready,
    Where::Call,
    Where::Future,
    Where::Frame,
    Where::LaterFrame,
    Where::EndStream,
    Where::SizeHint,
    Where::DropBody,
    Where::DropBodyAfterError,
    Where::DropError,
    Where::DropBodyError,
    Where::DropService,
    Where::DropFuture,
];

fn blow(here: bool, what: Where) {
    // Not while one goes on already, or the program would be over.
    assert!(!here || std::thread::panicking(), "{what:?} panics");
}

struct Fragile {
    at: Where,
    calls: Arc<AtomicUsize>,
    /// The one that was called first.
    first: bool,
}

impl Fragile {
    fn new(at: Where) -> Self {
        Self {
            at,
            calls: Arc::default(),
            first: false,
        }
    }
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        Self {
            at: self.at,
            calls: Arc::clone(&self.calls),
            first: false,
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        blow(self.first && self.at == Where::DropService, self.at);
    }
}

#[derive(Debug)]
struct FragileError(Where, bool);

impl std::fmt::Display for FragileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fragile")
    }
}

impl std::error::Error for FragileError {}

impl Drop for FragileError {
    fn drop(&mut self) {
        blow(self.1, self.0);
    }
}

struct FragileFuture(Option<Result<Response<FragileBody>, FragileError>>, Where, bool);

impl Future for FragileFuture {
    type Output = Result<Response<FragileBody>, FragileError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        blow(self.2 && self.1 == Where::Future, self.1);
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for FragileFuture {
    fn drop(&mut self) {
        blow(self.2 && self.1 == Where::DropFuture, self.1);
    }
}

struct FragileBody {
    at: Where,
    first: bool,
    call: usize,
    left: usize,
}

impl Body for FragileBody {
    type Data = Bytes;
    type Error = FragileError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FragileError>>> {
        let at = self.at;
        blow(self.first && at == Where::Frame, at);
        blow(self.first && at == Where::LaterFrame && self.left < 3, at);
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        if self.first && matches!(at, Where::DropBodyError | Where::DropBodyAfterError) && self.left == 0 {
            return Poll::Ready(Some(Err(FragileError(at, at == Where::DropBodyError))));
        }
        Poll::Ready(Some(Ok(Frame::data(self.call.to_string().into()))))
    }

    fn is_end_stream(&self) -> bool {
        blow(self.first && self.at == Where::EndStream, self.at);
        false
    }

    fn size_hint(&self) -> SizeHint {
        blow(self.first && self.at == Where::SizeHint, self.at);
        SizeHint::default()
    }
}

impl Drop for FragileBody {
    fn drop(&mut self) {
        let drops = matches!(self.at, Where::DropBody | Where::DropBodyAfterError);
        blow(self.first && drops, self.at);
    }
}

impl Service<Request<Full<Bytes>>> for Fragile {
    type Response = Response<FragileBody>;
    type Error = FragileError;
    type Future = FragileFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FragileError>> {
        let first = self.calls.load(Ordering::SeqCst) == 0;
        if first && self.at == Where::Ready {
            self.calls.fetch_add(1, Ordering::SeqCst);
            blow(true, self.at);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> FragileFuture {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let (at, first) = (self.at, call == 1);
        self.first = first;
        blow(first && at == Where::Call, at);
        if first && at == Where::DropError {
            return FragileFuture(Some(Err(FragileError(at, true))), at, first);
        }
        let body = FragileBody {
            at,
            first,
            call,
            left: 3,
        };
        let mut response = Response::new(body);
        let field = "max-age=60".parse().expect("a value");
        response.headers_mut().insert("cache-control", field);
        FragileFuture(Some(Ok(response)), at, first)
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_panics_anywhere_costs_its_own_client_at_most() {
    for stream in [StreamFollowers::Off, StreamFollowers::Process] {
        for at in ALL {
            let store = MemoryStore::new();
            let inner = Fragile::new(at);
            let layer = MemoLockLayer::new(store, "t").stream_followers(stream);
            let service = layer.clone().layer(inner.clone());
            let begun = Instant::now();
            let clients = (0..5).map(|_| {
                let service = service.clone();
                tokio::spawn(async move {
                    let request = Request::get("/").body(Full::default()).expect("a request");
                    let response = match service.oneshot(request).await {
                        Ok(response) => response,
                        // As a server would.
                        Err(error) => return drop(error),
                    };
                    if let Ok(whole) = response.into_body().collect().await {
                        let whole = whole.to_bytes();
                        assert!(whole == "111" || whole == "222", "{whole:?}");
                    }
                })
            });
            let ended = within("an end for everybody", join_all(clients)).await;
            let panicked = ended.iter().filter(|client| client.is_err()).count();
            assert!(panicked <= 1, "{at:?} {stream:?}: {panicked} clients");
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "{at:?} {stream:?}: {:?}",
                begun.elapsed()
            );
            settle().await;
            let stats = layer.handle().stats();
            let left = (stats.waiting, stats.in_flight, stats.recorded_bytes);
            assert_eq!(left, (0, 0, 0), "{at:?} {stream:?}");
            // And it is as good as new.
            let request = Request::get("/").body(Full::default()).expect("a request");
            let response = service.clone().oneshot(request).await.expect("a response");
            response.into_body().collect().await.expect("a body");
            let calls = inner.calls.load(Ordering::SeqCst);
            assert!(calls <= 2, "{at:?} {stream:?}: {calls} calls");
        }
    }
}

/// Panics where it is told to.
#[derive(Clone, Copy)]
struct Picky(&'static str);

impl Codec for Picky {
    type Value = Bytes;

    fn encode(&self, _: &Address, value: &Bytes) -> Result<Bytes, BoxError> {
        assert!(self.0 != "encode", "encode");
        Ok(value.clone())
    }

    fn decode(&self, _: &Address, bytes: Bytes) -> Result<Bytes, BoxError> {
        assert!(self.0 != "decode", "decode");
        Ok(bytes)
    }

    fn is_fresh(&self, _: &Bytes) -> bool {
        assert!(self.0 != "is_fresh", "is_fresh");
        true
    }

    fn is_marker(&self, _: &Bytes) -> bool {
        assert!(self.0 != "is_marker", "is_marker");
        false
    }

    fn weight(&self, _: &Bytes) -> usize {
        assert!(self.0 != "weight", "weight");
        match self.0 {
            "heavy" => usize::MAX,
            _ => 1,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_panics_keeps_no_request_waiting_and_no_lock() {
    for at in ["encode", "decode", "is_fresh", "is_marker", "weight", "heavy"] {
        let store = Slow::encoding(Duration::ZERO, at != "weight" && at != "heavy");
        let memo = MemoLock::with_codec(store.clone(), "t", Picky(at));
        let begun = Instant::now();
        // What others have stored.
        if at != "encode" && at != "weight" {
            let others = MemoLock::new(store.clone(), "t");
            others
                .resolve("a", "theirs".into(), Duration::from_secs(60))
                .await
                .expect("stored");
        }
        let callers = (0..5).map(|_| {
            let memo = memo.clone();
            tokio::spawn(async move {
                memo.get_or_compute("a", || async { Ok::<_, Broken>("mine".into()) })
                    .await
            })
        });
        for ended in within("an end", join_all(callers)).await {
            match ended {
                Ok(Ok(value)) => assert!(value == "mine" || value == "theirs", "{at}: {value:?}"),
                Ok(Err(error)) if error.kind() == ErrorKind::Abandoned => {
                    assert!(matches!(at, "is_fresh" | "is_marker"), "{at}");
                }
                Ok(Err(error)) => panic!("{at}: {error}"),
                Err(panic) => assert!(panic.is_panic() && matches!(at, "is_fresh" | "is_marker"), "{at}"),
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{at}: {:?}", begun.elapsed());
        settle().await;
        let stats = memo.stats();
        assert_eq!((stats.waiting, stats.in_flight), (0, 0), "{at}");
        let address = Address::new(&Tag::new("t").unwrap(), &Key::new("a").unwrap());
        let free = store
            .acquire(&address, Token::random(), Duration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(free.lock, Lock::Granted, "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_anywhere_is_an_error_to_all_who_wait() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0 || std::thread::panicking(), "dropped");
        }
    }
    for at in 0..3 {
        let memo = MemoLock::new(MemoryStore::new(), "t");
        let callers = (0..4).map(|_| {
            let memo = memo.clone();
            tokio::spawn(async move {
                memo.get_or_compute("a", move || {
                    let bomb = Bomb(at == 2);
                    assert!(at != 0, "the closure");
                    async move {
                        assert!(at != 1, "the future");
                        drop(bomb);
                        Ok::<Bytes, Broken>("mine".into())
                    }
                })
                .await
            })
        });
        for ended in within("an end", join_all(callers)).await {
            let ended = ended.expect("no panic of the caller's own");
            assert!(
                matches!(&ended, Err(error) if matches!(error.kind(), ErrorKind::Panicked | ErrorKind::Computation)),
                "{at}: {ended:?}"
            );
        }
        settle().await;
        assert_eq!((memo.stats().waiting, memo.stats().in_flight), (0, 0));
        let value = memo
            .get_or_compute("a", || async { Ok::<Bytes, Broken>("right".into()) })
            .await;
        assert_eq!(value.unwrap(), "right");
    }
}

/// A key extractor that panics where it is told to.
#[derive(Clone)]
struct Extractor(&'static str);

impl KeyExtractor<Full<Bytes>> for Extractor {
    type Body = Full<Bytes>;

    fn head_key(&self, _: &Request<Full<Bytes>>) -> HeadKey {
        match self.0 {
            "head" => panic!("head_key"),
            "body" => HeadKey::NeedsBody,
            _ => HeadKey::Key(Key::new("a").unwrap()),
        }
    }

    async fn body_key(&self, _: Request<Full<Bytes>>) -> (Option<Key>, Request<Full<Bytes>>) {
        panic!("body_key")
    }

    fn get_key(&self, _: &Uri, _: &HeaderMap) -> Option<Key> {
        panic!("get_key")
    }

    fn pass(&self, request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        request
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_extractor_that_panics_reaches_its_own_client_alone() {
    for (at, method) in [
        ("head", "GET"),
        ("body", "GET"),
        ("get", "HEAD"),
        ("get", "POST"),
        ("get", "DELETE"),
    ] {
        let layer = MemoLockLayer::new(MemoryStore::new(), "t").key(Extractor(at));
        let service = layer
            .clone()
            .layer(Inner::new(|_, _| async { panic!("the inner service") }));
        let request = Request::builder()
            .method(method)
            .uri("/")
            .body(Full::default())
            .unwrap();
        let ended = tokio::spawn(async move { drop(service.oneshot(request).await) }).await;
        assert!(ended.unwrap_err().is_panic(), "{at} {method}");
        settle().await;
        let stats = layer.handle().stats();
        assert_eq!((stats.waiting, stats.in_flight, stats.recorded_bytes), (0, 0, 0));
    }
}
