//! Near copies: a hit on one beside a hit in a `MemoryStore`, and what writes and invalidations cost the nodes that keep them.
//!
//! One request at a time, requests made beforehand; the connections have workers of their own. Needs `redis-server` on the
//! path.

mod support;

use std::time::{Duration, Instant};

use support::{KEYS, KIB, RedisServer, Rounds, Table, Target, get, handler, median, runtime, serve};
use tower::Layer;
use tower_memolock::{MemoLock, MemoLockLayer, MemoryStore, RedisStore};

const TURN: usize = 256;
const TURNS: usize = 2_000;
const TTL: Duration = Duration::from_secs(3600);

fn main() {
    let (server, runtime) = (RedisServer::start(), runtime());
    let mut table = Table::new("near hit, and a hit in memory");
    runtime.block_on(async {
        hits(&server, &mut table).await;
        for nodes in [3, 100] {
            writes(&server, nodes, &mut table).await;
        }
    });
    table.print();
}

async fn near(server: &RedisServer) -> RedisStore {
    let store = RedisStore::builder(server.url()).near(16 << 20);
    store.connect().await.expect("a store")
}

async fn hits(server: &RedisServer, table: &mut Table) {
    let (name, size) = KIB;
    let store = near(server).await;
    let memory = MemoLockLayer::new(MemoryStore::new(), "memory")
        .ttl(TTL)
        .layer(handler(size));
    let ours = MemoLockLayer::new(store.clone(), "near").ttl(TTL).layer(handler(size));
    let (mut memory, mut ours) = (memory, ours);
    while store.stats().near.copies < KEYS as u64 {
        let requests = || (0..KEYS).map(get).collect();
        serve(&mut memory, requests(), size).await;
        serve(&mut ours, requests(), size).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut rounds, mut late) = (Rounds::default(), 0);
    for _ in 0..TURNS {
        let requests = || (0..TURN).map(|n| get(n % KEYS)).collect();
        let before = store.stats().near.hits;
        let (time_memory, time_ours);
        if rounds.floor_first() {
            time_memory = serve(&mut memory, requests(), size).await;
            time_ours = serve(&mut ours, requests(), size).await;
        } else {
            time_ours = serve(&mut ours, requests(), size).await;
            time_memory = serve(&mut memory, requests(), size).await;
        }
        match store.stats().near.hits - before {
            hits if hits == TURN as u64 => rounds.add(TURN, time_memory, time_ours),
            hits => late += TURN as u64 - hits,
        }
    }
    table.row(name, &rounds, Target::Times(1.15));
    table.note(format!(
        "{late} of {} requests were late and went to Redis",
        TURN * TURNS
    ));
}

/// What each of so many nodes hears of a write, and how long an invalidation takes.
async fn writes(server: &RedisServer, nodes: usize, table: &mut Table) {
    const WRITES: u64 = 1_000;
    let tag = format!("writes{nodes}");
    let mut stores = Vec::new();
    for _ in 0..nodes {
        stores.push(near(server).await);
    }
    let memos: Vec<_> = stores
        .iter()
        .map(|store| MemoLock::new(store.clone(), tag.as_str()))
        .collect();
    let mut connection = server.connect().await;
    let write = |n: u64| redis::cmd("SET").arg(format!("{tag}:key")).arg(n).to_owned();
    let _: () = write(0).query_async(&mut connection).await.expect("a write");
    for (store, memo) in stores.iter().zip(&memos) {
        while store.stats().near.hits == 0 {
            memo.get("key").await.expect("a key");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let messages = || stores.iter().map(|store| store.stats().near.messages).sum::<u64>();
    let (before, since) = (messages(), Instant::now());
    for n in 0..WRITES {
        let _: () = write(n).query_async(&mut connection).await.expect("a write");
    }
    let took = since.elapsed();
    while messages() - before < WRITES * nodes as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let heard = (messages() - before) as f64 / (WRITES * nodes as u64) as f64;
    let mut times = Vec::new();
    for _ in 0..100 {
        let since = Instant::now();
        memos[0].invalidate("key").await.expect("an invalidation");
        times.push(since.elapsed().as_secs_f64() * 1e3);
    }
    table.note(format!(
        "{nodes} nodes: {heard:.2} messages a write and node, {:.0} writes/s one after the other; invalidation {:.2} ms",
        WRITES as f64 / took.as_secs_f64(),
        median(times),
    ));
}
