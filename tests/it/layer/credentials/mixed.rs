//! Clients with credentials beside clients without.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_marker_of_those_without_credentials_is_ended_by_what_is_for_all_clients() {
    let inner = Inner::new(|request, call| {
        let mut reply = reply(call, &request, "public, max-age=60");
        if owner(&request) == "nobody" {
            // Every newcomer gets a cookie.
            reply = with(reply, "set-cookie", "id=1");
        }
        async move { Ok(reply) }
    });
    let nodes = pair(&inner, |layer| layer);
    told(ask(&nodes[0], Who::Anybody)).await;
    settle().await;
    for call in 2..=3 {
        assert_eq!(told(ask(&nodes[0], Who::Cookie)).await, (call, true));
        settle().await;
    }
    for who in [Who::Cookie, Who::Anybody] {
        assert_eq!(told(ask(&nodes[0], who)).await, (3, false));
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_lead_with_credentials_release_the_others_of_their_kind_to_their_own_answers() {
    // Two users at once. One leads by a record: what is only hers must not reach the other user.
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = {
        let calls = Arc::clone(&calls);
        Inner::new(move |request, call| {
            calls.store(call, Ordering::SeqCst);
            let directives = if call == 1 { "public, max-age=60" } else { "max-age=60" };
            let reply = reply(call, &request, directives);
            async move {
                settle().await;
                Ok(reply)
            }
        })
    };
    let nodes = pair(&inner, |layer| layer);
    told(ask(&nodes[0], Who::Cookie)).await;
    settle().await;
    advance(STALE).await;
    let asked = send_many(&nodes, WAVE, || Who::Cookie.request());
    let mut bodies = crate::layer::fixture::bodies(asked).await;
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), calls.load(Ordering::SeqCst)), (WAVE, WAVE + 1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_a_client_with_credentials_does_not_count_for_those_who_take_over() {
    for panics in [false, true] {
        let inner = Inner::new(move |_, _| async move {
            assert!(!panics, "on purpose");
            Err(Broken("on purpose"))
        });
        let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
        let node = layer.layer(inner.clone());
        for (who, abandoned) in [(Who::Cookie, 0), (Who::Anybody, 1)] {
            let Sent(_, asked) = ask(&node, who);
            let failed = within("an answer", asked).await;
            assert!(failed.map_or(true, |answer| answer.is_err()));
            settle().await;
            assert_eq!(layer.handle().stats().abandoned, abandoned, "{who:?} {panics}");
        }
        assert_eq!(inner.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_those_without_credentials_compute_reaches_the_others_only_if_it_is_for_them() {
    for (directives, shared) in [("max-age=60", false), ("public, max-age=60", true)] {
        let gate = Gate::new();
        let inner = gated(&gate, move |call, request| {
            let directives = if call == 1 { "public, max-age=60" } else { directives };
            Ok(reply(call, request, directives))
        });
        let nodes = pair(&inner, |layer| layer);
        let first = ask(&nodes[0], Who::Cookie);
        gate.let_go(1);
        told(first).await;
        settle().await;
        advance(STALE).await;

        let leader = ask(&nodes[0], Who::Anybody);
        gate.reached_by(2).await;
        let asked = ask_many(&nodes, WAVE, Who::Cookie);
        settle().await;
        assert_eq!(inner.calls(), 2, "{directives}");
        gate.open();
        assert_eq!(told(leader).await, (2, true));
        for asked in asked {
            assert_eq!(told(asked).await.1, !shared, "{directives}");
        }
        assert_eq!(inner.calls(), if shared { 2 } else { 2 + WAVE }, "{directives}");
    }
}
