//! Three nodes, a thousand requests at once, one slow handler: without the layer, with it, and once more when the
//! response is stored.
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- --redis redis://127.0.0.1
//! ```

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod nodes;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::read_args;
use tower::BoxError;
use tower_memolock::middleware::UriKey;
use tower_memolock::{MemoLockLayer, MemoryStore, RedisStore, Store};

use self::clients::{Round, ask_all};
use self::nodes::Nodes;

const NODES: usize = 3;
const REQUESTS: usize = 1000;
/// What one call of the handler costs.
const WORK: Duration = Duration::from_millis(500);

const USAGE: &str = "\
Usage: quickstart [--redis URL]

Starts three axum servers on free ports and sends them 1000 requests at once for the same slow
report: without the layer, with it, and once more when the report is stored.

  --redis URL   let the three share through this Redis, as three machines would; without it, and
                without REDIS_URL in the environment, through a store in this process
  --help        this text";

#[tokio::main]
async fn main() -> ExitCode {
    let url = read_args(USAGE, |args| {
        let mut url = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
        while let Some(flag) = args.next()? {
            match flag {
                "--redis" => url = Some(args.redis_url()?),
                _ => return Err(args.unknown()),
            }
        }
        Ok(url)
    });
    let calls = tokio::select! {
        calls = demonstrate(url) => calls,
        () = support::shutdown() => return ExitCode::FAILURE,
    };
    match calls {
        Ok(1) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            support::print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate(url: Option<String>) -> Result<usize, BoxError> {
    match url {
        Some(url) => {
            println!("three nodes share through {}", without_password(&url));
            let mut stores = Vec::new();
            for _ in 0..NODES {
                stores.push(RedisStore::connect(&url).await?);
            }
            run(stores).await
        }
        None => {
            println!("three nodes share a store in this process (--redis URL for a Redis)");
            run(vec![MemoryStore::new(); NODES]).await
        }
    }
}

async fn run<St: Store>(stores: Vec<St>) -> Result<usize, BoxError> {
    let calls = Arc::new(AtomicUsize::new(0));
    // Nobody has asked for this one before, so that a Redis from an earlier run has no answer yet.
    let path = format!("/report/{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos());

    let bare = Nodes::start(&calls, WORK, (0..NODES).map(|_| tower::layer::util::Identity::new())).await?;
    let without = ask_all("without the layer", &bare, &path, REQUESTS).await?;
    let calls_without = calls.swap(0, Ordering::SeqCst);

    // Three ports of one machine stand for three machines behind one name, so the name is left out of the key.
    let layers = stores.into_iter().map(|store| {
        MemoLockLayer::new(store, "quickstart")
            .key(UriKey::new().without_authority())
            .ttl(Duration::from_secs(60))
    });
    let nodes = Nodes::start(&calls, WORK, layers).await?;
    let with = ask_all("with the layer", &nodes, &path, REQUESTS).await?;
    let calls_with = calls.swap(0, Ordering::SeqCst);
    let warm = ask_all("warm", &nodes, &path, REQUESTS).await?;
    let calls_warm = calls.load(Ordering::SeqCst);

    println!("\n{:18} {:>13} {:>9} {:>9}", "", "handler calls", "p50", "p99");
    print_row("without the layer", calls_without, &without);
    print_row("with the layer", calls_with, &with);
    print_row("warm", calls_warm, &warm);
    let calls = calls_with + calls_warm;
    let noun = if calls == 1 { "call" } else { "calls" };
    println!("\n{REQUESTS} requests on {NODES} nodes: {calls_with} upstream {noun}");
    Ok(calls)
}

fn print_row(name: &str, calls: usize, round: &Round) {
    let (p50, p99) = (round.percentile(50), round.percentile(99));
    println!(
        "{name:18} {calls:>13} {:>6} ms {:>6} ms",
        p50.as_millis(),
        p99.as_millis()
    );
}

fn without_password(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, host)| host)
}
