//! The clients that the layer goes around.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::Service;

/// hyper-util's client is a tower service.
pub(crate) fn hyper() -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// reqwest's client is one with types of its own; these lines turn them into those of `http`.
pub(crate) fn reqwest()
-> impl Service<Request<reqwest::Body>, Response = Response<reqwest::Body>, Error = reqwest::Error, Future: Send>
+ Clone
+ Send
+ 'static {
    let client = reqwest::Client::new();
    tower::service_fn(move |request: Request<reqwest::Body>| {
        let client = client.clone();
        async move {
            let response = client.execute(request.try_into()?).await?;
            Ok(Response::from(response))
        }
    })
}
