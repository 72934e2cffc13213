//! `RedisStore::cluster`: wherever a slot is, the store finds it.

mod moves;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tower_memolock::store::{Notice, Store, Token, Value, Watch};
use tower_memolock::{Address, Key, MemoLock, RedisStore, StoreErrorKind, Tag};

use crate::acl;
use crate::support::{
    Fleet, HttpClient, Node, Origin, PATIENCE, RedisCluster, RedisServer, Reply, eventually, until, within,
};
use tower_memolock::store::contract::{self, for_each_clause};

const TIMEOUT: Duration = Duration::from_millis(500);
const LEASE: Duration = Duration::from_secs(20);

/// An id as the middleware derives them, and one as it is given to the letter.
const SHAPES: [&str; 2] = ["{GET /#}", "{#}"];

async fn connect(cluster: &RedisCluster) -> RedisStore {
    // One seed is enough, be it a replica.
    let builder = RedisStore::cluster([cluster.nodes[5].url()]).timeout(TIMEOUT);
    builder.connect().await.expect("a store")
}

async fn fleet(cluster: &RedisCluster) -> Fleet {
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(connect(cluster).await);
    }
    Fleet::new(stores)
}

fn address(id: &str) -> Address {
    Address::new(&Tag::new("t").expect("a tag"), &Key::new(id).expect("a key"))
}

async fn reread(watch: &mut impl Watch) {
    let notice = within("a notice", watch.next()).await;
    assert!(matches!(notice, Notice::Reread), "{notice:?}");
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_on_a_cluster() {
    let cluster = RedisCluster::start();
    let two = RedisStore::cluster([cluster.nodes[0].url()]).connect().await;
    let (one, two) = (connect(&cluster).await, two.expect("a store"));
    macro_rules! run {
        ($($clause:ident)*) => {$(
            println!("{}", stringify!($clause));
            contract::$clause(one.clone(), two.clone()).await;
            for master in &cluster.nodes[..3] {
                master.cli(&["FLUSHALL"]);
            }
        )*};
    }
    for_each_clause!(run);
}

/// Has `trouble` come over a fleet under load, which ends with another master in the place of the first.
async fn under_load(cluster: &mut RedisCluster, trouble: impl FnOnce(&mut RedisCluster)) {
    let fleet = fleet(cluster).await;
    fleet
        .under_load(cluster, trouble, |cluster| cluster.has_promoted(3))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_killed_under_load_is_followed_by_its_replica() {
    under_load(&mut RedisCluster::start(), |cluster| cluster.lose(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_frozen_under_load_is_followed_by_its_replica() {
    let mut cluster = RedisCluster::start();
    let freeze = |cluster: &mut RedisCluster| {
        cluster.let_fail_over();
        cluster.nodes[0].stop();
    };
    under_load(&mut cluster, freeze).await;
    cluster.nodes[0].cont();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_load_leads_to_the_new_master() {
    let fail_over = |cluster: &mut RedisCluster| assert_eq!(cluster.nodes[3].cli(&["CLUSTER", "FAILOVER"]), "OK");
    under_load(&mut RedisCluster::start(), fail_over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_without_a_master_is_out_of_use_and_no_other() {
    let mut cluster = RedisCluster::start();
    let fleet = fleet(&cluster).await;
    let store = connect(&cluster).await;
    fleet.share_again().await;
    let ids: Vec<_> = (0..3).map(|node| cluster.id_on(node, "{dead #}")).collect();
    let mut watch = store.watch(&address(&ids[0]));
    reread(&mut watch).await;
    let epoch = store.epoch();
    for node in [3, 0] {
        cluster.nodes[node].kill();
    }
    reread(&mut watch).await;
    let failed = || async { store.lookup(&address(&ids[0])).await.err().map(|error| error.kind()) };
    within("the breaker", async {
        while failed().await != Some(StoreErrorKind::Unavailable) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Counted by the task that connects again, which may be a little later.
    eventually("an outage that is counted", || !store.stats().commands.connected).await;
    let since = Instant::now();
    for _ in 0..200 {
        assert_eq!(failed().await, Some(StoreErrorKind::Unavailable));
    }
    for _ in 0..200 {
        for id in &ids[1..] {
            store.lookup(&address(id)).await.expect("an answer from another shard");
        }
    }
    assert!(since.elapsed() < TIMEOUT * 4, "{:?}", since.elapsed());
    for round in 0..5 {
        for (node, id) in ids.iter().enumerate() {
            let id = format!("{id}{round}");
            fleet.ask(&id).await;
            // Three processes, of which each computes once where they cannot share.
            let computed = fleet.computed(&id);
            assert!(computed == 1 || node == 0 && computed <= 3, "{id}: {computed}");
        }
    }
    cluster.nodes[0].restart();
    until("the shard", async || store.lookup(&address(&ids[0])).await.is_ok()).await;
    reread(&mut watch).await;
    assert_ne!(store.epoch(), epoch);
    eventually("all connections", || {
        store.stats().commands.connected && store.stats().notifications.connected
    })
    .await;
    fleet.share_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn derived_ids_are_sharded_and_literal_ones_reach_the_family() {
    let cluster = RedisCluster::start();
    let store = connect(&cluster).await;
    for (shape, command, what) in [
        (SHAPES[0], "SPUBLISH", "SHARDCHANNELS"),
        (SHAPES[1], "PUBLISH", "CHANNELS"),
    ] {
        let id = cluster.id_on(1, shape);
        let mut watch = store.watch(&address(&id));
        reread(&mut watch).await;
        let channels = cluster.nodes[1].cli(&["PUBSUB", what]);
        for channel in [format!("t/notif:{id}"), format!("t/ctl:{id}")] {
            assert!(channels.contains(&channel), "{channel} in {channels}");
        }
        // A client may publish to a plain channel on any node, and to a sharded one on its own.
        let node = if command == "PUBLISH" { 2 } else { 1 };
        cluster.nodes[node].cli(&[command, &format!("t/notif:{id}"), "foreign"]);
        assert!(matches!(within("a notice", watch.next()).await, Notice::Announced));
    }
    for node in &cluster.nodes {
        let clients = node.cli(&["CLIENT", "LIST"]);
        for client in clients.lines().filter(|client| client.contains("resp=2")) {
            assert!(
                client.contains(" sub=0 psub=0 ssub=0 "),
                "a subscription among commands: {client}"
            );
        }
        eventually("an end of the subscriptions", || {
            let sharded = node.cli(&["PUBSUB", "SHARDCHANNELS"]);
            sharded.is_empty() && node.cli(&["PUBSUB", "CHANNELS", "t/*"]).is_empty()
        })
        .await;
    }
}

/// What the documentation adds to the user in a cluster.
const RULES: &str = "+spublish +ssubscribe +sunsubscribe +asking +cluster|info +cluster|slots";

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_user_is_enough_and_what_is_missing_is_named() {
    assert!(include_str!("../../src/store/redis/store.rs").contains(&format!("`{RULES}`")));
    let cluster = RedisCluster::start();
    let rules: Vec<_> = acl::RULES.into_iter().chain(RULES.split(' ')).collect();
    let connect_with = async |rules: &[&str]| {
        for node in &cluster.nodes {
            let user = ["ACL", "SETUSER", "memo", "reset", "on", ">secret"];
            node.cli(&[&user, rules].concat());
        }
        let url = cluster.nodes[4].url().replace("://", "://memo:secret@");
        RedisStore::cluster([url]).timeout(TIMEOUT).connect().await
    };
    for missing in RULES.split(' ') {
        let rest: Vec<_> = rules.iter().copied().filter(|rule| *rule != missing).collect();
        let error = connect_with(&rest).await.expect_err(missing);
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{missing}");
        assert!(chain(&error).contains(missing), "{missing}: {}", chain(&error));
    }
    let (one, two) = (connect_with(&rules).await, connect_with(&rules).await);
    let (one, two) = (one.expect("a store"), two.expect("a store"));
    one.check(&Tag::new("contract").expect("a tag"))
        .await
        .expect("all permissions");
    one.check(&Tag::new("other").expect("a tag"))
        .await
        .expect_err("another tag");
    contract::a_commit_is_heard_by_all_watchers(one.clone(), two.clone()).await;
    contract::every_kind_of_release_is_heard(one, two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_together_is_refused_in_words() {
    let cluster = RedisCluster::start();
    let alone = RedisServer::start();
    let error = RedisStore::cluster([alone.url()])
        .connect()
        .await
        .expect_err("no cluster");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(chain(&error).contains("not in cluster mode"), "{}", chain(&error));

    let store = RedisStore::connect(&cluster.nodes[0].url()).await.expect("a store");
    let elsewhere = address(&cluster.id_on(1, "{#}"));
    let error = store.lookup(&elsewhere).await.expect_err("another node's key");
    assert!(chain(&error).contains("use `RedisStore::cluster`"), "{}", chain(&error));

    let store = connect(&cluster).await;
    let error = store.lookup(&address("kristoff")).await.expect_err("no hash tag");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    assert!(chain(&error).contains("`t:{kristoff}`"), "{}", chain(&error));
    let token = Token::random();
    let error = store
        .acquire(&address("{}"), token, LEASE)
        .await
        .expect_err("no hash tag");
    assert_eq!(error.kind(), StoreErrorKind::Config);
    reread(&mut store.watch(&address("kristoff"))).await;
    let memo = MemoLock::new(store, "t");
    let answer = memo.get_or_compute("kristoff", || async { Ok::<_, std::io::Error>("42".into()) });
    assert_eq!(answer.await.expect("an answer"), "42");

    let frozen = cluster.nodes[5].url();
    cluster.nodes[5].stop();
    let nobody = ["redis://127.0.0.1:1".to_owned(), frozen];
    let builder = RedisStore::cluster(nobody).connect_timeout(Duration::from_millis(200));
    let store = builder.connect().await.expect("a store that goes on trying");
    let error = store.lookup(&address("{a}")).await.expect_err("no node there");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    cluster.nodes[5].cont();
    until("the cluster", async || store.lookup(&address("{a}")).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_answer_through_the_death_of_a_master() {
    let mut cluster = RedisCluster::start();
    let origin = Origin::start(|call| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Reply::fresh(call.uri.to_string())
    })
    .await;
    let urls = cluster.urls();
    let mut flags = vec!["--cluster", "--lease", "2s"];
    flags.extend(urls.iter().take(2).flat_map(|url| ["--redis", url.as_str()]));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::reverse_proxy(&origin.url(), &flags).await);
    }
    let ask = async |path: &str| {
        let urls: Vec<_> = nodes.iter().cycle().take(30).map(|node| node.url(path)).collect();
        for answer in HttpClient::http1().get_all(&urls).await {
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.text()), (200, path));
        }
    };
    for path in (0..6).map(|n| format!("/before/{n}")) {
        ask(&path).await;
        assert_eq!(origin.calls(&path), 1, "{path}");
    }
    cluster.lose(0);
    let deadline = Instant::now() + Duration::from_secs(15);
    for n in 0.. {
        let paths: Vec<_> = (0..6).map(|path| format!("/through/{n}/{path}")).collect();
        join_all(paths.iter().map(|path| ask(path))).await;
        if cluster.has_promoted(3) && paths.iter().all(|path| origin.calls(path) == 1) {
            break;
        }
        assert!(Instant::now() < deadline, "the nodes do not share again");
    }
    for path in (0..12).map(|n| format!("/after/{n}")) {
        ask(&path).await;
        assert_eq!(origin.calls(&path), 1, "{path}");
    }
}
