//! Stale responses that are computed anew in the background.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_not_tried_again_at_once() {
    let inner = Inner::new(|_, call| async move {
        match call {
            1 => Ok(cached("max-age=60, stale-while-revalidate=60")(call)),
            _ => Err(Broken("on purpose")),
        }
    });
    let nodes = pair(&inner, |layer| layer);
    become_stale(&nodes).await;
    for calls in [2, 3] {
        for _ in 0..10 {
            assert_eq!(ask(&nodes[0]).await.body, "1");
            settle().await;
        }
        assert_eq!(inner.calls(), calls);
        advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_undoes_a_refresh_under_way() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=60");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").freshness(Freshness::new().ttl_jitter(0.0));
    let nodes = [layer.layer(inner.clone()), layer.layer(inner.clone())];
    become_stale(&nodes).await;
    assert_eq!(ask(&nodes[0]).await.body, "1");
    gate.reached_by(1).await;
    layer
        .handle()
        .invalidate(&crate::layer::failures::key("/"))
        .await
        .expect("invalidated");
    gate.open();
    within("the end of the refresh", layer.handle().drained()).await;
    assert_eq!(bodies(send_many(&nodes, 2, || get("/"))).await, ["3"; 2]);
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_a_refresh() {
    let gate = Gate::new();
    let reply = cached("max-age=60, stale-while-revalidate=60");
    let inner = gated(&gate, move |call| Ok(reply(call)));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer").freshness(Freshness::new().ttl_jitter(0.0));
    let nodes = [layer.layer(inner.clone()), layer.layer(inner)];
    become_stale(&nodes).await;
    ask(&nodes[0]).await;
    gate.reached_by(1).await;
    let drained = {
        let layer = layer.clone();
        tokio::spawn(async move { layer.handle().drained().await })
    };
    settle().await;
    assert!(!drained.is_finished());
    gate.open();
    within("the end of the refresh", drained).await.expect("drained");
    assert_eq!(ask(&nodes[1]).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_takes_the_body_along_where_the_key_has_read_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let search = move |body: Bytes| async move {
        let call = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10")];
        (fields, format!("{call} {}", String::from_utf8_lossy(&body)))
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "search")
        .methods([Method::POST])
        .key(BodyKey::new())
        .freshness(Freshness::new().ttl_jitter(0.0));
    let app = Router::new().route("/", post(search)).layer(layer);
    let ask = || async {
        let request = Request::post("/").body(Body::from("cheese")).expect("a request");
        let response = app.clone().oneshot(request).await.expect("a response");
        axum::body::to_bytes(response.into_body(), 99).await.expect("a body")
    };
    assert_eq!(ask().await, "1 cheese");
    settle().await;
    advance(STALE).await;
    assert_eq!(ask().await, "1 cheese");
    settle().await;
    assert_eq!(ask().await, "2 cheese");
}

/// Covers the body by a digest that its sender declares, and leaves the body itself alone.
#[derive(Clone)]
struct Declared;

impl KeyExtractor<Body> for Declared {
    type Body = Body;

    fn covers_body(&self) -> bool {
        true
    }

    fn head_key(&self, request: &Request<Body>) -> HeadKey {
        let digest = request.headers().get("x-digest");
        digest
            .map(|digest| tower_memolock::Key::builder().part(digest).build())
            .into()
    }

    fn pass(&self, request: Request<Body>) -> Request<Body> {
        request
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_is_still_to_come_leads_as_usual() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let search = move |body: Bytes| async move {
        let call = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=10")];
        (fields, format!("{call} {}", body.len()))
    };
    let layer = MemoLockLayer::new(MemoryStore::new(), "search")
        .methods([Method::POST])
        .key(Declared)
        .freshness(Freshness::new().ttl_jitter(0.0));
    let app = Router::new().route("/", post(search)).layer(layer);
    let ask = || async {
        let pieces = futures_util::stream::iter(["che", "ese"]).map(Ok::<_, Broken>);
        let request = Request::post("/").header("x-digest", "1");
        let request = request.body(Body::from_stream(pieces)).expect("a request");
        let response = app.clone().oneshot(request).await.expect("a response");
        axum::body::to_bytes(response.into_body(), 99).await.expect("a body")
    };
    assert_eq!(ask().await, "1 6");
    settle().await;
    advance(STALE).await;
    assert_eq!(ask().await, "2 6");
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_together_does_not_end_together() {
    const COUNT: usize = 200;
    let inner = Inner::replying(|call| with(text(call.to_string()), "cache-control", "max-age=1000"));
    let node = MemoLockLayer::new(MemoryStore::new(), "layer").layer(inner.clone());
    let paths: Vec<_> = (0..COUNT).map(|at| format!("/{at}")).collect();
    for path in &paths {
        answer(send(&node, get(path))).await;
    }
    let calls_after = |seconds| {
        let (node, inner, paths) = (&node, &inner, &paths);
        async move {
            settle().await;
            let before = inner.calls();
            advance(Duration::from_secs(seconds)).await;
            for path in paths {
                answer(send(node, get(path))).await;
            }
            inner.calls() - before
        }
    };
    assert_eq!(calls_after(949).await, 0);
    let early = calls_after(25).await;
    assert!((60..140).contains(&early), "{early}");
    assert_eq!(calls_after(26).await, COUNT - early);
}
