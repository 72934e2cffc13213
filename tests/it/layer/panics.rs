//! Code of others that panics: it takes no other request with it, and leaves nothing behind. Time is paused.

mod service;

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
