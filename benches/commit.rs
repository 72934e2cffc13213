//! For how long a commit keeps Redis busy, which serves one command at a time, beside a `SET` of the same bytes.
//!
//! That is the CPU time of the one thread that serves commands, the network included, as Redis says (`INFO cpu`). Needs
//! `redis-server` on the path.

mod support;

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use support::{KIB, KIB_64, MIB, RedisServer, Rounds, Table, Target, runtime};
use tower_memolock::store::{Token, Value};
use tower_memolock::{Address, Key, RedisStore, Store, Tag};

/// How often both are measured.
const ROUNDS: usize = 20;

/// How many values are stored in a round.
const VALUES: usize = 20;

const TTL: Duration = Duration::from_secs(60);

/// The CPU time of the thread that serves commands, since the server started.
async fn busy(connection: &mut MultiplexedConnection) -> Duration {
    let figures: String = redis::cmd("INFO")
        .arg("cpu")
        .query_async(connection)
        .await
        .expect("figures");
    let seconds = ["user", "sys"].map(|kind| {
        let name = format!("used_cpu_{kind}_main_thread:");
        let line = figures.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|text| text.parse().ok()).expect("a figure")
    });
    Duration::from_secs_f64(seconds.iter().sum())
}

/// Stores values by `SET`.
async fn set(connection: &mut MultiplexedConnection, bytes: &[u8]) -> Duration {
    let before = busy(connection).await;
    for n in 0..VALUES {
        let mut set = redis::cmd("SET");
        set.arg(format!("floor-{n}")).arg(bytes).arg("PX").arg(60_000);
        set.exec_async(connection).await.expect("an answer");
    }
    busy(connection).await - before
}

/// Commits values. To take the locks is not part of it.
async fn commit(store: &RedisStore, connection: &mut MultiplexedConnection, bytes: &[u8]) -> Duration {
    let tag = Tag::new("commit").expect("a tag");
    let at = |n: usize| Address::new(&tag, &Key::builder().part("GET").part(n.to_string()).build());
    let tokens: Vec<_> = (0..VALUES).map(|_| Token::random()).collect();
    for (n, token) in tokens.iter().enumerate() {
        store.invalidate(&at(n)).await.expect("an answer");
        store.acquire(&at(n), *token, TTL).await.expect("a lock");
    }
    let before = busy(connection).await;
    for (n, token) in tokens.iter().enumerate() {
        let value = Value::encoded(bytes.to_vec());
        assert!(store.commit(&at(n), *token, &value, TTL).await.expect("an answer"));
    }
    busy(connection).await - before
}

fn main() {
    let server = RedisServer::start();
    let runtime = runtime();
    let mut table = Table::new("Redis's time to store a value");
    runtime.block_on(async {
        let store = RedisStore::connect(&server.url()).await.expect("a store");
        let mut connection = server.connect().await;
        for (name, size) in [KIB, ("32 KiB", 32 * 1024), KIB_64, ("65 KiB", 65 * 1024), MIB] {
            let bytes = vec![b'x'; size];
            let mut rounds = Rounds::default();
            commit(&store, &mut connection, &bytes).await;
            for _ in 0..ROUNDS {
                let floor = set(&mut connection, &bytes).await;
                let ours = commit(&store, &mut connection, &bytes).await;
                rounds.add(VALUES, floor, ours);
            }
            table.row(name, &rounds, Target::None);
        }
    });
    table.print();
}
