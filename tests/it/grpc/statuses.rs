//! Calls that fail, and replies that are not to be kept.

use std::time::Duration;

use tonic::Code;
use tower_memolock::MemoryStore;
use tower_memolock::middleware::GrpcMethod;

use super::fixture::{
    BRIEF, MAKE, Nodes, PLAIN, ended, execution_of, failing, gated, make, memoized, one_product, order,
};
use super::proto::Order;
use super::raw::frames;

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_goes_to_all_followers_and_to_no_later_call() {
    let nodes = Nodes::pair().await;
    for (round, code) in [Code::NotFound, Code::Unimplemented].into_iter().enumerate() {
        let order = failing(&format!("{code:?}"), code);
        let calls: Vec<_> = (0..10).map(|_| make(&nodes.clients[0], order.clone())).collect();
        nodes.workshop.gate.reached_by(3 * round + 1).await;
        nodes.waiting(9).await;
        nodes.workshop.gate.open();
        let execution = 3 * round + 1;
        for made in ended(calls).await {
            let status = made.expect_err("a failure");
            assert_eq!(status.code(), code);
            assert_eq!(status.message(), format!("order {code:?}: as asked, 100 %\n"));
            assert_eq!(status.details(), order.details);
            assert_eq!(execution_of(&status), execution);
        }
        nodes.settled().await;
        // Each later call is an execution of its own.
        for (client, execution) in nodes.clients.iter().zip(execution + 1..) {
            let status = ended([make(client, order.clone())])
                .await
                .remove(0)
                .expect_err("a failure");
            assert_eq!(execution_of(&status), execution);
            nodes.settled().await;
        }
        nodes.workshop.gate.take_back();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_may_be_provoked_is_its_own_and_a_second_failure_is_for_all() {
    const CALLS: usize = 6;
    let nodes = Nodes::pair().await;
    let mut before = 0;
    for (code, is_shared) in [
        (Code::Unauthenticated, false),
        (Code::PermissionDenied, false),
        (Code::InvalidArgument, false),
        (Code::FailedPrecondition, false),
        (Code::ResourceExhausted, false),
        (Code::Cancelled, false),
        (Code::Aborted, false),
        (Code::AlreadyExists, false),
        (Code::Unavailable, true),
        (Code::Internal, true),
        (Code::Unknown, true),
        (Code::DataLoss, true),
    ] {
        let order = failing(&format!("{code:?}"), code);
        let calls: Vec<_> = (0..CALLS).map(|_| make(&nodes.clients[0], order.clone())).collect();
        nodes.workshop.gate.reached_by(before + 1).await;
        nodes.waiting(CALLS as u64 - 1).await;
        nodes.workshop.gate.open();
        let mut own = Vec::new();
        for made in ended(calls).await {
            let status = made.expect_err("a failure");
            assert_eq!((status.code(), status.details()), (code, &order.details[..]));
            own.push(execution_of(&status) - before);
        }
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), if is_shared { 2 } else { CALLS }, "{code:?}: {own:?}");
        nodes.settled().await;
        before = nodes.workshop.executions();
        nodes.workshop.gate.take_back();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_the_same_byte_for_byte() {
    let nodes = Nodes::pair().await;
    let order = failing("bytes", Code::NotFound);
    nodes.workshop.gate.let_go(1);
    let raw = nodes.servers[0].raw().await;
    let original = frames(raw.order(PLAIN, &[], &order)).await;
    assert_eq!((original.grpc_status(), original.trailers_only), ("5", true));
    assert_eq!(
        original.head["grpc-message"],
        "order%20bytes:%20as%20asked,%20100%20%25%0A"
    );
    assert_eq!(original.head["grpc-status-details-bin"], "CAUSA3doeQD/");

    let calls: Vec<_> = (0..4).map(|_| raw.order(MAKE, &[], &order)).collect();
    nodes.workshop.gate.reached_by(2).await;
    nodes.waiting(3).await;
    nodes.workshop.gate.open();
    for call in calls {
        let mut answer = frames(call).await;
        // The second execution, which is the one thing about it that is not the same.
        assert_eq!(
            answer
                .head
                .insert("x-execution", "1".parse().expect("a value"))
                .expect("one"),
            "2"
        );
        assert_eq!(answer.timeless(), original.clone().timeless());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_with_a_lifetime_is_kept() {
    let brief = |method: GrpcMethod| method.status_ttl(Code::NotFound, Duration::from_secs(60));
    let nodes = Nodes::start([memoized(MemoryStore::new(), brief)]).await;
    nodes.workshop.gate.open();
    let mut client = nodes.clients[0].clone();
    for (code, executions) in [(Code::NotFound, [1, 1]), (Code::PermissionDenied, [2, 3])] {
        let order = failing(&format!("{code:?}"), code);
        for execution in executions {
            let status = client.brief(order.clone()).await.expect_err("a failure");
            assert_eq!((status.code(), status.details()), (code, &order.details[..]));
            assert_eq!(execution_of(&status), execution, "{code:?}");
            nodes.settled().await;
        }
    }
    // Where the method does not say so, it is not.
    let order = failing("NotFound", Code::NotFound);
    for execution in [4, 5] {
        let status = client.make(order.clone()).await.expect_err("a failure");
        assert_eq!(execution_of(&status), execution);
        nodes.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_failure_is_the_same_byte_for_byte() {
    let brief = |method: GrpcMethod| method.status_ttl(Code::NotFound, Duration::from_secs(60));
    let store = MemoryStore::new();
    let nodes = Nodes::start([memoized(store.clone(), brief), memoized(store, brief)]).await;
    nodes.workshop.gate.open();
    let order = failing("kept", Code::NotFound);
    let raw = [nodes.servers[0].raw().await, nodes.servers[1].raw().await];
    let original = frames(raw[0].order(BRIEF, &[], &order)).await;
    assert!(original.trailers_only);
    nodes.settled().await;
    for raw in raw {
        let hit = frames(raw.order(BRIEF, &[], &order)).await;
        assert_eq!(hit.timeless(), original.clone().timeless());
    }
    assert_eq!(nodes.workshop.executions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_store_in_the_initial_metadata_is_heeded() {
    let nodes = Nodes::pair().await;
    nodes.workshop.gate.open();
    for cache_control in ["no-store", "private", "No-Store, max-age=60", "no-cache", "max-age=0"] {
        let before = nodes.workshop.executions();
        let order = Order {
            cache_control: cache_control.to_owned(),
            ..order(cache_control)
        };
        for _ in 0..3 {
            let product = one_product([make(&nodes.clients[0], order.clone())]).await;
            assert_eq!(product.id, cache_control);
            nodes.settled().await;
        }
        assert_eq!(nodes.workshop.executions() - before, 3, "{cache_control}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_reply_that_is_not_to_be_shared_gets_one_of_its_own() {
    let nodes = Nodes::pair().await;
    let order = Order {
        cache_control: "no-store".to_owned(),
        ..gated("own")
    };
    let calls: Vec<_> = (0..6).map(|i| make(&nodes.clients[i % 2], order.clone())).collect();
    nodes.workshop.gate.reached_by(1).await;
    nodes.waiting(5).await;
    nodes.workshop.gate.open();
    let made = ended(calls).await.into_iter();
    let mut executions: Vec<_> = made
        .map(|made| made.expect("a product").into_inner().execution)
        .collect();
    executions.sort_unstable();
    assert_eq!(executions, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn max_age_in_the_initial_metadata_is_a_lifetime() {
    let nodes = Nodes::start([memoized(MemoryStore::new(), |brief| brief.ttl(Duration::ZERO))]).await;
    let mut client = nodes.clients[0].clone();
    let fresh = Order {
        cache_control: "max-age=60".to_owned(),
        ..order("fresh")
    };
    for (order, executions) in [(order("brief"), [1, 2]), (fresh, [3, 3])] {
        for execution in executions {
            let product = client.brief(order.clone()).await.expect("a product").into_inner();
            assert_eq!(product.execution, execution, "{}", order.id);
            nodes.settled().await;
        }
    }
}
