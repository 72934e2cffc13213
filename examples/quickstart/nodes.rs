//! The servers: an axum router each, with a slow handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::{Route, get};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{BoxError, Layer, Service};

/// Servers under way; dropping them stops them.
pub(crate) struct Nodes {
    pub(crate) addresses: Vec<SocketAddr>,
    _servers: JoinSet<std::io::Result<()>>,
}

impl Nodes {
    /// Starts one server for each layer. `calls` counts how often their handlers run.
    pub(crate) async fn start<L, B>(
        calls: &Arc<AtomicUsize>,
        work: Duration,
        layers: impl Iterator<Item = L>,
    ) -> Result<Self, BoxError>
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>, Error = std::convert::Infallible>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut addresses = Vec::new();
        let mut servers = JoinSet::new();
        for layer in layers {
            let calls = Arc::clone(calls);
            let report = async move |Path(id): Path<String>| {
                calls.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(work).await;
                format!("report {id}\n")
            };
            // This is all it takes.
            let app = Router::new().route("/report/{id}", get(report)).layer(layer);

            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            servers.spawn(async move { axum::serve(listener, app).await });
        }
        Ok(Self {
            addresses,
            _servers: servers,
        })
    }
}
