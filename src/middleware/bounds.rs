//! What is asked of an inner service and of its bodies, once.

use std::future::poll_fn;

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::error::BoxError;

/// A service that a task can call.
pub(crate) trait InnerService<B, ResBody>:
    Service<Request<B>, Response = Response<ResBody>, Future: Send + 'static, Error: Send + 'static> + Send + 'static
{
}

impl<S, B, ResBody> InnerService<B, ResBody> for S where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send + 'static, Error: Send + 'static>
        + Send
        + 'static
{
}

/// A body that a task can read.
pub(crate) trait ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static {}

impl<B> ResponseBody for B where B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static {}

/// Calls the service once it is ready.
pub(crate) async fn call<S: Service<R>, R>(service: &mut S, request: R) -> Result<S::Response, S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}
