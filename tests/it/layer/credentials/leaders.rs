//! Clients with credentials that lead: what their followers get of them.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_followers_of_a_client_with_credentials_get_nothing_of_that_client_and_stay_together() {
    let mut all = OWN.to_vec();
    all.push(|_, _| Err(Broken("on purpose")));
    all.push(|_, _| panic!("on purpose"));
    for (case, own) in all.into_iter().enumerate() {
        for who in ALL.into_iter().skip(1) {
            let (hers, theirs) = (Gate::new(), Gate::new());
            let inner = {
                let (hers, theirs) = (hers.clone(), theirs.clone());
                Inner::new(move |request, call| {
                    let (hers, theirs) = (hers.clone(), theirs.clone());
                    async move {
                        if owner(&request) == "nobody" {
                            theirs.pass().await;
                            return Ok(reply(call, &request, "max-age=60"));
                        }
                        hers.pass().await;
                        own(call, &request)
                    }
                })
            };
            let nodes = pair(&inner, |layer| layer);
            let own = ask(&nodes[0], who);
            hers.reached_by(1).await;
            let others = ask_many(&nodes, WAVE, Who::Anybody);
            settle().await;
            assert_eq!(theirs.reached(), 0, "{case} {who:?}: they wait");
            hers.let_go(1);
            theirs.reached_by(1).await;
            settle().await;
            assert_eq!(theirs.reached(), 1, "{case} {who:?}: one takes over");
            theirs.open();
            for asked in others {
                assert_eq!(told(asked).await, (2, true), "{case} {who:?}");
            }
            if case < OWN.len() {
                assert_eq!(told(own).await, (1, true), "{case} {who:?}");
            }
            assert_eq!(inner.calls(), 2, "{case} {who:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_followers_of_a_client_with_credentials_get_what_is_for_all_clients() {
    let gate = Gate::new();
    let inner = gated(&gate, |call, request| Ok(reply(call, request, "public, max-age=60")));
    let nodes = pair(&inner, |layer| layer);
    let own = ask(&nodes[0], Who::Cookie);
    gate.reached_by(1).await;
    let others = ask_many(&nodes, WAVE, Who::Anybody);
    settle().await;
    gate.open();
    assert_eq!(told(own).await, (1, true));
    for asked in others {
        assert_eq!(told(asked).await, (1, false));
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_neither_stored_nor_shared() {
    let inner = Inner::new(|request, call| async move {
        if call == 1 {
            let broken = parts([data("half"), Err(Broken("on purpose"))]);
            return Ok(with(broken, "cache-control", "public, max-age=60"));
        }
        Ok(reply(call, &request, "public, max-age=60"))
    });
    let nodes = pair(&inner, |layer| layer);
    let Sent(_, asked) = ask(&nodes[0], Who::Cookie);
    let broken = within("an answer", asked).await.expect("no panic");
    assert!(matches!(broken, Err(Failure::Body(_))));
    settle().await;
    assert_eq!(told(ask(&nodes[1], Who::Cookie)).await, (2, true));
    settle().await;
    assert_eq!(told(ask(&nodes[0], Who::Both)).await, (2, false));
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_fences_off_what_a_client_with_credentials_computes() {
    let gate = Gate::new();
    let inner = gated(&gate, |call, request| Ok(reply(call, request, "public, max-age=60")));
    let store = MemoryStore::new();
    let layer = MemoLockLayer::new(store, "layer");
    let node = layer.layer(inner.clone());
    let asked = ask(&node, Who::Authorized);
    gate.reached_by(1).await;
    layer
        .handle()
        .invalidate(&crate::layer::failures::key("/"))
        .await
        .expect("an invalidation");
    gate.open();
    assert_eq!(told(asked).await, (1, true));
    settle().await;
    assert_eq!(told(ask(&node, Who::Authorized)).await, (2, true));
}

#[tokio::test(start_paused = true)]
async fn what_is_for_no_other_client_is_not_tried_again_until_the_first_that_is() {
    let inner = Inner::new(|request, call| {
        let directives = if call <= 10 { "max-age=60" } else { "public, max-age=60" };
        let reply = reply(call, &request, directives);
        async move { Ok(reply) }
    });
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let node = layer.layer(inner.clone());
    for call in 1..=10 {
        assert_eq!(told(ask(&node, Who::Cookie)).await, (call, true));
        settle().await;
        assert_eq!(layer.handle().stats().led, 1);
    }
    // The first response tells that it has changed, the second is stored.
    for (call, led) in [(11, 1), (12, 2)] {
        assert_eq!(told(ask(&node, Who::Cookie)).await, (call, true));
        settle().await;
        assert_eq!(layer.handle().stats().led, led);
    }
    assert_eq!(told(ask(&node, Who::Cookie)).await, (12, false));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_not_tried_again_at_once() {
    let failures: [Make; 4] = [
        |_, _| Err(Broken("on purpose")),
        |_, _| panic!("on purpose"),
        |call, request| Ok(status(401, reply(call, request, "max-age=60"))),
        |call, request| Ok(status(503, reply(call, request, "x=1"))),
    ];
    for (case, fail) in failures.into_iter().enumerate() {
        let inner = Inner::new(move |request, call| async move { fail(call, &request) });
        let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
        let node = layer.layer(inner.clone());
        for (after, led) in [(0, 1), (1, 1), (3, 2)] {
            advance(Duration::from_secs(after)).await;
            let Sent(_, asked) = ask(&node, Who::Cookie);
            drop(within("an answer", asked).await);
            settle().await;
            assert_eq!(layer.handle().stats().led, led, "{case}");
        }
        assert_eq!(inner.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_is_computed_for_a_client_with_credentials_is_waited_for_at_the_end() {
    let gate = Gate::new();
    let inner = gated(&gate, |call, request| Ok(reply(call, request, "public, max-age=60")));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let node = layer.layer(inner.clone());
    let Sent(_, asked) = ask(&node, Who::Cookie);
    gate.reached_by(1).await;
    // A client that hangs up stops nothing.
    asked.abort();
    let drained = tokio::spawn(async move { layer.handle().drained().await });
    settle().await;
    assert!(!drained.is_finished());
    gate.open();
    within("the end of it", drained).await.expect("no panic");
    assert_eq!(told(ask(&node, Who::Cookie)).await, (1, false));
}
