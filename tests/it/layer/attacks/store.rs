//! Attacks on the store: filling it, reading it, writing to it.

use super::*;

#[tokio::test(start_paused = true)]
async fn variants_without_end_fill_nothing() {
    let inner = Inner::replying(|call| with(fresh(call.to_string()), "vary", "user-agent"));
    let [node, _]: [Node; 2] = pair(&inner, |layer| layer);
    let ask = |agent: usize| send(&node, get_with("/", "user-agent", &agent.to_string()));
    for agent in 0..100 {
        answer(ask(agent)).await;
        settle().await;
    }
    let before = inner.calls();
    for agent in 0..100 {
        answer(ask(agent)).await;
        settle().await;
    }
    // The first variant, and 32 besides.
    assert_eq!(inner.calls() - before, 100 - 33);
}

#[tokio::test(start_paused = true)]
async fn queries_without_end_fill_no_more_than_the_store_may_hold() {
    const QUERIES: usize = 1000;
    let inner = Inner::replying(|_| fresh("x".repeat(1000)));
    let layer = MemoLockLayer::new(MemoryStore::with_capacity(64 * 1024), "layer");
    let node = layer.layer(inner.clone());
    for round in 1..=2 {
        for query in 0..QUERIES {
            answer(send(&node, get(&format!("/?{query}")))).await;
        }
        assert!(
            inner.calls() >= round * (QUERIES - 64),
            "{} in round {round}",
            inner.calls()
        );
    }
}

async fn redis_nodes(server: &RedisServer, inner: &Inner) -> [Node; 2] {
    pair_over(server.two_stores().await, inner, |layer| layer)
}

#[tokio::test]
async fn no_secret_of_a_request_is_at_rest_in_the_store() {
    let server = RedisServer::start();
    let inner = Inner::replying(|_| {
        let reply = with(text("x"), "cache-control", "public, max-age=60");
        with(reply, "vary", "cookie, authorization, x-secret")
    });
    let nodes = redis_nodes(&server, &inner).await;
    for (name, value) in [
        ("x-secret", "hush-hush"),
        ("user-agent", "hush-hush"),
        ("authorization", "Bearer hush-hush"),
        ("cookie", "id=hush-hush"),
    ] {
        answer(send(&nodes[0], get_with("/", name, value))).await;
        eventually("a stored response", || !server.cli(&["KEYS", "layer:*"]).is_empty()).await;
    }
    let generations = server.cli(&["ZRANGE", "layer/gen:{layer}", "0", "-1"]);
    assert!(!generations.contains("hush"), "{generations}");
    for key in server.keys() {
        assert!(!key.contains("hush"), "{key}");
        let stored = server.cli(&["GET", &key]);
        assert!(
            !stored.contains("hush") && !stored.to_lowercase().contains("bearer"),
            "{stored}"
        );
    }
}

#[tokio::test]
async fn what_another_program_writes_or_publishes_is_no_answer() {
    let server = RedisServer::start();
    let gate = crate::layer::fixture::Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |request, call| {
            let gate = gate.clone();
            async move {
                if request.uri().path() == "/slow" {
                    gate.pass().await;
                }
                Ok(fresh(format!("{} {call}", request.uri().path())))
            }
        })
    };
    let layers = server
        .two_stores()
        .await
        .map(|store| MemoLockLayer::new(store, "layer"));
    let nodes = [&layers[0], &layers[1]].map(|layer| layer.layer(inner.clone()));
    answer(send(&nodes[0], get("/other"))).await;
    eventually("a stored response", || !server.cli(&["KEYS", "layer:*"]).is_empty()).await;
    let other = server.cli(&["KEYS", "layer:*"]);

    // While a caller waits, the promise is "resolved" with the response to something else, and with gibberish; and a
    // response to something else is put where this one will be.
    let leader = send(&nodes[0], get("/slow"));
    gate.reached_by(1).await;
    let follower = send(&nodes[1], get("/slow"));
    let slow = other.replace("/other", "/slow");
    let channel = slow.replacen("layer:", "layer/ctl:", 1);
    eventually("a subscriber", || {
        server.cli(&["PUBSUB", "CHANNELS", "*"]).contains("/slow")
    })
    .await;
    let rejected = async |count| eventually("a rejected answer", || layers[1].handle().stats().rejected >= count).await;
    let script = "return redis.call('PUBLISH', KEYS[2], 'value ' .. redis.call('GET', KEYS[1]))";
    assert_eq!(server.cli(&["EVAL", script, "2", &other, &channel]), "1");
    rejected(1).await;
    server.cli(&["COPY", &other, &slow]);
    assert_eq!(server.cli(&["PUBLISH", &channel, "value gibberish"]), "1");
    rejected(2).await;
    gate.open();
    assert!(answer(leader).await.body.starts_with(b"/slow"));
    assert!(answer(follower).await.body.starts_with(b"/slow"));
}
