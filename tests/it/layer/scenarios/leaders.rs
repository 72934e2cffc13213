//! Leaders that fail, leave, or take too long.

use super::*;

/// The first call fails; one of the others makes the second, for all of them.
async fn one_takes_over(fault: fn() -> Reply, is_fault: fn(&Failure) -> bool) {
    on_one_and_two(async |nodes| {
        let reply = move |_, call| match call {
            1 => fault(),
            _ => Ok(fresh(call.to_string())),
        };
        let cluster = Cluster::start(nodes, |layer| layer, reply).await;
        let asked = cluster.wave().await;
        cluster.gate.open();
        let (mut faults, mut whole) = (0, 0);
        for asked in asked {
            match within("an answer", asked).await.expect("no panic") {
                Ok(answer) if answer.body == "2" => whole += 1,
                Err(failure) if is_fault(&failure) => faults += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((cluster.inner.calls(), whole, faults), (2, REQUESTS - 1, 1));
    })
    .await;
}

#[tokio::test]
async fn connection_dies_before_the_head() {
    one_takes_over(
        || Err(Broken("on purpose")),
        |failure| matches!(failure, Failure::Call(_)),
    )
    .await;
}

#[tokio::test]
async fn body_is_truncated() {
    let truncated = || {
        let parts = futures_util::stream::iter([data("trunc"), Err(Broken("on purpose"))]);
        Ok(with(streamed(parts), "cache-control", "max-age=60"))
    };
    one_takes_over(truncated, |failure| matches!(failure, Failure::Body(_))).await;
}

#[tokio::test]
async fn leaders_client_hangs_up() {
    on_one_and_two(async |nodes| {
        let cluster = Cluster::start(nodes, |layer| layer, |_, call| Ok(numbered(call, "max-age=60"))).await;
        let leader = send(&cluster.nodes[0], get("/"));
        cluster.gate.reached_by(1).await;
        let others = cluster.send(|_| get("/"));
        cluster.others_wait(REQUESTS).await;
        leader.abort();
        assert!(leader.await.expect_err("aborted").is_cancelled());
        cluster.gate.open();
        assert_eq!(distinct(&answers(others).await), 1);
        assert_eq!(cluster.inner.calls(), 1);
    })
    .await;
}

#[tokio::test]
async fn leader_outlasts_its_lease() {
    on_one_and_two(async |nodes| {
        // A busy machine may keep the whole process from renewing in time.
        within("a leader that could renew in time", async {
            while !outlasts(nodes).await {}
        })
        .await;
    })
    .await;
}

/// Has a leader compute for twice its lease. Whether no lock has expired meanwhile: then there was one call.
async fn outlasts(nodes: usize) -> bool {
    let short = |layer: MemoLockLayer| layer.lease(Duration::from_millis(300));
    let cluster = Cluster::start(nodes, short, |_, call| Ok(numbered(call, "max-age=60"))).await;
    let has_expired = || {
        let stats = cluster.server.cli(&["INFO", "stats"]);
        !stats.lines().any(|line| line.trim() == "expired_keys:0")
    };
    // Each is a renewal, every third of the lease.
    let renewals = || commands(&cluster.server).get("evalsha").copied().unwrap_or(0);
    let asked = cluster.send(|_| get("/"));
    cluster.gate.reached_by(1).await;
    eventually("twice the lease", || {
        has_expired() || cluster.waiting() == REQUESTS - 1 && renewals() >= 6
    })
    .await;
    cluster.gate.open();
    let answers = answers(asked).await;
    if has_expired() {
        return false;
    }
    assert_eq!((distinct(&answers), cluster.inner.calls()), (1, 1));
    true
}

#[tokio::test]
async fn leader_outlasts_the_wait_timeout() {
    on_one_and_two(async |nodes| {
        let short = |layer: MemoLockLayer| layer.wait_timeout(Duration::from_millis(300));
        let cluster = Cluster::start(nodes, short, |_, call| Ok(numbered(call, "max-age=60"))).await;
        let asked = cluster.send(|_| get("/"));
        cluster.gate.reached_by(REQUESTS).await;
        cluster.gate.open();
        assert_eq!(distinct(&answers(asked).await), REQUESTS);
    })
    .await;
}
