//! Calls on a user's behalf.

use super::fixture::{MAKE, Nodes, layer, order};
use super::raw::frames;
use crate::support::RedisServer;

const ANNA: (&str, &str) = ("authorization", "Bearer anna-secret");
const ELSA: (&str, &str) = ("authorization", "Bearer elsa-secret");

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_credentials_share_nothing_unless_the_key_says_whose_they_are() {
    let nodes = Nodes::pair().await;
    let raw = nodes.servers[0].raw().await;
    for execution in 1..=3 {
        let product = frames(raw.order(MAKE, &[ANNA], &order("own"))).await.product();
        assert_eq!(
            (product.execution, &product.seen[..]),
            (execution, &["authorization: Bearer anna-secret".to_owned()][..])
        );
        nodes.settled().await;
    }
    for _ in ["led", "replayed"] {
        let product = frames(raw.order(MAKE, &[], &order("own"))).await.product();
        assert_eq!((product.execution, product.seen.len()), (4, 0));
        nodes.settled().await;
    }
    let product = frames(raw.order(MAKE, &[ANNA], &order("own"))).await.product();
    assert_eq!(product.execution, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_credentials_in_the_key_each_client_shares_with_itself() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    let other = redis.store().await;
    let nodes = Nodes::start([
        layer(store).key_headers(["authorization"]),
        layer(other).key_headers(["authorization"]),
    ])
    .await;
    for server in &nodes.servers {
        let raw = server.raw().await;
        for (fields, execution) in [(&[ANNA][..], 1), (&[ELSA], 2), (&[], 3)] {
            let product = frames(raw.order(MAKE, fields, &order("own"))).await.product();
            assert_eq!(product.execution, execution, "{fields:?}");
            nodes.settled().await;
        }
    }
    let keys = redis.keys();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("secret")), "{keys:?}");
}
