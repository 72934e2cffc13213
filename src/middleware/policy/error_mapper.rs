//! [`ErrorMapper`]: an error of the inner service as a response.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

type ToResponse = dyn Fn(&dyn Any) -> Option<Response<Bytes>> + Send + Sync;

/// Makes the response that followers get for an error.
#[derive(Clone)]
pub(crate) struct ErrorMapper(Arc<ToResponse>);

impl fmt::Debug for ErrorMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorMapper")
    }
}

impl ErrorMapper {
    pub(crate) fn new<E: 'static>(to_response: impl Fn(&E) -> Option<Response<Bytes>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |error| error.downcast_ref().and_then(&to_response)))
    }

    /// Every error as an empty 502 (RFC 9110, 15.6.3).
    pub(crate) fn bad_gateway() -> Self {
        Self(Arc::new(|_| {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Some(response)
        }))
    }

    pub(crate) fn map(&self, error: &dyn Any) -> Option<Response<Bytes>> {
        (self.0)(error)
    }
}
