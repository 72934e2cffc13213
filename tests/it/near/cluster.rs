//! Near copies over a Redis Cluster, where each node tells of its own keys.

use std::time::{Duration, Instant};

use tower_memolock::RedisStore;

use super::fixture::{BEYOND, LAG, NearNode};
use crate::support::{RedisCluster, RedisServer, eventually, within};

/// An id on each of the masters.
fn ids(cluster: &RedisCluster) -> [String; 3] {
    [0, 1, 2].map(|master| cluster.id_on(master, "{x #}"))
}

/// The key of an id.
fn key(id: &str) -> String {
    format!("t:{id}")
}

/// The master with the generations, the set of members and the channels.
fn home(cluster: &RedisCluster) -> usize {
    cluster.home("t/gen:{t}")
}

/// The ids of connections that are told of changes.
fn tracking(redis: &RedisServer) -> Vec<String> {
    let field = |line: &str, name: &str| {
        line.split(' ')
            .find_map(|field| Some(field.strip_prefix(name)?.to_owned()))
    };
    let clients = redis.cli(&["CLIENT", "LIST"]);
    let tracking = clients
        .lines()
        .filter(|line| field(line, "flags=").is_some_and(|flags| flags.contains('B')));
    tracking.filter_map(|line| field(line, "id=")).collect()
}

#[tokio::test]
async fn a_near_hit_costs_no_node_anything() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    let ids = ids(&cluster);
    for id in &ids {
        assert_eq!(node.compute(id, "one").await, "one");
        assert_eq!(node.warm(id).await, "one");
    }
    cluster.nodes.iter().for_each(RedisServer::reset_commandstats);
    let before = node.hits();
    for _ in 0..300 {
        for id in &ids {
            assert_eq!(node.get(id).await.unwrap(), "one");
        }
    }
    let near = node.hits() - before;
    let stats: Vec<_> = cluster.nodes.iter().map(RedisServer::commandstats).collect();
    let gets: u64 = stats.iter().filter_map(|stats| stats.get("get")).sum();
    // Where this process did not run for as long as the lag, a request goes to Redis.
    assert!(near >= 800 && gets == 900 - near, "{near} {stats:?}");
    assert_eq!(node.store.stats().near.copies, 3);
}

#[tokio::test]
async fn every_way_to_change_a_key_ends_its_copy_and_no_other() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    let ids = ids(&cluster);
    let ways: &[(&[&str], Option<&str>)] = &[
        (&["SET", "KEY", "two"], Some("two")),
        (&["DEL", "KEY"], None),
        (&["PEXPIRE", "KEY", "1"], None),
        (
            &["EVAL", "return redis.call('SET', KEYS[1], 'script')", "1", "KEY"],
            Some("script"),
        ),
        (&["FLUSHALL"], None),
    ];
    for (master, id) in ids.iter().enumerate() {
        for (way, then) in ways {
            for (other, id) in ids.iter().enumerate() {
                cluster.nodes[other].cli(&["SET", &key(id), "zero"]);
                node.until(id, Some("zero")).await;
                cluster.nodes[other].cli(&["SET", &key(id), "one"]);
                node.until(id, Some("one")).await;
                assert_eq!(node.warm(id).await, "one");
            }
            let key = key(id);
            let way: Vec<_> = way
                .iter()
                .map(|word| if *word == "KEY" { &key } else { *word })
                .collect();
            cluster.nodes[master].cli(&way);
            tokio::time::sleep(BEYOND).await;
            let found = node.get(id).await;
            assert_eq!(found.as_deref(), then.map(str::as_bytes), "{way:?}");
            if way[0] != "FLUSHALL" || master != home(&cluster) {
                let before = node.hits();
                for id in ids.iter().filter(|other| *other != id) {
                    assert_eq!(node.get(id).await.unwrap(), "one");
                }
                assert_eq!(node.hits() - before, 2, "{way:?} on {master}");
            }
        }
    }
}

#[tokio::test]
async fn an_invalidation_by_any_node_holds_on_all_when_it_returns() {
    let cluster = RedisCluster::start();
    let (a, b) = (
        NearNode::in_cluster(&cluster).await,
        NearNode::in_cluster(&cluster).await,
    );
    let plain = NearNode::of(RedisStore::cluster([cluster.nodes[0].url()]).connect().await.unwrap());
    let ids = ids(&cluster);
    for node in [&a, &b] {
        node.settled(&cluster).await;
    }
    for round in 0..20 {
        for node in [&a, &b, &plain] {
            for id in &ids {
                a.compute(id, "value").await;
                a.warm(id).await;
                b.warm(id).await;
                node.memo.invalidate(id.as_str()).await.unwrap();
                assert_eq!((a.get(id).await, b.get(id).await), (None, None), "{round}");
            }
        }
    }
    // All of them answer: the call does not wait for the lag.
    for node in [&a, &b, &plain] {
        let stats = node.store.stats().near;
        assert_eq!(stats.outwaited, 0);
        assert!(stats.acknowledged >= 60, "{stats:?}");
    }
}

#[tokio::test]
async fn an_invalidation_by_tag_or_of_all_holds_on_all_nodes_when_it_returns() {
    let cluster = RedisCluster::start();
    let (a, b) = (
        NearNode::in_cluster(&cluster).await,
        NearNode::in_cluster(&cluster).await,
    );
    let (a, b) = (a.stamped(), b.stamped());
    let ids = ids(&cluster);
    for round in 0..20 {
        for id in &ids {
            a.compute(id, "value").await;
            a.warm(id).await;
            b.warm(id).await;
        }
        match round % 3 {
            1 => {
                cluster.nodes[home(&cluster)].cli(&["DEL", "t/gen:{t}"]);
                b.memo.invalidate_tags(["whatever"])
            }
            _ => b.memo.invalidate_all(),
        }
        .await
        .unwrap();
        for id in &ids {
            assert_eq!((a.get(id).await, b.get(id).await), (None, None), "{round}");
        }
    }
}

/// A connection that is told of changes is no subscriber, except at home.
#[tokio::test]
async fn a_killed_connection_for_notifications_ends_copies_and_they_come_back() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    let ids = ids(&cluster);
    for (master, id) in ids.iter().enumerate() {
        let redis = &cluster.nodes[master];
        redis.cli(&["SET", &key(id), "0"]);
        for round in 1..4 {
            node.warm(id).await;
            let killed = tracking(redis);
            assert_eq!(killed.len(), 1);
            redis.cli(&["CLIENT", "KILL", "ID", &killed[0]]);
            let value = round.to_string();
            redis.cli(&["SET", &key(id), &value]);
            tokio::time::sleep(BEYOND).await;
            assert_eq!(node.get(id).await.unwrap(), value);
        }
        assert_eq!(node.warm(id).await, "3");
    }
}

/// Copies from a node rely on it, and all on the home of their tag.
#[tokio::test]
async fn a_node_that_says_nothing_ends_copies_within_the_lag() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    let ids = ids(&cluster);
    for silent in 0..3 {
        for id in &ids {
            node.compute(id, "one").await;
            node.warm(id).await;
        }
        cluster.nodes[silent].cli(&["CLIENT", "PAUSE", "6000", "ALL"]);
        tokio::time::sleep(BEYOND).await;
        for (master, id) in ids.iter().enumerate() {
            let before = node.hits();
            // Computed anew where Redis does not answer.
            node.compute(id, "one").await;
            let is_near = node.hits() > before;
            assert_eq!(
                is_near,
                master != silent && silent != home(&cluster),
                "{master}, {silent}"
            );
        }
        within("the end of the pause", async {
            while node.get(&ids[silent]).await.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
}

/// The others may have replaced it.
#[tokio::test]
async fn a_node_that_is_cut_off_from_the_others_gives_no_lease() {
    let cluster = RedisCluster::start();
    let node = NearNode::in_cluster(&cluster).await;
    let id = cluster.id_on(home(&cluster), "{x #}");
    node.compute(&id, "one").await;
    node.warm(&id).await;
    let alone = &cluster.nodes[home(&cluster)];
    let others = || cluster.nodes.iter().filter(|other| other.port() != alone.port());
    others().for_each(RedisServer::stop);
    eventually("a node out of use", || {
        alone.cli(&["CLUSTER", "INFO"]).contains("cluster_state:fail")
    })
    .await;
    tokio::time::sleep(BEYOND).await;
    let before = node.hits();
    for _ in 0..20 {
        node.compute(&id, "one").await;
    }
    assert_eq!(node.hits(), before);
    others().for_each(RedisServer::cont);
}

#[tokio::test]
async fn one_that_is_gone_is_waited_for_once() {
    let cluster = RedisCluster::start();
    let (gone, node) = (
        NearNode::in_cluster(&cluster).await,
        NearNode::in_cluster(&cluster).await,
    );
    let redis = &cluster.nodes[home(&cluster)];
    let id = &ids(&cluster)[0];
    for node in [&gone, &node] {
        node.settled(&cluster).await;
    }
    drop(gone);
    eventually("one listener", || {
        redis.cli(&["PUBSUB", "SHARDNUMSUB", "t/ctl:{t}/near"]).ends_with("\n1")
    })
    .await;
    let since = Instant::now();
    node.memo.invalidate(id.as_str()).await.unwrap();
    assert!(since.elapsed() >= LAG, "{:?}", since.elapsed());
    eventually("one member", || redis.cli(&["ZCARD", "t/gen:{t}/near"]) == "1").await;
    let since = Instant::now();
    node.memo.invalidate(id.as_str()).await.unwrap();
    assert!(since.elapsed() < LAG / 2, "{:?}", since.elapsed());
}
