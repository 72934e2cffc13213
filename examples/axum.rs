//! The layer on an axum router.
//!
//! ```text
//! cargo run --example axum
//! curl -i http://127.0.0.1:3000/report/42    # takes two seconds
//! curl -i http://127.0.0.1:3000/report/42    # takes none: see the Age header
//! ```

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
// A `println!` that does not panic when standard output is closed.
use support::println;
use tokio::net::TcpListener;
use tower::BoxError;
use tower_memolock::{MemoLockLayer, MemoryStore};

const USAGE: &str = "\
Usage: axum [--listen ADDR]

Serves /report/{id}, which is stored for 30 seconds, /rates for one second, and /now, which is not.

  --listen ADDR   where to listen; port 0 takes a free one   [default: 127.0.0.1:3000]
  --help          this text";

/// Expensive: without the layer, ten impatient readers cost ten of these.
async fn report(Path(id): Path<u32>) -> String {
    println!("rendering report {id}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    format!("report {id}\n")
}

async fn rates() -> &'static str {
    println!("looking up the rates");
    "1 EUR = 1.08 USD\n"
}

/// Different each time: no layer for this one.
async fn now() -> String {
    format!("{:?}\n", SystemTime::now())
}

#[tokio::main]
async fn main() -> ExitCode {
    let address = support::read_listen(USAGE, "127.0.0.1:3000");
    support::exit_code(serve(address).await)
}

async fn serve(address: SocketAddr) -> Result<(), BoxError> {
    // With `RedisStore::connect("redis://127.0.0.1/").await` instead, every process that does the same shares.
    let store = MemoryStore::new();

    // One store, and one layer for each way of treating a response.
    let reports = MemoLockLayer::new(store.clone(), "report").ttl(Duration::from_secs(30));
    let rates_layer = MemoLockLayer::new(store, "rates").ttl(Duration::from_secs(1));
    let handles = [reports.handle(), rates_layer.handle()];

    let app = Router::new()
        .route("/report/{id}", get(report).layer(reports))
        .route("/rates", get(rates).layer(rates_layer))
        .route("/now", get(now));

    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let (stop, leave, overdue) = (support::shutdown(), support::shutdown(), support::overdue());
    println!("listening on http://{}", listener.local_addr()?);
    let leave = async {
        leave.await;
        // Over Redis, what takes longer is taken over by another process, before this one is gone.
        let grace = support::GRACE_OF_LEASES;
        tokio::join!(handles[0].shutdown(grace), handles[1].shutdown(grace));
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = axum::serve(listener, app).with_graceful_shutdown(stop) => Ok(result?),
        () = leave => Ok(()),
        () = overdue => Ok(()),
    }
}
