//! A tonic server whose expensive method is memoized: however many clients call `Render` with the same request, on
//! however many of these servers, it runs once; body and trailing metadata reach all of them.
//!
//! ```text
//! cargo run --example tonic -- --listen 127.0.0.1:50051 --redis redis://127.0.0.1
//! ```
//!
//! The layer leaves every call alone unless its method is named: here `Render`, which may be repeated without harm.
//! `Watch` streams, and goes on doing so.
//!
//! `renderer.rs` is the service, which knows nothing of all this; `memolock.demo.v1.rs` is what tonic-prost-build makes
//! of `proto/reports.proto`.

mod demo {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
    include!("memolock.demo.v1.rs");
}
mod options;
mod renderer;

use std::process::ExitCode;
use std::time::Duration;

use demo::reports_server::{ReportsServer, SERVICE_NAME};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower::BoxError;
use tower::util::MapResponseLayer;
use tower_memolock::middleware::GrpcMethod;
use tower_memolock::{MemoLockLayer, MemoryStore, RedisStore, Store};

use self::options::Options;
use self::renderer::{Renderer, trailing_cost};

/// How long what no client waits for any more may keep the program from ending.
const DRAIN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::from_args();
    let result = match options.redis.clone() {
        Some(url) => match RedisStore::connect(&url).await {
            Ok(store) => serve(options, store).await,
            Err(error) => Err(error.into()),
        },
        None => serve(options, MemoryStore::new()).await,
    };
    support::exit_code(result)
}

async fn serve(options: Options, store: impl Store) -> Result<(), BoxError> {
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    let address = listener.local_addr()?;
    let (stop, leave, overdue) = (support::shutdown(), support::shutdown(), support::overdue());
    support::println!("listening on http://{address}");

    let layer = MemoLockLayer::grpc(store, "reports")
        .method(GrpcMethod::of(SERVICE_NAME, "Render").ttl(Duration::from_secs(10)))
        // The servers have different addresses and do the same work.
        .without_authority();
    let handle = layer.handle();
    let service = ReportsServer::new(Renderer::new(options.node.unwrap_or_else(|| address.to_string())));
    let leave = async {
        leave.await;
        // What takes longer is taken over by another server.
        handle.shutdown(support::GRACE_OF_LEASES).await;
        std::future::pending::<()>().await;
    };
    let server = Server::builder()
        .layer(layer)
        .layer(MapResponseLayer::new(trailing_cost))
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop);
    tokio::select! {
        result = server => result?,
        () = leave => {}
        () = overdue => {}
    }
    handle.shutdown(DRAIN).await;
    Ok(())
}
