//! The layer on an axum router.
//!
//! ```text
//! cargo run --example axum
//! curl -i http://127.0.0.1:3000/report/42    # takes two seconds
//! curl -i http://127.0.0.1:3000/report/42    # takes none: see the Age header
//! ```

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tower_memolock::{MemoLockLayer, MemoryStore};

/// Expensive: without the layer, ten impatient readers cost ten of these.
async fn report(Path(id): Path<u32>) -> String {
    println!("rendering report {id}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    format!("report {id}\n")
}

/// Depends on who asks and when: no layer for this one.
async fn now() -> String {
    format!("{:?}\n", std::time::SystemTime::now())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // With `RedisStore::connect("redis://127.0.0.1/").await` instead, every process that does the same shares.
    let store = MemoryStore::new();

    // One store, and one layer for each way of treating a response.
    let reports = MemoLockLayer::new(store.clone(), "report").ttl(Duration::from_secs(30));
    let rates = MemoLockLayer::new(store, "rates").ttl(Duration::from_secs(1));

    let app = Router::new()
        .route("/report/{id}", get(report).layer(reports))
        .route("/rates", get(|| async { "1 EUR = 1.08 USD\n" }).layer(rates))
        .route("/now", get(now));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(stop()).await
}

async fn stop() {
    // Without a signal handler the program runs until it is killed.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
