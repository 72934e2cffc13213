//! Programs that share a Redis server and not a database. Pub/Sub knows no databases.

use std::time::Duration;

use tower_memolock::store::{Lock, Notice, Release, Token, Value, Watch};
use tower_memolock::{Address, Key, MemoLock, RedisStore, RemoteError, Store, Tag};

use crate::support::{RedisServer, eventually, within};

const LEASE: Duration = Duration::from_secs(600);

/// None, by the builder, and by the URL.
async fn stores(redis: &RedisServer) -> [RedisStore; 3] {
    let second = format!("{}/2", redis.url().trim_end_matches('/'));
    let connected = [
        RedisStore::connect(&redis.url()).await,
        RedisStore::builder(redis.url()).database(1).connect().await,
        RedisStore::connect(&second).await,
    ];
    connected.map(|store| store.expect("a store"))
}

fn addresses() -> [Address; 2] {
    let derived = Key::builder().part("GET").part("/x").build();
    [Key::new("a").expect("a key"), derived].map(|key| Address::new(&Tag::new("t").expect("a tag"), &key))
}

/// What another program says to one database.
async fn say(redis: &RedisServer, database: usize, command: &[&str]) {
    let client = redis::Client::open(format!("{}/{database}", redis.url().trim_end_matches('/'))).expect("a url");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut said = redis::cmd(command[0]);
    said.arg(&command[1..]);
    let answer: redis::Value = said.query_async(&mut connection).await.expect("an answer");
    drop(answer);
}

async fn notice(watch: &mut impl Watch) -> Notice {
    within("a notice", watch.next()).await
}

/// Everything that a node can say about an address.
async fn say_everything(store: &RedisStore, at: &Address) {
    let value = Value::encoded("theirs");
    let lead = async || {
        let token = Token::random();
        let acquired = store.acquire(at, token, LEASE).await.expect("an answer");
        assert_eq!(acquired.lock, Lock::Granted);
        token
    };
    for release in [
        Release::Abandoned,
        Release::Broken { failures: 9 },
        Release::Stale,
        Release::Pass,
        Release::Shared(value.clone()),
        Release::Failed(RemoteError::new("theirs")),
    ] {
        assert!(store.release(at, lead().await, release).await.expect("an answer"));
    }
    let token = lead().await;
    assert!(store.defer(at, token, LEASE, 7).await.expect("an answer"));
    assert!(store.mark(at, token, &value, LEASE).await.expect("an answer"));
    store.resolve(at, &value, Duration::ZERO).await.expect("an answer");
    store.resolve(at, &value, LEASE).await.expect("an answer");
    store.invalidate(at).await.expect("an answer");
    let token = lead().await;
    assert!(store.commit(at, token, &value, LEASE).await.expect("an answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_in_one_database_is_believed_in_another() {
    let redis = RedisServer::start();
    let stores = stores(&redis).await;
    for at in addresses() {
        for here in 0..stores.len() {
            let mut watch = stores[here].watch(&at);
            assert!(matches!(notice(&mut watch).await, Notice::Reread));
            for there in (0..stores.len()).filter(|there| *there != here) {
                say_everything(&stores[there], &at).await;
            }
            // Ordered behind all of that.
            let token = Token::random();
            stores[here].acquire(&at, token, LEASE).await.expect("an answer");
            let own = Release::Failed(RemoteError::new("own"));
            assert!(stores[here].release(&at, token, own).await.expect("an answer"));
            loop {
                match notice(&mut watch).await {
                    // A reason to read, and nothing more.
                    Notice::Announced => assert!(stores[here].lookup(&at).await.expect("an answer").is_none()),
                    Notice::Released(Release::Failed(error)) if error.message() == "own" => break,
                    other => panic!("{at:?}, {here}: {other:?}"),
                }
            }
            for store in &stores {
                store.invalidate(&at).await.expect("an answer");
            }
        }
    }
}

/// Waiters in each database, with a leader in each: all get what was computed in theirs.
#[tokio::test(flavor = "multi_thread")]
async fn each_node_gets_the_value_of_its_own_database() {
    let redis = RedisServer::start();
    let stores = stores(&redis).await;
    for id in ["a", "{GET /x}"] {
        // Another program leads in each.
        for database in 0..stores.len() {
            say(
                &redis,
                database,
                &["SET", &format!("t/lock:{id}"), "theirs", "PX", "600000"],
            )
            .await;
        }
        let waiting = stores.each_ref().map(|store| {
            let memo = MemoLock::new(store.clone(), "t").wait_timeout(LEASE);
            tokio::spawn(async move {
                memo.get_or_compute(id, || async { Err(std::io::Error::other("here")) })
                    .await
            })
        });
        eventually("listeners in all databases", || {
            ["/ctl", "/ctl/1", "/ctl/2"].iter().all(|name| {
                redis
                    .cli(&["PUBSUB", "NUMSUB", &format!("t{name}:{id}")])
                    .ends_with("\n1")
            })
        })
        .await;
        // A worker does what the family does: it stores, and it publishes.
        for (number, waiting) in waiting.into_iter().enumerate() {
            let value = format!("of {number}");
            say(&redis, number, &["SET", &format!("t:{id}"), &value, "PX", "600000"]).await;
            say(&redis, number, &["PUBLISH", &format!("t/notif:{id}"), &value]).await;
            let answer = within("an answer", waiting).await.expect("no panic");
            assert_eq!(answer.expect("a value"), value, "{id}");
        }
    }
}
