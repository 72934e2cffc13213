//! What of a reply others get, and what of it they cannot tell from the original.

use std::time::Duration;

use http::Response;
use tokio::time::advance;
use tower_memolock::middleware::{Failures, Freshness, GrpcMethod, Privacy};

use super::fixture::{METHOD, Server, call, content, contents, fields, ok, reply, status, trailers_only};
use crate::layer::fixture::{Answer, TestBody, answer, settle, text, with};

const TTL: Duration = Duration::from_secs(10);

/// What two calls on two nodes get that were made together, and two that came later.
async fn four_answers(reply: fn() -> Response<TestBody>, method: GrpcMethod) -> (Server, Vec<Answer>) {
    let server = Server::new(move |_| reply());
    let nodes = server.nodes(|layer| layer.ttl(TTL).method(method.clone()));
    let together = nodes.each_ref().map(|node| call(node, &[]));
    server.gate.reached_by(1).await;
    settle().await;
    server.gate.open();
    let mut answers = Vec::new();
    for asked in together {
        answers.push(answer(asked).await);
    }
    advance(Duration::from_secs(3)).await;
    for node in &nodes {
        answers.push(answer(call(node, &[])).await);
    }
    (server, answers)
}

fn assert_same(answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.status, answers[0].status);
        assert_eq!(answer.headers, answers[0].headers);
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.trailers, answers[0].trailers);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_cannot_be_told_from_the_original() {
    // Whatever a method calls `age` is not ours.
    let original = || with(with(ok("reply"), "age", "42"), "grpc-encoding", "gzip");
    let (server, answers) = four_answers(original, GrpcMethod::new(METHOD)).await;
    assert_eq!(server.calls(), 1);
    let expected = fields(&[
        ("content-type", "application/grpc"),
        ("x-initial", "i"),
        ("age", "42"),
        ("grpc-encoding", "gzip"),
    ]);
    assert_eq!(answers[0].headers, expected);
    let trailing = fields(&[("grpc-status", "0"), ("grpc-message", "a%20b"), ("x-trailing", "t")]);
    assert_eq!(answers[0].trailers, Some(trailing));
    assert_eq!(content(&answers[0]), "reply");
    assert_same(&answers);
}

#[tokio::test(start_paused = true)]
async fn failures_are_shared_and_not_stored_unless_listed() {
    let listed = || GrpcMethod::new(METHOD).status_ttl(5, TTL);
    let not_found: fn() -> Response<TestBody> = || trailers_only("5");
    let late: fn() -> Response<TestBody> = || reply(&[], "5");
    let later_still: fn() -> Response<TestBody> = || reply(&["part"], "5");
    for original in [not_found, late, later_still] {
        let (server, answers) = four_answers(original, GrpcMethod::new(METHOD)).await;
        assert_eq!(server.calls(), 3);
        assert_same(&answers);
        let (server, answers) = four_answers(original, listed()).await;
        assert_eq!(server.calls(), 1);
        assert_eq!(status(&answers[3]), "5");
        assert_same(&answers);
    }
    // Nothing says that these are for others.
    let (server, _) = four_answers(|| trailers_only("3"), listed()).await;
    assert_eq!(server.calls(), 4);
    let (server, _) = four_answers(|| with(trailers_only("5"), "grpc-status", "3"), listed()).await;
    assert_eq!(server.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_listed_failure_is_kept_for_its_own_time() {
    let second = Duration::from_secs(1);
    for (cache_control, ttl, kept) in [
        ("max-age=60", second, 1),
        ("max-age=1", TTL, 1),
        ("max-age=0", second, 0),
        ("public", second, 1),
    ] {
        let server = Server::open(move |_| with(trailers_only("5"), "cache-control", cache_control));
        let method = GrpcMethod::new(METHOD).status_ttl(5, ttl);
        let [node, _] = server.nodes(|layer| layer.ttl(TTL).method(method.clone()));
        for calls in [1, 2 - kept, 3 - kept] {
            if calls == 3 - kept {
                advance(second).await;
            }
            answer(call(&node, &[])).await;
            assert_eq!(server.calls(), calls, "{cache_control}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_stores_nothing_stores_no_failures_either() {
    let server = Server::open(|_| trailers_only("5"));
    let method = GrpcMethod::new(METHOD).status_ttl(5, TTL);
    let [node, _] = server.nodes(|layer| layer.freshness(Freshness::new().no_store()).method(method.clone()));
    for calls in [1, 2] {
        assert_eq!(status(&answer(call(&node, &[])).await), "5");
        assert_eq!(server.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn cache_control_among_the_initial_metadata_is_heeded() {
    for (cache_control, calls) in [
        ("max-age=60", 1),
        ("max-age=2", 2),
        ("max-age=0", 3),
        ("no-store", 4),
        ("private, max-age=60", 4),
        ("max-age=60, max-age=", 4),
    ] {
        let server = Server::open(move |call| with(ok(&call.to_string()), "cache-control", cache_control));
        let nodes = server.nodes(|layer| layer.ttl(TTL).privacy(Privacy::new().pass_marker(Duration::ZERO)));
        // As `four_answers`, but each is asked for its own.
        let gate = server.gate.clone();
        gate.take_back();
        let together = nodes.each_ref().map(|node| call(node, &[]));
        gate.reached_by(1).await;
        settle().await;
        gate.open();
        for asked in together {
            answer(asked).await;
        }
        advance(Duration::from_secs(3)).await;
        for node in &nodes {
            answer(call(node, &[])).await;
        }
        assert_eq!(server.calls(), calls, "{cache_control}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_one_whole_message_is_shared() {
    let many: fn() -> Response<TestBody> = || reply(&["a", "b"], "0");
    let none: fn() -> Response<TestBody> = || reply(&[], "0");
    let none_at_all: fn() -> Response<TestBody> = || trailers_only("0");
    let failed: fn() -> Response<TestBody> = || reply(&["a", "b"], "5");
    for original in [many, none, none_at_all, failed] {
        let method = GrpcMethod::new(METHOD).status_ttl(5, TTL);
        let (server, answers) = four_answers(original, method).await;
        assert_eq!(server.calls(), 4, "{:?}", answers[0]);
        assert_same(&answers);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_a_status_is_handed_over_and_not_shared() {
    let server = Server::open(|_| with(text("\0\0\0\0\x01m"), "content-type", "application/grpc"));
    let nodes = server.nodes(|layer| layer.ttl(TTL));
    for calls in [1, 2] {
        assert_eq!(contents([call(&nodes[0], &[])]).await, ["m"]);
        assert_eq!(server.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_in_place_of_the_method_is_not_stored() {
    let page: fn() -> Response<TestBody> = || with(text("sorry"), "content-type", "text/html");
    let (server, answers) = four_answers(page, GrpcMethod::new(METHOD)).await;
    assert_eq!(server.calls(), 3);
    assert!(answers.iter().all(|answer| answer.body == "sorry"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_not_made_again_during_a_pause() {
    const PAUSE: Duration = Duration::from_secs(5);
    let failed = [("2", 1), ("13", 1), ("14", 1), ("5", 2), ("3", 2), ("0", 2)];
    for (code, calls) in failed {
        for over_with_its_head in [false, true] {
            let server = Server::open(move |_| match over_with_its_head {
                true => trailers_only(code),
                false => reply(&[], code),
            });
            let nodes = server.nodes(|layer| layer.failures(Failures::new().pause(PAUSE)));
            assert_eq!(status(&answer(call(&nodes[0], &[])).await), code);
            settle().await;
            let again = answer(call(&nodes[0], &[])).await;
            settle().await;
            assert_eq!(server.calls(), calls, "{code}");
            if calls == 1 {
                assert_eq!(
                    (status(&again), again.header("grpc-retry-pushback-ms")),
                    ("14", Some("5000"))
                );
            }
        }
    }
}
