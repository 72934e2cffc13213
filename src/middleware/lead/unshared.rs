//! [`Unshared`]: the response to a request that went to the inner service by itself.

use http::response::Parts;
use http::{Method, Request, Response};
use tower_service::Service;

use crate::middleware::MemoControl;
use crate::middleware::bounds::call;
use crate::middleware::cache::Cache;
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::response::{Head, at_head};
use crate::middleware::policy::sharing::Sharing;
use crate::system;

/// A response, with what it could have been to others.
pub(crate) struct Unshared<ResBody> {
    pub(crate) method: Method,
    pub(crate) head: Parts,
    pub(crate) body: ResBody,
    pub(crate) control: MemoControl,
    pub(crate) sharing: Sharing,
}

impl<K: Send + Sync + 'static> Cache<K> {
    /// Calls the inner service, and judges its response.
    pub(crate) async fn call_unshared<S, B, ResBody>(
        &self,
        service: &mut S,
        request: Request<B>,
        credentials: Credentials,
    ) -> Result<Unshared<ResBody>, S::Error>
    where
        S: Service<Request<B>, Response = Response<ResBody>>,
    {
        let method = request.method().clone();
        let (mut head, body) = call(service, request).await?.into_parts();
        let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
        let judged = Head {
            method: &method,
            status: head.status,
            headers: &head.headers,
            control: &control,
        };
        let sharing = at_head(&judged, &self.responses, system::now());
        let sharing = credentials.limit(sharing, &judged, &self.responses);
        Ok(Unshared {
            method,
            head,
            body,
            control,
            sharing,
        })
    }
}
