//! Slots on their way from one node to another.

use super::*;

/// The others are told that a slot has moved, and no key has moved along: the node loses what it has.
#[tokio::test]
async fn what_a_node_loses_with_a_slot_is_not_served_beyond_the_lag() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let id = cluster.id_on(from, "{x #}");
        node.compute(&id, "old").await;
        node.warm(&id).await;
        let slot = cluster.slot(&id);
        let (source, target) = (cluster.id(from), cluster.id(to));
        cluster.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        cluster.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]);
        cluster.nodes[to].cli(&["SET", &format!("t:{id}"), "new"]);
        eventually("the loss of the slot", || {
            cluster.nodes[from].cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot]) == "0"
        })
        .await;
        tokio::time::sleep(BEYOND).await;
        assert_eq!(node.get(&id).await.unwrap(), "new");
        assert_eq!(node.warm(&id).await, "new");
    }
}

/// As before, to a node that has the highest epoch already: nothing changes in what the first node says of its map.
#[tokio::test]
async fn what_a_node_loses_is_not_served_once_another_has_the_slot_for_this_process() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    let other = MemoLock::new(node.store.clone(), "other");
    for shape in ["{x #}", "{y #}"] {
        let id = cluster.id_on(0, shape);
        node.compute(&id, "old").await;
        node.warm(&id).await;
        let slot = cluster.slot(&id);
        let (source, target) = (cluster.id(0), cluster.id(1));
        cluster.nodes[1].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        cluster.nodes[1].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]);
        cluster.nodes[1].cli(&["SET", &format!("t:{id}"), "new"]);
        eventually("the loss of the slot", || {
            cluster.nodes[0].cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot]) == "0"
        })
        .await;
        other.get(id.as_str()).await.unwrap();
        assert_eq!(node.get(&id).await.unwrap(), "new");
    }
}

/// What is already where the slot is on its way to is not kept: its changes are not told by the node that has the slot.
#[tokio::test]
async fn values_that_have_gone_ahead_are_read_and_not_kept() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    let client = redis::Client::open(cluster.nodes[1].url()).unwrap();
    let mut ahead = client.get_multiplexed_async_connection().await.unwrap();
    let (id, stays) = (cluster.id_on(0, "{x #}"), cluster.id_on(0, "{stays #}"));
    for id in [&id, &stays] {
        node.compute(id, "one").await;
        node.warm(id).await;
    }
    let slot = cluster.slot(&id);
    cluster.begin_migration(&slot, 0, 1);
    cluster.move_keys(&slot, 0, 1);
    eventually("the end of the copy", || node.store.stats().near.copies == 1).await;
    for value in ["two", "three"] {
        for _ in 0..20 {
            node.get(&id).await;
        }
        // Under a lease of the same node.
        node.warm(&stays).await;
        let mut write = redis::pipe();
        write
            .cmd("ASKING")
            .ignore()
            .cmd("SET")
            .arg(format!("t:{id}"))
            .arg(value)
            .ignore();
        write.exec_async(&mut ahead).await.unwrap();
        assert_eq!(node.get(&id).await.unwrap(), value);
        assert_eq!(node.store.stats().near.copies, 1);
    }
    cluster.end_migration(&slot, 0, 1);
    assert_eq!(node.warm(&id).await, "three");
}

#[tokio::test]
async fn invalidations_hold_while_the_slot_of_a_tag_is_on_its_way() {
    let cluster = RedisCluster::start();
    let [a, b, _] = nodes(&cluster).await;
    let stamped = [&a, &b].map(|node| NearNode::of(node.store.clone()).stamped());
    let home = cluster.home(GENERATIONS);
    let (slot, to) = (cluster.slot(GENERATIONS), (home + 1) % 3);
    let plain = cluster.id_on((home + 2) % 3, "{x #}");
    let tagged = cluster.id_on((home + 2) % 3, "{y #}");
    let compute = async || {
        a.compute(&plain, "old").await;
        stamped[0].compute(&tagged, "old").await;
    };
    compute().await;
    for node in [&a, &b] {
        node.warm(&plain).await;
    }
    for node in &stamped {
        node.warm(&tagged).await;
    }
    cluster.begin_migration(&slot, home, to);
    cluster.move_keys(&slot, home, to);
    let client = redis::Client::open(cluster.nodes[to].url()).unwrap();
    let mut ahead = client.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..3 {
        for _ in 0..20 {
            for (node, stamped) in [&a, &b].iter().zip(&stamped) {
                node.get(&plain).await;
                stamped.get(&tagged).await;
            }
        }
        b.memo.invalidate(plain.as_str()).await.unwrap();
        stamped[1].memo.invalidate_all().await.unwrap();
        for (node, stamped) in [&a, &b].iter().zip(&stamped) {
            assert_eq!((node.get(&plain).await, stamped.get(&tagged).await), (None, None));
        }
        // None of them hears what is published there, and all of them live.
        let mut members = redis::pipe();
        members.cmd("ASKING").ignore().cmd("ZCARD").arg("t/gen:{t}/near");
        assert_eq!(members.query_async::<(u64,)>(&mut ahead).await.unwrap(), (2,));
        compute().await;
    }
    cluster.end_migration(&slot, home, to);
    for node in [&a, &b] {
        node.warm(&plain).await;
    }
    for node in &stamped {
        node.warm(&tagged).await;
    }
    b.memo.invalidate(plain.as_str()).await.unwrap();
    stamped[1].memo.invalidate_all().await.unwrap();
    assert_eq!((a.get(&plain).await, stamped[0].get(&tagged).await), (None, None));
}
