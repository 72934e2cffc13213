//! The same program with one layer.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tower_memolock::{MemoLockLayer, RedisStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = RedisStore::connect("redis://127.0.0.1/").await?;
    let layer = MemoLockLayer::new(store, "report").ttl(Duration::from_secs(30));
    let app = Router::new().route("/report", get(|| async { "a report\n" })).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app).await?)
}
