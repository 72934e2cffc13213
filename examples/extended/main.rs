//! The demo of the memolock family: queries, reports whose lease has to be renewed, and promises that another program
//! resolves.
//!
//! ```text
//! cargo run --example extended -- --listen 127.0.0.1:8080 --redis redis://127.0.0.1
//! ```
//!
//! Start several, and the other members of the family too: a client that asks any of them gets the same answer, from one
//! computation. You alone tell the joke:
//!
//! ```text
//! curl http://127.0.0.1:8080/ext/joke &
//! redis-cli SET ext:joke 700 EX 10
//! redis-cli PUBLISH ext/notif:joke 700
//! ```
//!
//! 1. `resources.rs`: what is computed, and by which program;
//! 2. `routes.rs`: under which paths;
//! 3. `worker.rs`: a program that resolves a promise with nothing but a Redis client.

mod options;
mod resources;
mod routes;
mod worker;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tower::BoxError;
use tower_memolock::RedisStore;
use tracing_subscriber::filter::LevelFilter;

use self::options::Options;
use self::resources::Resources;
use support::{GRACE_OF_LEASES, overdue, println, shutdown};

/// How long what no client waits for any more may keep the program from ending.
const DRAIN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::from_args();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_max_level(LevelFilter::WARN)
        .init();
    let result = match options {
        Options::Serve { listen, redis } => serve(listen, &redis).await,
        Options::Work { word, redis } => worker::stem(&word, &redis).await,
    };
    support::exit_code(result)
}

async fn serve(listen: SocketAddr, redis: &str) -> Result<(), BoxError> {
    let resources = Resources::new(&RedisStore::connect(redis).await?, redis);
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|e| format!("cannot listen on {listen}: {e}"))?;
    let (stop, leave, overdue) = (shutdown(), shutdown(), overdue());
    println!("listening on http://{}", listener.local_addr()?);

    let leave = async {
        leave.await;
        // What takes longer is taken over by another node.
        resources.shutdown(GRACE_OF_LEASES).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = axum::serve(listener, routes::all(resources.clone())).with_graceful_shutdown(stop) => result?,
        () = leave => {}
        () = overdue => {}
    }
    // What no client waits for any more may come to its end.
    resources.shutdown(DRAIN).await;
    Ok(())
}
