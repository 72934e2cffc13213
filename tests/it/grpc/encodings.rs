//! Compressed messages.

use std::collections::HashSet;

use tonic::codec::CompressionEncoding::Gzip;
use tonic::transport::Channel;

use super::fixture::{MAKE, Nodes, ended, gated, make, order};
use super::proto::workshop_client::WorkshopClient;
use super::raw::frames;

/// Clients that compress nothing, their requests, what they accept, and both.
fn clients(client: &WorkshopClient<Channel>) -> [WorkshopClient<Channel>; 4] {
    [
        client.clone(),
        client.clone().send_compressed(Gzip),
        client.clone().accept_compressed(Gzip),
        client.clone().send_compressed(Gzip).accept_compressed(Gzip),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_other_encodings_never_get_each_others() {
    let nodes = Nodes::pair().await;
    let clients: Vec<_> = nodes.clients.iter().flat_map(clients).collect();
    let call = || {
        clients
            .iter()
            .map(|client| make(client, gated("compressed")))
            .collect::<Vec<_>>()
    };
    let collapsed = call();
    nodes.workshop.gate.reached_by(4).await;
    nodes.waiting(4).await;
    nodes.workshop.gate.open();
    let mut all = Vec::new();
    for made in ended(collapsed).await {
        let product = made.expect("a product").into_inner();
        assert_eq!((product.id.as_str(), product.content.len()), ("compressed", 100));
        all.push(product.execution);
    }
    // Those of the same kind share, and no other caller.
    assert_eq!(all[..4], all[4..]);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4);
    nodes.settled().await;
    let stored = ended(call())
        .await
        .into_iter()
        .map(|made| made.expect("a product").into_inner().execution);
    assert_eq!(stored.collect::<Vec<_>>(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_encoded_as_its_client_accepts() {
    let nodes = Nodes::pair().await;
    let raw = [nodes.servers[0].raw().await, nodes.servers[1].raw().await];
    let gzip = [("grpc-accept-encoding", "gzip,identity")];
    for raw in [&raw[0], &raw[1], &raw[0]] {
        let plain = frames(raw.order(MAKE, &[], &order("encoded"))).await;
        assert!(!plain.head.contains_key("grpc-encoding"), "{plain:?}");
        assert_eq!(plain.product().content.len(), 100);
        let compressed = frames(raw.order(MAKE, &gzip, &order("encoded"))).await;
        assert_eq!(compressed.head["grpc-encoding"], "gzip");
        assert_eq!((compressed.body[0], &compressed.body[5..7]), (1, &b"\x1f\x8b"[..]));
        let identity = [("grpc-accept-encoding", "identity")];
        let plain = frames(raw.order(MAKE, &identity, &order("encoded"))).await;
        assert!(!plain.head.contains_key("grpc-encoding"), "{plain:?}");
        assert_eq!(plain.product().content.len(), 100);
    }
}
