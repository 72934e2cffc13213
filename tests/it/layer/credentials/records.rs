//! Records that a response was for all clients: what they let through, and what ends them.

use super::*;

/// Whether a case of [`OWN`] is an error.
fn is_error(case: usize) -> bool {
    case >= 4
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_none_any_more_sets_all_free_and_is_gone() {
    for (case, own) in OWN.into_iter().enumerate() {
        for who in ALL.into_iter().skip(1) {
            let gate = Gate::new();
            let inner = gated(&gate, move |call, request| match call {
                1 => Ok(reply(call, request, "public, max-age=60")),
                _ if owner(request) != "nobody" => own(call, request),
                _ => Ok(reply(call, request, "max-age=60")),
            });
            let nodes = pair(&inner, |layer| layer);
            let asked = ask(&nodes[0], who);
            gate.let_go(1);
            told(asked).await;
            settle().await;
            advance(STALE).await;

            let asked = ask_many(&nodes, WAVE, who);
            gate.reached_by(2).await;
            settle().await;
            assert_eq!(gate.reached(), 2, "{case} {who:?}");
            gate.let_go(1);
            // After an error of one of them, another tries before all do.
            if is_error(case) {
                gate.reached_by(3).await;
                settle().await;
                assert_eq!(gate.reached(), 3, "{case} {who:?}");
            }
            gate.let_go(usize::from(is_error(case)));
            gate.reached_by(1 + WAVE).await;
            gate.let_go(WAVE - 1 - usize::from(is_error(case)));
            for asked in asked {
                assert!(told(asked).await.1, "{case} {who:?}");
            }
            settle().await;
            // An error says nothing of what others get, so what is stale stays.
            if !is_error(case) {
                let asked = ask_many(&nodes, WAVE, who);
                gate.reached_by(1 + 2 * WAVE).await;
                gate.let_go(WAVE);
                for asked in asked {
                    assert!(told(asked).await.1, "{case} {who:?}");
                }
                settle().await;
            }
            // For those without credentials it meant nothing.
            let before = gate.reached();
            let asked = ask_many(&nodes, WAVE, Who::Anybody);
            gate.reached_by(before + 1).await;
            settle().await;
            assert_eq!(gate.reached(), before + 1, "{case} {who:?}: no marker");
            gate.open();
            for asked in asked {
                assert_eq!(told(asked).await.0, before + 1, "{case} {who:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_record_answers_while_one_of_them_computes_anew() {
    let inner = echo("public, max-age=60, stale-while-revalidate=10");
    let nodes = pair(&inner, |layer| layer);
    told(ask(&nodes[0], Who::Cookie)).await;
    settle().await;
    advance(STALE).await;
    for asked in ask_many(&nodes, WAVE, Who::Both) {
        assert_eq!(told(asked).await, (1, false));
    }
    settle().await;
    assert_eq!(inner.calls(), 2);
    assert_eq!(told(ask(&nodes[1], Who::Authorized)).await, (2, false));
}

#[tokio::test(start_paused = true)]
async fn a_stale_record_stands_in_for_a_failure_for_those_it_is_for() {
    for (directives, who, shared) in [
        ("public, max-age=60, stale-if-error=60", Who::Cookie, true),
        ("public, max-age=60, stale-if-error=60", Who::Both, true),
        ("max-age=60, stale-if-error=60", Who::Cookie, false),
    ] {
        let inner = Inner::new(move |request, call| {
            let reply = reply(call, &request, directives);
            let reply = if call > 1 { status(503, reply) } else { reply };
            async move { Ok(reply) }
        });
        let nodes = pair(&inner, |layer| layer);
        told(ask(&nodes[0], Who::Anybody)).await;
        settle().await;
        advance(STALE).await;
        for asked in ask_many(&nodes, WAVE, who) {
            assert_ne!(told(asked).await.1, shared, "{directives} {who:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_varies_by_the_credentials_is_stored_for_each_of_them() {
    for (field, who) in [("cookie", Who::Cookie), ("authorization", Who::Authorized)] {
        let inner = Inner::new(move |request, call| {
            let reply = with(reply(call, &request, "public, max-age=60"), "vary", field);
            async move { Ok(reply) }
        });
        let nodes = pair(&inner, |layer| layer);
        let requests: Vec<_> = (0..5).map(|_| who.request()).collect();
        for round in 0..3 {
            for (i, request) in requests.iter().enumerate() {
                let sent = Sent(owner(request), send(&nodes[(i + round) % 2], request.clone()));
                assert_eq!(told(sent).await, (i + 1, true), "{field}");
                settle().await;
            }
        }
        assert_eq!(inner.calls(), requests.len());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_for_one_of_them_leaves_the_record_to_be_validated() {
    for error in [401, 403, 500] {
        let inner = Inner::new(move |request, call| async move {
            let validates = request.headers().contains_key("if-none-match");
            let reply = reply(call, &request, "public, max-age=60");
            Ok(match call {
                2 => status(error, text(format!("{call} for {}", owner(&request)))),
                _ if validates => status(304, reply),
                _ => reply,
            })
        });
        let nodes = pair(&inner, |layer| layer);
        told(ask(&nodes[0], Who::Cookie)).await;
        settle().await;
        advance(STALE).await;
        assert_eq!(told(ask(&nodes[0], Who::Cookie)).await, (2, true), "{error}");
        settle().await;
        // The third call says that the first response is still right.
        assert_eq!(told(ask(&nodes[1], Who::Cookie)).await, (1, false), "{error}");
        assert_eq!(inner.calls(), 3);
    }
}
