//! A reverse proxy for any HTTP server: however many ask for the same thing at once, on however many proxies, the
//! server is asked once.
//!
//! ```text
//! cargo run --example reverse_proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000
//! ```
//!
//! Give several of them `--redis redis://127.0.0.1` and they share. A request passes through
//!
//! 1. `server.rs`: hyper, HTTP/1 and HTTP/2;
//! 2. `rewrite.rs`: what a gateway must change, *before* the layer, so that all proxies build the same key;
//! 3. the layer;
//! 4. `upstream.rs`: hyper's client.

#[path = "../support/mod.rs"]
mod support;

mod connection;
mod options;
mod rewrite;
mod server;
mod upstream;

use std::process::ExitCode;

use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder};
use tracing_subscriber::filter::LevelFilter;

use self::options::Options;
use self::rewrite::Target;
use self::upstream::Upstream;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::from_args();
    let level = std::env::var("RUST_LOG").ok();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level.and_then(|l| l.parse().ok()).unwrap_or(LevelFilter::WARN))
        .init();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), BoxError> {
    let target = Target::new(options.upstream).ok_or("--upstream has no host")?;
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = ServiceBuilder::new()
        .map_request(move |request| target.rewrite(request))
        .service(Upstream::new());
    server::serve(listener, service).await;
    Ok(())
}
