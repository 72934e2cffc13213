//! Requests that are sent before any client asks.

use std::future::poll_fn;
use std::pin::pin;

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::MemoLockService;
use crate::memo::{Warmed, warm};

impl<S, K> MemoLockService<S, K> {
    /// Sends these requests through the layer, `at_once` at a time, and reads their responses to the end, so that all
    /// that may be stored is stored. `progress` is called after each request. A request counts as failed if its
    /// response is an error or a 5xx, or if the body breaks off. 0 counts as 1.
    ///
    /// A fresh stored response is a hit and stays; a request with [`Refresh`](crate::middleware::Refresh) among its
    /// extensions has it computed anew. Of all nodes that warm up at once, one computes each response.
    ///
    /// ```
    /// use axum::body::Body;
    /// use http::Request;
    /// use tower::{Layer, service_fn};
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let inner = service_fn(|_: Request<Body>| async { Ok::<_, std::io::Error>(http::Response::new(Body::from("report"))) });
    /// let service = MemoLockLayer::new(MemoryStore::new(), "report").layer(inner);
    /// let requests = (1..=100).map(|id| Request::get(format!("/report/{id}")).body(Body::empty()).unwrap());
    /// let warmed = service.warm(requests, 8, |so_far| println!("{} of 100", so_far.done)).await;
    /// assert_eq!((warmed.done, warmed.failed), (100, 0));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn warm<ReqBody, B>(
        &self,
        requests: impl IntoIterator<Item = Request<ReqBody>>,
        at_once: usize,
        progress: impl FnMut(Warmed),
    ) -> Warmed
    where
        Self: Service<Request<ReqBody>, Response = Response<B>, Future: Send + 'static> + Clone + Send + 'static,
        ReqBody: Send + 'static,
        B: Body + Send + 'static,
    {
        let one = |request| {
            let mut service = self.clone();
            async move {
                let Ok(response) = service.call(request).await else {
                    return false;
                };
                let is_well = !response.status().is_server_error();
                let mut body = pin!(response.into_body());
                while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                    if frame.is_err() {
                        return false;
                    }
                }
                is_well
            }
        };
        warm(requests.into_iter().map(one), at_once, progress).await
    }
}
