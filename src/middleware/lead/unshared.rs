//! [`Unshared`]: the response to a request that went to the inner service by itself.

use http::Method;
use http::response::Parts;

use crate::middleware::MemoControl;
use crate::middleware::inner::{InnerBody, InnerCall, InnerError};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::response::{Head, at_head};
use crate::middleware::policy::response_rules::ResponseRules;
use crate::middleware::policy::sharing::Sharing;
use crate::system;

/// A response, and whether others could have had it.
pub(crate) struct Unshared {
    pub(crate) method: Method,
    pub(crate) head: Parts,
    pub(crate) body: InnerBody,
    pub(crate) control: MemoControl,
    pub(crate) sharing: Sharing,
}

impl Unshared {
    /// Calls the inner service, and judges its response.
    pub(crate) async fn call(
        call: InnerCall,
        credentials: Credentials,
        rules: &ResponseRules,
    ) -> Result<Self, InnerError> {
        let method = call.head.method.clone();
        let (mut head, body) = call.send().await?.into_parts();
        let control = head.extensions.remove::<MemoControl>().unwrap_or_default();
        let judged = Head {
            method: &method,
            status: head.status,
            headers: &head.headers,
            control: &control,
        };
        let sharing = at_head(&judged, rules, system::now());
        let sharing = credentials.limit(sharing, &judged, rules);
        Ok(Self {
            method,
            head,
            body,
            control,
            sharing,
        })
    }
}
