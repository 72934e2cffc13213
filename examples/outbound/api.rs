//! A slow API, which counts how often it is called and knows which client it talks to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::BoxError;

/// The token that this program has for the API.
pub(crate) const TOKEN: &str = "Bearer demonstration";

/// A server under way; dropping it stops it.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicUsize>,
    server: JoinSet<std::io::Result<()>>,
}

impl Api {
    pub(crate) async fn start(address: SocketAddr, work: Duration) -> Result<Self, BoxError> {
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        let rates = async move |Path(name): Path<String>, headers: HeaderMap| {
            let call = counted.fetch_add(1, Ordering::SeqCst) + 1;
            if headers.get(header::AUTHORIZATION).is_none_or(|token| token != TOKEN) {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            tokio::time::sleep(work).await;
            // To the API, the one client that `private` means is this program, on however many machines.
            let fields = [
                (header::CACHE_CONTROL, "private, max-age=10"),
                (header::SET_COOKIE, "session=1"),
            ];
            (fields, format!("{name} 1.08, says call {call}")).into_response()
        };
        let app = Router::new().route("/rates/{name}", get(rates));
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| format!("cannot listen on {address}: {e}"))?;
        let address = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, calls, server })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) async fn ended(mut self) -> Result<(), BoxError> {
        match self.server.join_next().await {
            Some(ended) => Ok(ended??),
            None => Ok(()),
        }
    }
}
