//! `RedisStore::sentinel`: whichever server is the master, the store is there.

use std::time::{Duration, Instant};

use tower_memolock::store::{Notice, Store, Token, Value, Watch};
use tower_memolock::{Address, Key, RedisStore, StoreErrorKind, Tag};

use crate::support::{Fleet, HttpClient, MASTER, Node, Origin, RedisServer, Reply, Sentinel, Sentinels};
use crate::support::{eventually, until, within};
use tower_memolock::store::contract::{self, for_each_clause};

const TIMEOUT: Duration = Duration::from_millis(500);

async fn connect(urls: Vec<String>) -> RedisStore {
    let builder = RedisStore::sentinel(urls, MASTER).timeout(TIMEOUT);
    builder.connect().await.expect("a store")
}

async fn fleet(all: &Sentinels) -> Fleet {
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(connect(all.urls()).await);
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

/// A commit through `store` reaches `watch`, at the latest once both are with the same server.
async fn promise_works(store: &RedisStore, watch: &mut impl Watch) {
    let (at, token) = (address("a"), Token::random());
    let (lease, value) = (Duration::from_secs(20), Value::encoded("v"));
    within("a value that is heard", async {
        loop {
            if store.acquire(&at, token, lease).await.is_ok() {
                let _ = store.commit(&at, token, &value, lease).await;
            }
            while let Ok(notice) = tokio::time::timeout(Duration::from_millis(100), watch.next()).await {
                if matches!(notice, Notice::Announced) {
                    return;
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_behind_sentinels() {
    let all = Sentinels::start();
    let (one, two) = (connect(all.urls()).await, connect(all.urls()).await);
    macro_rules! run {
        ($($clause:ident)*) => {$(
            println!("{}", stringify!($clause));
            contract::$clause(one.clone(), two.clone()).await;
            all.servers[0].cli(&["FLUSHALL"]);
        )*};
    }
    for_each_clause!(run);
}

/// Has `trouble` come over a fleet under load.
async fn under_load(all: &mut Sentinels, trouble: impl FnOnce(&mut Sentinels)) {
    let fleet = fleet(all).await;
    fleet.under_load(all, trouble, Sentinels::has_failed_over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_killed_under_load_is_followed_by_the_next() {
    under_load(&mut Sentinels::start(), |all| all.servers[0].kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_frozen_under_load_is_followed_by_the_next() {
    let mut all = Sentinels::start();
    under_load(&mut all, |all| all.servers[0].stop()).await;
    all.servers[0].cont();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_under_load_leads_to_the_new_master() {
    under_load(&mut Sentinels::start(), |all| all.fail_over()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_store_leaves_a_demoted_master_with_both_planes() {
    let all = Sentinels::start();
    let (store, writer) = (connect(all.urls()).await, connect(all.urls()).await);
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    let epoch = store.epoch();
    all.fail_over();
    eventually("another master", || all.has_failed_over()).await;
    reread(&mut watch).await;
    reread(&mut watch).await;
    eventually("another epoch", || store.epoch() != epoch).await;
    promise_works(&writer, &mut watch).await;
    let left = || {
        let clients = all.servers[0].cli(&["CLIENT", "LIST"]);
        let sub = clients.lines().filter(|client| !client.contains(" sub=0")).count();
        // The sentinels have one of these each.
        sub <= all.sentinels.len()
    };
    eventually("no connection of ours to the demoted master", left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_was_not_told_of_its_successor_is_left() {
    succeed_silently(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_does_not_stay_behind() {
    // The connection for commands goes ahead, so it has no reason to warn the other connection.
    succeed_silently(|old| drop(old.cli(&["CLIENT", "KILL", "TYPE", "normal"]))).await;
}

/// Has all sentinels name another master, while the old one goes on as one.
async fn succeed_silently(and_then: impl FnOnce(&RedisServer)) {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let monitor = |server: &RedisServer| format!("sentinel monitor {MASTER} 127.0.0.1 {} 1\n", server.port());
    let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(&monitor(&old))).collect();
    let urls: Vec<_> = sentinels.iter().map(Sentinel::url).collect();
    let store = connect(urls).await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    let epoch = store.epoch();
    let port = new.port().to_string();
    for sentinel in &sentinels {
        sentinel.cli(&["SENTINEL", "REMOVE", MASTER]);
        sentinel.cli(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, "1"]);
    }
    and_then(&old);
    reread(&mut watch).await;
    reread(&mut watch).await;
    eventually("another epoch", || store.epoch() != epoch).await;
    promise_works(&store, &mut watch).await;
    assert_eq!(new.cli(&["GET", "t:a"]), "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_master_any_more_is_left_although_it_is_named() {
    let server = RedisServer::start();
    let sentinel = Sentinel::start(&format!("sentinel monitor {MASTER} 127.0.0.1 {} 1\n", server.port()));
    let store = connect(vec![sentinel.url()]).await;
    let mut watch = store.watch(&address("a"));
    reread(&mut watch).await;
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    // A replica would answer to this.
    until("an end to answers", async || store.lookup(&address("a")).await.is_err()).await;
    reread(&mut watch).await;
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    promise_works(&store, &mut watch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_are_dead_or_ignorant_do_not_matter() {
    let server = RedisServer::start();
    let knows = Sentinel::start(&format!("sentinel monitor {MASTER} 127.0.0.1 {} 1\n", server.port()));
    let (ignorant, frozen) = (Sentinel::start(""), Sentinel::start(""));
    frozen.stop();
    let dead = Sentinel::start("").url();
    let since = Instant::now();
    let store = connect(vec![dead.clone(), frozen.url(), ignorant.url(), knows.url()]).await;
    assert!(store.lookup(&address("a")).await.expect("an answer").is_none());
    assert!(since.elapsed() < Duration::from_secs(5));

    let builder = RedisStore::sentinel([dead, ignorant.url()], MASTER);
    let error = builder.connect().await.expect_err("no sentinel knows the master");
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(chain(&error).contains("`sentinel monitor`"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_servers_have_credentials_of_their_own() {
    let server = RedisServer::start();
    server.cli(&["ACL", "SETUSER", "node", "on", ">servers", "~*", "&*", "+@all"]);
    server.cli(&["CONFIG", "SET", "requirepass", "other"]);
    let sentinel = Sentinel::start(&format!(
        "requirepass sentinels\nsentinel monitor {MASTER} 127.0.0.1 {} 1\n",
        server.port()
    ));
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", sentinel.port());
    let builder = |password| {
        let builder = RedisStore::sentinel([url(password)], MASTER);
        builder.username("node").password("servers").database(2)
    };
    let store = builder("sentinels").connect().await.expect("a store");
    assert!(store.lookup(&address("a")).await.expect("an answer").is_none());
    for (builder, reason) in [
        (
            builder("wrong"),
            "no sentinel names a master: Redis rejects the user name or password",
        ),
        (
            builder("sentinels").password("wrong"),
            "with an error: Redis rejects the user name or password",
        ),
    ] {
        let error = builder.connect().await.expect_err("a wrong password");
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert!(chain(&error).contains(reason), "{}", chain(&error));
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_answer_through_the_death_of_a_master() {
    let mut all = Sentinels::start();
    let origin = Origin::start(|call| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Reply::fresh(call.uri.to_string())
    })
    .await;
    let urls = all.urls();
    let mut flags = vec!["--sentinel", MASTER, "--lease", "2s"];
    flags.extend(urls.iter().flat_map(|url| ["--redis", url.as_str()]));
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
    ask("/before").await;
    assert_eq!(origin.calls("/before"), 1);
    all.servers[0].kill();
    let deadline = Instant::now() + Duration::from_secs(15);
    for n in 0.. {
        let path = format!("/through/{n}");
        ask(&path).await;
        if all.has_failed_over() && origin.calls(&path) == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the nodes do not share again");
    }
    for path in (0..5).map(|n| format!("/after/{n}")) {
        ask(&path).await;
        assert_eq!(origin.calls(&path), 1, "{path}");
    }
}
