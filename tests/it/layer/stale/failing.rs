//! Stale responses that stand in for what failed.

use super::*;

/// What fails in these tests: the second call.
type Fault = fn() -> Result<Response<TestBody>, Broken>;

fn broken(status: u16) -> Result<Response<TestBody>, Broken> {
    let mut reply = text("broken");
    *reply.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(reply)
}

const FAULTS: [Fault; 6] = [
    || broken(500),
    || broken(502),
    || broken(503),
    || broken(504),
    || Err(Broken("on purpose")),
    || panic!("on purpose"),
];

#[tokio::test(start_paused = true)]
async fn a_failure_gives_all_clients_the_stale_one() {
    for (at, fault) in FAULTS.into_iter().enumerate() {
        let gate = Gate::new();
        let inner = gated(&gate, move |call| match call {
            1 => Ok(cached("max-age=60, stale-if-error=10")(call)),
            _ => fault(),
        });
        let nodes = pair(&inner, |layer| layer);
        become_stale(&nodes).await;
        let asked = send_many(&nodes, 20, || get("/"));
        gate.reached_by(1).await;
        settle().await;
        gate.open();
        for asked in asked {
            let stale = answer(asked).await;
            assert_eq!(
                (stale.body.as_ref(), stale.header("age")),
                (&b"1"[..], Some("65")),
                "{at}"
            );
        }
        assert_eq!(inner.calls(), 2, "{at}");
    }
}

/// Has a leader's body end in an error, behind the gate: its own client gets that, and its followers the stale response.
async fn the_stale_one_stands_in(inner: &Inner, gate: &Gate) {
    let nodes = pair(inner, |layer| layer);
    become_stale(&nodes).await;
    let leader = send(&nodes[0], get("/"));
    gate.reached_by(1).await;
    let others = send_many(&nodes, 19, || get("/"));
    settle().await;
    gate.open();
    let led = within("an answer", leader).await.expect("no panic of the client's");
    assert!(matches!(led, Err(Failure::Body(_))), "{led:?}");
    assert_eq!(bodies(others).await, ["1"; 19]);
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_leader_leaves_the_stale_one_to_those_who_wait() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| {
        let cached = cached("max-age=60, stale-if-error=10")(call);
        Ok(match call {
            1 => cached,
            _ => with(
                parts([data("2"), Err(Broken("on purpose"))]),
                "cache-control",
                "max-age=60",
            ),
        })
    });
    the_stale_one_stands_in(&inner, &gate).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_leaves_the_stale_one_to_those_who_wait() {
    let gate = Gate::new();
    let inner = gated(&gate, |call| {
        let cached = cached("max-age=60, stale-if-error=10")(call);
        let parts = futures_util::stream::once(async { data("2") });
        let panics = futures_util::stream::once(async { panic!("on purpose") });
        Ok(match call {
            1 => cached,
            _ => with(streamed(parts.chain(panics)), "cache-control", "max-age=60"),
        })
    });
    the_stale_one_stands_in(&inner, &gate).await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_stand_in_does_not() {
    for said in [
        "max-age=60",
        "max-age=60, stale-if-error=4",
        "max-age=60, stale-if-error=10, must-revalidate",
        "max-age=60, stale-if-error=10, proxy-revalidate",
        "s-maxage=60, stale-if-error=10",
    ] {
        let inner = Inner::new(move |_, call| async move {
            match call {
                1 => Ok(cached(said)(call)),
                _ => broken(503),
            }
        });
        let nodes = pair(&inner, |layer| layer);
        become_stale(&nodes).await;
        assert_eq!(ask(&nodes[1]).await.status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    }
    let inner = Inner::new(|_, call| async move {
        match call {
            1 => Ok(cached("max-age=60, stale-if-error=10")(call)),
            _ => broken(501),
        }
    });
    let nodes = pair(&inner, |layer| layer);
    become_stale(&nodes).await;
    assert_eq!(ask(&nodes[1]).await.status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_died_costs_its_lease_and_then_every_caller_gets_the_stale_one() {
    const LEASE: Duration = Duration::from_secs(5);
    let inner = Inner::replying(cached("max-age=60, stale-if-error=60"));
    let store = MemoryStore::new();
    let nodes = pair_over([store.clone(), store.clone()], &inner, |layer| layer.lease(LEASE));
    become_stale(&nodes).await;
    let address = Address::new(&Tag::new("layer").expect("a tag"), &crate::layer::failures::key("/"));
    let dead = store
        .acquire(&address, Token::random(), LEASE)
        .await
        .expect("an answer");
    assert_eq!(dead.lock, Lock::Granted);
    assert_eq!(bodies(send_many(&nodes, 20, || get("/"))).await, ["1"; 20]);
    assert_eq!(inner.calls(), 1);
    // The next request tries again.
    assert_eq!(bodies(send_many(&nodes, 20, || get("/"))).await, ["2"; 20]);
}

#[tokio::test(start_paused = true)]
async fn server_errors_are_handed_over_where_that_is_wanted() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, call| match call {
        1 => broken(503),
        _ => Ok(fresh(call.to_string())),
    });
    let nodes = pair(&inner, |layer| {
        layer.failures(Failures::new().on_unconfirmed(Unconfirmed::HandOver))
    });
    let asked = send_many(&nodes, 20, || get("/"));
    gate.reached_by(1).await;
    settle().await;
    gate.open();
    let mut bodies = bodies(asked).await;
    bodies.sort();
    assert_eq!(bodies[..19], ["2"; 19]);
    assert_eq!(bodies[19], "broken");
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn leaders_of_the_whole_cluster_are_succeeded_once_and_then_all_requests_ask() {
    const REQUESTS: usize = 20;
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |_, _| Err(Broken("on purpose")));
    let nodes = pair(&inner, |layer| layer);
    let asked = send_many(&nodes, REQUESTS, || get("/"));
    for leader in 1..=2 {
        gate.reached_by(leader).await;
        settle().await;
        assert_eq!(gate.reached(), leader);
        gate.let_go(1);
    }
    gate.reached_by(REQUESTS).await;
    gate.open();
    for asked in asked {
        assert!(within("an answer", asked).await.expect("no panic").is_err());
    }
    assert_eq!(inner.calls(), REQUESTS);
}
