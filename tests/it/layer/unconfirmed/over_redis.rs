//! Three nodes over Redis.

use super::*;

async fn three_over_redis(server: &RedisServer) -> Vec<MemoLockLayer> {
    let mut layers = Vec::new();
    for _ in 0..3 {
        layers.push(MemoLockLayer::new(server.store().await, "layer"));
    }
    layers
}

fn around(layers: &[MemoLockLayer], inner: &Inner) -> Vec<Node> {
    layers.iter().map(|layer| layer.layer(inner.clone())).collect()
}

#[tokio::test]
async fn a_broken_service_is_called_twice_by_three_nodes() {
    let server = RedisServer::start();
    let gate = Gate::new();
    let inner = gated(&gate, |call| Ok(status(500, call)));
    let layers = three_over_redis(&server).await;
    let nodes = around(&layers, &inner);
    let asked: Vec<_> = (0..600).map(|at| send(&nodes[at % 3], get("/"))).collect();
    gate.reached_by(1).await;
    eventually("those that wait", || {
        layers.iter().map(|layer| layer.handle().stats().waiting).sum::<u64>() == 599
    })
    .await;
    gate.open();
    let answers = answers(asked).await;
    assert_eq!((count(&answers, "1"), count(&answers, "2")), (1, 599));
    assert_eq!(inner.calls(), 2);
}

#[tokio::test]
async fn a_sender_of_bad_requests_spoils_nothing_for_others_on_three_nodes() {
    let server = RedisServer::start();
    let inner = Inner::new(|request, call| async move {
        sleep(Duration::from_millis(20)).await;
        Ok(match request.headers().contains_key("bad") {
            true => status(431, call),
            false => text(call.to_string()),
        })
    });
    let nodes = around(&three_over_redis(&server).await, &inner);
    let mut honest = 0;
    for round in 0..15 {
        let bad = send(&nodes[round % 3], get_with("/", "bad", "1"));
        tokio::task::yield_now().await;
        let asked: Vec<_> = (0..10).map(|at| send(&nodes[at % 3], get("/"))).collect();
        let again = send(&nodes[(round + 1) % 3], get_with("/", "bad", "1"));
        for answer in answers(asked).await {
            assert_eq!(answer.status, 200);
            honest += 1;
        }
        within("an answer", bad).await.expect("no panic").expect("a response");
        within("an answer", again).await.expect("no panic").expect("a response");
    }
    assert_eq!(honest, 150);
    assert!(inner.calls() < 150, "{} calls: collapsed all the same", inner.calls());
}
