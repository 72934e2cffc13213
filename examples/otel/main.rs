//! Followers and hits, linked to what computed their response, with OpenTelemetry.
//!
//! ```text
//! cargo run --example otel -- --listen 127.0.0.1:3000 --redis redis://127.0.0.1 --node one
//! cargo run --example otel -- --listen 127.0.0.1:3001 --redis redis://127.0.0.1 --node two
//! curl http://127.0.0.1:3000/report/42 & curl http://127.0.0.1:3001/report/42
//! ```
//!
//! Any collector that takes OTLP over HTTP shows a request on one node that led, and a request on the
//! other whose `memolock_lookup` is linked to the lookup of the first. So is that of every later hit.
//!
//! `bridge.rs` is what a program of your own needs; `spans.rs` is OpenTelemetry as everywhere.

mod bridge;
mod options;
mod spans;

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::middleware::from_fn;
use axum::routing::get;
use tokio::net::TcpListener;
use tower::BoxError;
use tower_memolock::{AnyStore, MemoLockLayer, MemoryStore, RedisStore, Store};

use self::options::Options;

/// Takes long enough for another client to ask for the same.
#[tracing::instrument]
async fn render(id: u32) -> String {
    tokio::time::sleep(Duration::from_secs(1)).await;
    format!("report {id}\n")
}

#[tokio::main]
async fn main() -> ExitCode {
    support::exit_code(run(Options::from_args()).await)
}

async fn run(options: Options) -> Result<(), BoxError> {
    let store: AnyStore = match &options.redis {
        Some(url) => RedisStore::connect(url).await?.into_any(),
        None => MemoryStore::new().into_any(),
    };
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    let address = listener.local_addr()?;
    let provider = spans::export(&options)?;

    let reports = MemoLockLayer::new(store, "report")
        .ttl(Duration::from_secs(60))
        // The servers have different addresses and do the same work.
        .without_authority();
    let handle = reports.handle();
    let app = Router::new()
        .route("/report/{id}", get(|Path(id)| render(id)))
        .layer(reports)
        .layer(from_fn(spans::in_a_span));

    let (stop, overdue) = (support::shutdown(), support::overdue());
    support::println!("listening on http://{address}");
    tokio::select! {
        result = axum::serve(listener, app).with_graceful_shutdown(stop) => result?,
        () = overdue => {}
    }
    handle.shutdown(support::GRACE_OF_LEASES).await;
    // Sends what has not been sent yet; on a thread of its own, because it blocks.
    tokio::task::spawn_blocking(move || provider.shutdown()).await??;
    Ok(())
}
