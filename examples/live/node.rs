//! One node: an axum server with a slow handler, behind the layer and without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower_memolock::middleware::{CacheStatus, Freshness, Handle};
use tower_memolock::{InvalidateError, MemoLockLayer, Store};

/// The first part of all names in the store.
pub(crate) const TAG: &str = "live";

/// How long a response answers.
pub(crate) const FRESH: Duration = Duration::from_secs(20);

/// How long it still does while another one is computed, once it is stale.
pub(crate) const REVALIDATE: Duration = Duration::from_secs(10);

/// How long it stands in for a failure, once it is stale.
pub(crate) const STAND_IN: Duration = Duration::from_secs(20);

/// How long the lock of a leader outlives it.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// How many calls of a handler run at once; the others queue, as they would for the connections of a database.
pub(crate) const AT_ONCE: usize = 8;

/// Which request this is, for the page. Neither this nor the others are part of the key.
pub(crate) const LANE: &str = "x-lane";

/// How many milliseconds the handler takes.
pub(crate) const WORK: &str = "x-work";

/// Whether the handler fails.
pub(crate) const FAIL: &str = "x-fail";

/// What the handler tells the page.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    /// It was called, for the request of this number.
    Called(u64),
    /// It has answered that request.
    Answered { lane: u64, ok: bool },
}

/// What the handler is made of.
#[derive(Clone)]
struct Desk {
    number: usize,
    tell: Arc<dyn Fn(Told) + Send + Sync>,
    calls: Arc<AtomicU64>,
    places: Arc<Semaphore>,
}

/// Serves node `number`, and tells what its handler does.
pub(crate) async fn serve(
    listener: TcpListener,
    number: usize,
    store: impl Store,
    tell: impl Fn(Told) + Send + Sync + 'static,
) -> std::io::Result<()> {
    let freshness = Freshness::new()
        .ttl_jitter(0.0)
        .stale_while_revalidate(REVALIDATE)
        .stale_if_error(STAND_IN);
    let layer = MemoLockLayer::new(store, TAG)
        // Three ports of one machine stand for three machines behind one name.
        .without_authority()
        .ttl(FRESH)
        .freshness(freshness)
        .lease(LEASE)
        .cache_status(CacheStatus::Outcome);
    let tell: Arc<dyn Fn(Told) + Send + Sync> = Arc::new(tell);
    let calls = Arc::default();
    let desk = || Desk {
        number,
        tell: Arc::clone(&tell),
        calls: Arc::clone(&calls),
        // Each way has places of its own, so that they can be compared.
        places: Arc::new(Semaphore::new(AT_ONCE)),
    };
    let reports = layer.handle();
    let shared = Router::new()
        .route("/report/{id}", get(report))
        .with_state(desk())
        .layer(layer);
    let others = Router::new()
        .route("/bare/{id}", get(report))
        .with_state(desk())
        .route("/invalidate/{id}", post(invalidate).with_state(reports));
    axum::serve(listener, shared.merge(others)).await
}

/// The slow handler.
async fn report(State(desk): State<Desk>, Path(id): Path<String>, headers: HeaderMap) -> (StatusCode, String) {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
    let lane = number(LANE).unwrap_or_default();
    let call = desk.calls.fetch_add(1, Ordering::Relaxed) + 1;
    (desk.tell)(Told::Called(lane));
    // It is never closed.
    let _place = desk.places.acquire().await;
    sleep(Duration::from_millis(number(WORK).unwrap_or(1000))).await;
    let ok = !headers.contains_key(FAIL);
    (desk.tell)(Told::Answered { lane, ok });
    match ok {
        true => (
            StatusCode::OK,
            format!("report {id}, made by call {call} of node {}\n", desk.number),
        ),
        false => (StatusCode::INTERNAL_SERVER_ERROR, "the handler failed\n".to_owned()),
    }
}

/// Invalidates a report on all nodes.
async fn invalidate(State(reports): State<Handle>, Path(id): Path<String>) -> Result<StatusCode, (StatusCode, String)> {
    let refuse = |text| (StatusCode::SERVICE_UNAVAILABLE, text);
    let request = Request::get(format!("/report/{id}"))
        .body(())
        .map_err(|e| refuse(e.to_string()))?;
    match reports.invalidate_request(&request).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        // The node keeps it, and tells the others once it can.
        Err(InvalidateError::Pending { .. }) => Ok(StatusCode::ACCEPTED),
        Err(error) => Err(refuse(support::causes(&error))),
    }
}
