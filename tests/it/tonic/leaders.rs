//! Calls whose leader fails, leaves, dies or stops.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_shared_with_all_followers_and_with_no_later_call() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    let mut probes = 0;
    for (so_far, code) in [(2, Code::NotFound), (5, Code::Unavailable)] {
        let failing = RenderRequest {
            work_ms: 2000,
            fail_code: code as u32,
            ..report("failing")
        };
        for calls in [30, 1] {
            let calls = nodes[..if calls == 1 { 1 } else { 3 }].iter().map(async |node| {
                let client = grpc_client(node).await;
                let one = async |_| client.clone().render(failing.clone()).await;
                join_all((0..calls).map(one)).await
            });
            let results = within("the answers", join_all(calls)).await;
            for result in results.into_iter().flatten() {
                let status = result.expect_err("a failure");
                assert_eq!(status.code(), code);
                assert_eq!(status.message(), "report failing failed as asked");
                assert_eq!(status.metadata().get("x-cost").expect("a cost"), "2000");
            }
        }
        assert_eq!(redis.cli(&["KEYS", "reports:*failing*"]), "");

        let mut all = 0;
        for node in &nodes {
            probes += 1;
            all += executions(node, &format!("probe {probes}")).await;
        }
        // One for all waiters, or two where it may be the fault of one; and one for the call that came later.
        assert_eq!(all, so_far + probes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_without_a_message_keeps_its_metadata() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    let failing = RenderRequest {
        work_ms: 2000,
        fail_code: 7,
        ..report("forbidden")
    };
    let answers = call_all(&nodes, 10, &failing).await.expect("no panic");
    let first = answers[0].as_ref().expect("an answer");
    for answer in answers.iter().flatten() {
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        // hyper adds one to a response that does not end with its head, as gRPC wants it here.
        assert!(answer.header("content-length").is_empty(), "{:?}", answer.headers);
        assert_eq!(answer.header("grpc-status"), ["7"]);
        assert_eq!(answer.header("x-cost"), ["2000"]);
        assert_eq!(timeless(answer), timeless(first));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_take_no_other_with_them() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    let slow = RenderRequest {
        work_ms: 2000,
        ..report("slow")
    };
    let leading = call_all(&nodes[..1], 1, &slow);
    led(&redis).await;
    let leaving = call_all(&nodes[1..2], 1, &slow);
    waiting(&redis, 1).await;
    let staying = call_all(&nodes, 20, &slow);
    waiting(&redis, 2).await;
    // The connections go with the calls.
    leading.abort();
    leaving.abort();
    let shared = one_reply(staying.await.expect("no panic"));
    assert_eq!((shared.node.as_str(), shared.execution), ("a", 1));
    let later = one_reply(call_all(&nodes, 1, &slow).await.expect("no panic"));
    assert_eq!(later, shared);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_past_its_callers_deadline_still_serves_the_others() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    let slow = RenderRequest {
        work_ms: 2000,
        ..report("slow")
    };
    let mut client = grpc_client(&nodes[0]).await;
    let mut impatient = tonic::Request::new(slow.clone());
    impatient.set_timeout(Duration::from_millis(500));
    let impatient = tokio::spawn(async move { client.render(impatient).await });
    led(&redis).await;
    let patient = call_all(&nodes[1..], 20, &slow);
    let status = impatient.await.expect("no panic").expect_err("no answer in time");
    assert!(
        [Code::Cancelled, Code::DeadlineExceeded].contains(&status.code()),
        "{status:?}"
    );
    let shared = one_reply(patient.await.expect("no panic"));
    assert_eq!((shared.node.as_str(), shared.execution), ("a", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_succeeded_by_one_process_within_the_lease() {
    let redis = RedisServer::start();
    let mut nodes = nodes(&redis).await;
    let work = Duration::from_secs(3);
    let slow = RenderRequest {
        work_ms: 3000,
        ..report("slow")
    };
    let lost = call_all(&nodes[..1], 5, &slow);
    led(&redis).await;
    let answers = call_all(&nodes[1..], 20, &slow);
    waiting(&redis, 2).await;

    nodes[0].kill().await;
    let killed = Instant::now();
    let shared = one_reply(answers.await.expect("no panic"));
    let answered = killed.elapsed();
    assert!(
        answered < LEASE + work + Duration::from_secs(1),
        "taken over {answered:?} later"
    );
    assert!(["b", "c"].contains(&shared.node.as_str()), "{}", shared.node);
    assert_eq!(shared.execution, 1);
    let all = executions(&nodes[1], "1").await + executions(&nodes[2], "2").await;
    assert_eq!(all, 1 + 2);
    let lost = lost.await.expect("no panic");
    assert!(lost.iter().all(Result::is_err), "answers from a dead node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_stop_answers_all_who_wait() {
    let redis = RedisServer::start();
    let mut nodes = nodes(&redis).await;
    let slow = RenderRequest {
        work_ms: 2000,
        ..report("slow")
    };
    let leading = call_all(&nodes[..1], 5, &slow);
    led(&redis).await;
    let following = call_all(&nodes[1..], 20, &slow);
    waiting(&redis, 2).await;

    nodes[0].signal("TERM");
    assert_eq!(nodes[0].ended().await.code(), Some(0), "{}", nodes[0].stderr());
    let own = one_reply(leading.await.expect("no panic"));
    assert_eq!((own.node.as_str(), own.execution), ("a", 1));
    let others = one_reply(following.await.expect("no panic"));
    assert_eq!((others.node.as_str(), others.execution), ("a", 1));
}
