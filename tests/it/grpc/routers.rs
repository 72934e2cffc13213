//! gRPC and plain HTTP on one port, with one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::routing::get;
use tower_memolock::{MemoLockLayer, MemoryStore, Store};

use super::fixture::{MAKE, Server, Workshop, layer, make, one_product, order, routes};
use super::raw::frames;
use crate::support::HttpClient;

/// The workshop, and a page beside it.
fn router(store: impl Store, workshop: &Arc<Workshop>, rendered: &Arc<AtomicUsize>) -> axum::Router {
    let rendered = Arc::clone(rendered);
    let page = move || std::future::ready((rendered.fetch_add(1, Ordering::SeqCst) + 1).to_string());
    let pages = MemoLockLayer::new(store.clone(), "pages").ttl(Duration::from_secs(60));
    axum::Router::new()
        .route("/page", get(page).layer(pages))
        .merge(routes(workshop).into_axum_router().layer(layer(store)))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_methods_share_a_port_and_a_store() {
    let (workshop, rendered, store) = (Workshop::new(), Arc::default(), MemoryStore::new());
    for _ in ["first", "second"] {
        let server = Server::axum(router(store.clone(), &workshop, &rendered)).await;
        let client = server.client().await;
        let url = format!("http://{}/page", server.address());
        for http in [HttpClient::http1(), HttpClient::http2()] {
            // HTTP/1.1 says nothing of the scheme, which is in the key with all that is said.
            let page = http.get(&url).await.expect("a page");
            assert_eq!(http.get(&url).await.expect("a page").body, page.body);
            assert_eq!(one_product([make(&client, order("mixed"))]).await.execution, 1);
        }
        let hit = frames(server.raw().await.order(MAKE, &[], &order("mixed"))).await;
        assert_eq!(hit.product().execution, 1);
    }
    assert_eq!((workshop.executions(), rendered.load(Ordering::SeqCst)), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_method_is_told_so() {
    let (workshop, rendered) = (Workshop::new(), Arc::default());
    let server = Server::axum(router(MemoryStore::new(), &workshop, &rendered)).await;
    let raw = server.raw().await;
    for _ in 0..2 {
        let answer = frames(raw.order("/memolock.test.v1.Workshop/Absent", &[], &order("x"))).await;
        assert_eq!(
            (answer.status, answer.grpc_status(), answer.trailers_only),
            (200, "12", true)
        );
    }
}
