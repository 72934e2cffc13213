//! Requests that are sent through a layer before any client asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, StatusCode};
use http_body_util::Full;
use tower_memolock::middleware::Refresh;
use tower_memolock::{MemoLock, MemoryStore};

use super::fixture::{Broken, Gate, Inner, answer, fresh, get, pair_over, send, text};
use crate::support::{RedisServer, within};

fn requests(count: usize) -> Vec<Request<Full<bytes::Bytes>>> {
    (0..count).map(|number| get(&format!("/{number}"))).collect()
}

#[tokio::test]
async fn two_nodes_that_warm_up_at_once_cost_one_call_for_each() {
    let server = RedisServer::start();
    let inner = Inner::replying(|call| fresh(call.to_string()));
    let nodes = pair_over(server.two_stores().await, &inner, |layer| layer);
    let mut seen = Vec::new();
    let warming = async {
        tokio::join!(
            nodes[0].warm(requests(40), 4, |so_far| seen.push(so_far.done)),
            nodes[1].warm(requests(40), 4, |_| {})
        )
    };
    let (one, two) = within("both", warming).await;
    assert_eq!([(one.done, one.failed), (two.done, two.failed)], [(40, 0); 2]);
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
    assert_eq!(inner.calls(), 40);
    for request in requests(40) {
        answer(send(&nodes[1], request)).await;
    }
    assert_eq!(inner.calls(), 40);
    let anew = requests(5).into_iter().map(|mut request| {
        request.extensions_mut().insert(Refresh);
        request
    });
    assert_eq!(nodes[1].warm(anew, 2, |_| {}).await.done, 5);
    assert_eq!(inner.calls(), 45);
}

#[tokio::test]
async fn so_many_are_sent_at_once_and_failures_are_counted() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |request, _| match request.uri().path() {
        "/1" => Err(Broken("broken")),
        "/2" => {
            let mut response = text("broken");
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok(response)
        }
        _ => Ok(fresh("x")),
    });
    let store = MemoryStore::new();
    let [node, _] = pair_over([store.clone(), store], &inner, |layer| layer);
    let warming = tokio::spawn(async move { node.warm(requests(10), 3, |_| {}).await });
    gate.reached_by(3).await;
    super::fixture::settle().await;
    assert_eq!(gate.reached(), 3);
    gate.open();
    let warmed = within("all of them", warming).await.expect("no panic");
    assert_eq!((warmed.done, warmed.failed), (8, 2));
}

#[tokio::test]
async fn values_are_warmed_up_and_one_that_fails_is_counted() {
    let memo = MemoLock::new(MemoryStore::new(), "t");
    let calls = Arc::new(AtomicUsize::new(0));
    let work = |id: usize| {
        let calls = Arc::clone(&calls);
        let compute = move || async move {
            calls.fetch_add(1, Ordering::SeqCst);
            match id {
                3 => Err(std::io::Error::other("broken")),
                _ => Ok(bytes::Bytes::from("x")),
            }
        };
        (id.to_string(), compute)
    };
    for calls_then in [10, 11] {
        let warmed = memo.warm((0..10).map(work), 0, |_| {}).await;
        assert_eq!((warmed.done, warmed.failed), (9, 1));
        assert_eq!(calls.load(Ordering::SeqCst), calls_then);
    }
}
