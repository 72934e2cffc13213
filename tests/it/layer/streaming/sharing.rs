//! Which clients read along, and which do not.

use std::time::Duration;

use futures_util::future::poll_immediate;
use http::{Method, Request};
use http_body_util::Full;

use super::fixture::{cluster, give, growing, next, nothing_yet, open, open_later, plain, trailers, whole};
use crate::layer::fixture::{answer, get, get_with, send, settle, with};
use crate::support::eventually;

#[tokio::test(start_paused = true)]
async fn what_its_head_says_is_private_is_read_by_no_other_client() {
    for (name, value) in [
        ("set-cookie", "id=1"),
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("vary", "*"),
        ("content-length", "999999999"),
    ] {
        let (sender, inner) = growing(move |reply, _| with(reply, name, value));
        let (_, nodes) = cluster(&inner);
        let leader = open_later(&nodes[0]);
        let followers: Vec<_> = (0..3).map(|_| send(&nodes[0], get("/"))).collect();
        let leader = leader.await.expect("no panic");
        give(&sender, "hush");
        for follower in followers {
            assert_ne!(answer(follower).await.body, "hush", "{name}: {value}");
        }
        drop((leader, sender));
        assert_eq!(inner.calls(), 4, "{name}: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_only_what_is_stored_does_not_join() {
    let (sender, inner) = growing(plain);
    let (_, nodes) = cluster(&inner);
    let _leader = open(&nodes[0], get("/")).await;
    give(&sender, "one");
    settle().await;
    let head = Request::builder().method(Method::HEAD).uri("/");
    let head = head.body(Full::default()).expect("a request");
    let requests = [
        head,
        get_with("/", "range", "bytes=0-0"),
        get_with("/", "if-none-match", "\"a\""),
        get_with("/", "authorization", "Basic eDp5"),
        get_with("/", "cache-control", "no-store"),
    ];
    for (request, call) in requests.into_iter().zip(2..) {
        assert_eq!(answer(send(&nodes[0], request)).await.body, call.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn another_variant_is_neither_read_nor_waited_for() {
    let (sender, inner) = growing(|reply, request| {
        let language = request.headers().get("accept-language").cloned();
        let mut reply = with(reply, "vary", "accept-language");
        let language = language.unwrap_or_else(|| "none".parse().expect("a value"));
        reply.headers_mut().insert("content-language", language);
        reply
    });
    let (_, nodes) = cluster(&inner);
    let in_language = |language| get_with("/", "accept-language", language);
    let _leader = open(&nodes[0], in_language("en")).await;
    let mut same = open(&nodes[0], in_language("en")).await;
    give(&sender, "one");
    assert_eq!(next(&mut same).await, "one");
    let others: Vec<_> = (0..3).map(|_| send(&nodes[0], in_language("de"))).collect();
    for other in others {
        let other = answer(other).await;
        assert_eq!(
            (other.header("content-language"), &*other.body),
            (Some("de"), &b"2"[..])
        );
    }
    nothing_yet(&mut same).await;
    drop(sender);
    assert_eq!(same.headers()["content-language"], "en");
    assert_eq!(whole(same).await.body, "");
    settle().await;
    for node in &nodes {
        assert_eq!(answer(send(node, in_language("en"))).await.body, "one");
        assert_eq!(answer(send(node, in_language("de"))).await.body, "2");
    }
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_fresh_for_less_than_it_takes_is_read_all_the_same() {
    let (sender, inner) = growing(|reply, _| with(with(reply, "etag", "\"a\""), "cdn-cache-control", "max-age=1"));
    let (_, nodes) = cluster(&inner);
    let _leader = open(&nodes[0], get("/")).await;
    give(&sender, "one");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut late = open(&nodes[0], get("/")).await;
    assert_eq!(next(&mut late).await, "one");
    drop(sender);
    assert_eq!(whole(late).await.body, "");
    assert_eq!(inner.calls(), 1);
}

/// On threads, for what a schedule of its own cannot show.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_that_comes_and_goes_reads_one_body() {
    const PARTS: usize = 300;
    let (sender, inner) = growing(plain);
    let ([one, _], nodes) = cluster(&inner);
    let leader = open(&nodes[0], get("/")).await;
    let expected: String = (0..PARTS).map(|part| format!("{part} ")).collect();
    let mut readers = Vec::new();
    for part in 0..PARTS {
        give(&sender, &format!("{part} "));
        let mut leaving = Box::pin(open(&nodes[0], get("/")));
        readers.push(send(&nodes[0], get("/")));
        // The keeper may be as fast as that, on a thread of its own.
        let at_once = poll_immediate(&mut leaving).await;
        if part % 3 == 0 {
            let mut reply = match at_once {
                Some(reply) => reply,
                None => leaving.await,
            };
            next(&mut reply).await;
        }
    }
    drop(sender);
    for reader in readers {
        assert_eq!(answer(reader).await.body, expected);
    }
    assert_eq!(whole(leader).await.body, expected);
    assert_eq!(inner.calls(), 1);
    eventually("nothing held", || one.handle().stats().recorded_bytes == 0).await;
}

#[tokio::test(start_paused = true)]
async fn calls_of_grpc_are_waited_for_to_their_end() {
    let (sender, inner) = growing(|reply, _| with(reply, "content-type", "application/grpc+proto"));
    let (_, nodes) = cluster(&inner);
    let _leader = open(&nodes[0], get("/")).await;
    let follower = open_later(&nodes[0]);
    give(&sender, "one");
    settle().await;
    assert!(!follower.is_finished());
    sender.send(trailers("grpc-status", "0")).expect("a reader");
    drop(sender);
    let followed = whole(follower.await.expect("no panic")).await;
    assert_eq!(followed.body, "one");
    assert_eq!(followed.trailers.expect("trailers")["grpc-status"], "0");
}
