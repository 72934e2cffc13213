//! Three nodes, a thousand requests at once, one slow handler: without the layer, with it, and once more when the
//! response is stored.
//!
//! ```text
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --redis redis://127.0.0.1
//! ```

mod clients;
mod nodes;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

// A `println!` that does not panic when standard output is closed.
use support::{eprintln, println};
use tower::BoxError;
use tower::layer::util::Identity;
use tower_memolock::{MemoLockLayer, MemoryStore, RedisStore, Store, Tag};

use self::clients::{Clients, Round};
use self::nodes::Nodes;

const NODES: usize = 3;
const REQUESTS: usize = 1000;
/// What one call of the handler costs.
const WORK: Duration = Duration::from_millis(500);
/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first part of the names of all keys.
const TAG: &str = "quickstart";

const USAGE: &str = "\
Usage: quickstart [--redis URL]

Starts three axum servers on free ports and sends them 1000 requests at once for the same slow
report: without the layer, with it, and once more when the report is stored. Ends with 0 if the
report was made once, with 1 if not.

  --redis URL   let the three share through this Redis, as three machines would; without it, and
                without REDIS_URL in the environment, through a store in this process
  --help        this text";

#[tokio::main]
async fn main() -> ExitCode {
    let redis = support::read_args(USAGE, |args| {
        let mut redis = None;
        while let Some(flag) = args.next_flag()? {
            match flag {
                "--redis" => redis = Some(args.redis_url()?),
                _ => return Err(args.unknown()),
            }
        }
        redis.map_or_else(support::redis_url_of_environment, |url| Ok(Some(url)))
    });
    let stop = support::shutdown();
    let result = tokio::select! {
        result = demonstrate(redis) => result,
        () = stop => Err("stopped before the end".into()),
    };
    support::exit_code(result)
}

async fn demonstrate(redis: Option<String>) -> Result<(), BoxError> {
    let Some(url) = redis else {
        println!("three nodes share a store in this process (--redis URL for a Redis)\n");
        return run(vec![MemoryStore::new(); NODES]).await;
    };
    println!("three nodes share through the Redis at {}\n", without_password(&url));
    let mut stores = Vec::new();
    for _ in 0..NODES {
        // A thousand clients and all nodes share the cores of one machine here, so Redis gets more time to answer
        // than the second after which a node would help itself.
        stores.push(RedisStore::builder(&url).timeout(PATIENCE).connect().await?);
    }
    // To a store, a Redis that is down is no error: the nodes work without it. Here, it is worth a word.
    if let Err(error) = stores[0].check(&Tag::new(TAG)?).await {
        eprintln!("warning: no help from this Redis ({error}): each node will call its own handler\n");
    }
    run(stores).await
}

/// Fails if there was not one call.
async fn run<St: Store>(stores: Vec<St>) -> Result<(), BoxError> {
    let calls = Arc::new(AtomicUsize::new(0));
    // No request was for this one before, so that a Redis from an earlier run has no answer yet.
    let path = format!("/report/{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos());

    let bare = Nodes::start(&calls, WORK, std::iter::repeat_n(Identity::new(), NODES)).await?;
    let clients = Clients::new(&bare.addresses, REQUESTS);
    let without = clients.ask("without the layer", &path).await?;
    let calls_without = calls.swap(0, Ordering::SeqCst);

    // Three ports of one machine stand for three machines behind one name, so the name is left out of the key.
    let layers = stores.into_iter().map(|store| {
        MemoLockLayer::new(store, TAG)
            .without_authority()
            .ttl(Duration::from_secs(60))
    });
    let nodes = Nodes::start(&calls, WORK, layers).await?;
    let clients = Clients::new(&nodes.addresses, REQUESTS);
    let with = clients.ask("with the layer", &path).await?;
    let calls_with = calls.swap(0, Ordering::SeqCst);
    let warm = clients.ask("warm", &path).await?;
    let calls_warm = calls.swap(0, Ordering::SeqCst);
    eprintln!("");

    println!("{:17}  {:>13}  {:>8}  {:>8}", "", "handler calls", "p50", "p99");
    print_row("without the layer", calls_without, &without);
    print_row("with the layer", calls_with, &with);
    print_row("warm", calls_warm, &warm);
    let noun = if calls_with == 1 { "call" } else { "calls" };
    println!("\n{REQUESTS} requests on {NODES} nodes: {calls_with} upstream {noun}");
    match (calls_with, calls_warm) {
        (1, 0) => Ok(()),
        (1, _) => Err("the report was made again when it should have been stored".into()),
        _ => Err("it should have been one call: the nodes did not share".into()),
    }
}

fn print_row(name: &str, calls: usize, round: &Round) {
    let (p50, p99) = (round.percentile(50).as_millis(), round.percentile(99).as_millis());
    println!("{name:17}  {calls:>13}  {p50:>5} ms  {p99:>5} ms");
}

fn without_password(url: &str) -> &str {
    let host = url.rsplit_once('@').map_or(url, |(_, host)| host);
    host.rsplit_once("://").map_or(host, |(_, host)| host)
}
