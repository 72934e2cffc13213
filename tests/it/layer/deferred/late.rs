//! Workers that are late, and what each client is told then.

use super::*;

#[tokio::test(start_paused = true)]
async fn in_the_end_its_own_client_has_the_handlers_word_and_all_others_a_timeout() {
    let inner = deferring();
    let (nodes, _worker) = nodes_and_worker(&inner, |layer| {
        may_defer(layer).lease(HOUR).cache_status(CacheStatus::Outcome)
    });
    let started = Instant::now();
    let asked = send_many(&nodes, 10, || get("/"));
    let mut own = 0;
    for asked in asked {
        let answer = answer(asked).await;
        match answer.status {
            StatusCode::ACCEPTED => {
                own += 1;
                assert_eq!(
                    (answer.header("retry-after"), &answer.body[..]),
                    (Some("5"), &b"call 1"[..])
                );
                assert_eq!(
                    answer.header("cache-status"),
                    Some("memolock; fwd=uri-miss; detail=timeout")
                );
            }
            status => {
                assert_eq!((status, answer.body.len()), (StatusCode::GATEWAY_TIMEOUT, 0));
                let told = answer.header("cache-status");
                assert_eq!(told, Some("memolock; fwd=uri-miss; collapsed; detail=timeout"));
            }
        }
    }
    assert_eq!((own, inner.calls()), (1, 1));
    assert_eq!(started.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_grpc_is_told_that_its_deadline_is_over() {
    let inner = deferring();
    let (nodes, _worker) = nodes_and_worker(&inner, |layer| may_defer(layer).lease(HOUR).methods([Method::POST]));
    let call = || {
        let request = Request::post("/demo.Reports/Render").header("content-type", "application/grpc+proto");
        request.body(Full::default()).expect("a request")
    };
    for asked in send_many(&nodes, 6, call) {
        let answer = answer(asked).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), Some("application/grpc+proto"));
        assert_eq!(answer.header("grpc-status"), Some("4"));
        assert!(answer.body.is_empty() && answer.trailers.is_none());
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_lease_the_handler_is_called_for_another() {
    let inner = deferring();
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    let asked = send_many(&nodes, 10, || get("/"));
    settle().await;
    for (seconds, calls) in [(4, 1), (2, 2), (3, 2), (3, 3), (6, 3), (6, 3)] {
        advance(seconds * SECOND).await;
        settle().await;
        assert_eq!(inner.calls(), calls);
    }
    worker.handle().resolve(id().await, pdf(), HOUR).await.expect("given");
    assert_eq!(
        bodies(asked).await,
        vec!["%PDF"; 10],
        "those whose requests are gone among them"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_request_is_gone_waits_for_a_worker_that_is_late_and_for_others_to_ask() {
    let inner = deferring();
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    let alone = send(&nodes[0], get("/"));
    settle().await;
    advance(20 * SECOND).await;
    settle().await;
    assert_eq!(inner.calls(), 1, "there is no request to call it with");
    let another = send(&nodes[0], get("/"));
    settle().await;
    assert_eq!(inner.calls(), 2, "now there is");
    worker.handle().resolve(id().await, pdf(), HOUR).await.expect("given");
    assert_eq!(bodies([alone, another]).await, ["%PDF", "%PDF"]);
}

#[tokio::test(start_paused = true)]
async fn another_node_takes_over_where_no_request_here_can() {
    let inner = deferring();
    let (nodes, worker) = nodes_and_worker(&inner, may_defer);
    let first = send(&nodes[0], get("/"));
    settle().await;
    let others = [send(&nodes[1], get("/")), send(&nodes[1], get("/"))];
    settle().await;
    advance(6 * SECOND).await;
    settle().await;
    assert_eq!(inner.calls(), 2);
    worker.handle().resolve(id().await, pdf(), HOUR).await.expect("given");
    assert_eq!(answer(first).await.body, "%PDF");
    assert_eq!(bodies(others).await, ["%PDF", "%PDF"]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_shuts_down_hands_the_work_to_another() {
    let inner = deferring();
    let store = MemoryStore::new();
    let layers = [0, 1].map(|_| may_defer(MemoLockLayer::new(store.clone(), "layer")));
    let nodes = [layers[0].layer(inner.clone()), layers[1].layer(inner.clone())];
    let first = send(&nodes[0], get("/"));
    settle().await;
    let other = send(&nodes[1], get("/"));
    settle().await;
    layers[0].handle().shutdown(Duration::ZERO).await;
    settle().await;
    assert_eq!(inner.calls(), 2);
    layers[1]
        .handle()
        .resolve(id().await, pdf(), HOUR)
        .await
        .expect("given");
    assert_eq!(bodies([first, other]).await, ["%PDF", "%PDF"]);
}
