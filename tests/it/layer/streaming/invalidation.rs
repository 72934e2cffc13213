//! No follower reads what was begun before an invalidation that it may know of.

use std::sync::atomic::Ordering;

use http::{Request, Response};
use tokio::sync::mpsc::UnboundedSender;
use tower_memolock::middleware::MemoControl;

use super::fixture::{asked_about, cluster, gated, give, growing, next, nothing_yet, open, open_later, plain, whole};
use crate::freshness::gated::Gated;
use crate::layer::failures::key;
use crate::layer::fixture::{Inner, Part, TestBody, answer, get, send, settle};

/// A response with a tag.
fn tagged() -> (UnboundedSender<Part>, Inner) {
    growing(|mut reply: Response<TestBody>, _: &Request<_>| {
        reply.extensions_mut().insert(MemoControl::new().tag("shop"));
        reply
    })
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_an_invalidation_on_any_node_reads_a_response_begun_after_it() {
    for node in 0..2 {
        let (sender, inner) = growing(plain);
        let (layers, nodes) = cluster(&inner);
        drop(open(&nodes[0], get("/")).await);
        let mut early = open(&nodes[0], get("/")).await;
        give(&sender, "one");
        assert_eq!(next(&mut early).await, "one");
        layers[node].handle().invalidate(&key("/")).await.expect("invalidated");
        let late: Vec<_> = (0..10).map(|_| send(&nodes[0], get("/"))).collect();
        for late in late {
            assert_eq!(answer(late).await.body, "2");
        }
        // A follower that came before it reads on.
        give(&sender, "two");
        drop(sender);
        assert_eq!(whole(early).await.body, "two");
        settle().await;
        for node in &nodes {
            assert_eq!(answer(send(node, get("/"))).await.body, "2");
        }
        assert_eq!(inner.calls(), 2);
        assert_eq!(layers[0].handle().stats().recorded_bytes, 0);
    }
}

/// The store has said that the lease is held, and is then told of the invalidation, before the node hears the answer.
#[tokio::test(start_paused = true)]
async fn an_answer_that_an_invalidation_overtook_is_for_those_who_came_before_it_was_asked() {
    let (sender, inner) = growing(plain);
    let (slow, _here, node, there) = gated(&inner);
    let _leader = open(&node, get("/")).await;
    give(&sender, "one");
    slow.gates.renewed.close();
    let early = open_later(&node);
    settle().await;
    assert_eq!(slow.gates.renewals.load(Ordering::SeqCst), 1, "asked");
    there.handle().invalidate(&key("/")).await.expect("invalidated");
    let late: Vec<_> = (0..10).map(|_| send(&node, get("/"))).collect();
    settle().await;
    slow.gates.renewed.open();
    let mut early = early.await.expect("no panic");
    assert_eq!(next(&mut early).await, "one");
    for late in late {
        assert_eq!(answer(late).await.body, "2");
    }
    drop(sender);
    assert_eq!(whole(early).await.body, "");
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_tag_was_invalidated_does_not_read_what_has_it() {
    for node in 0..2 {
        let (sender, inner) = tagged();
        let (layers, nodes) = cluster(&inner);
        let _leader = open(&nodes[0], get("/")).await;
        let mut early = open(&nodes[0], get("/")).await;
        give(&sender, "one");
        assert_eq!(next(&mut early).await, "one");
        layers[node]
            .handle()
            .invalidate_tags(["other"])
            .await
            .expect("invalidated");
        let mut untouched = open(&nodes[0], get("/")).await;
        assert_eq!(next(&mut untouched).await, "one");
        layers[node]
            .handle()
            .invalidate_tags(["shop"])
            .await
            .expect("invalidated");
        let late: Vec<_> = (0..10).map(|_| send(&nodes[0], get("/"))).collect();
        asked_about().await;
        give(&sender, "two");
        drop(sender);
        for late in late {
            assert_eq!(answer(late).await.body, "2");
        }
        for reader in [early, untouched] {
            assert_eq!(whole(reader).await.body, "two");
        }
        assert_eq!(inner.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_date_is_not_asked_about_again_and_again() {
    let (sender, inner) = tagged();
    let (slow, _here, node, there) = gated(&inner);
    let _leader = open(&node, get("/")).await;
    there.handle().invalidate_tags(["shop"]).await.expect("invalidated");
    let late = send(&node, get("/"));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(slow.gates.checks.load(Ordering::SeqCst), 1);
    drop(sender);
    assert_eq!(answer(late).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_that_answers_all_of_the_process_read_along() {
    let (sender, inner) = growing(plain);
    let (slow, here, node, _there): (Gated, _, _, _) = gated(&inner);
    slow.gates.acquire_times_out.close();
    let _leader = open(&node, get("/")).await;
    for _ in 0..2 {
        let mut reader = open(&node, get("/")).await;
        give(&sender, "part");
        assert_eq!(next(&mut reader).await, "part");
    }
    let mut reader = open(&node, get("/")).await;
    for _ in 0..2 {
        assert_eq!(next(&mut reader).await, "part");
    }
    nothing_yet(&mut reader).await;
    drop(sender);
    assert_eq!(whole(reader).await.body, "");
    assert_eq!((here.handle().stats().failed_open, inner.calls()), (1, 1));
    assert_eq!(slow.gates.renewals.load(Ordering::SeqCst), 0);
}
