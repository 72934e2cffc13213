//! Shadow mode: what the layer would have done with a request.

use http::Request;
use http_body::Body;

use crate::key::Key;
use crate::middleware::cache::Cache;
use crate::middleware::key_extractor::{HeadKey, KeyExtractor};
use crate::middleware::policy::origin::uri_as_received;
use crate::middleware::policy::request::{Access, RequestConstraints, access};
use crate::middleware::shadow::{RequestStanding, RequestTraits};

pub(crate) fn asked<B: Body, K: KeyExtractor<B>>(extractor: &K, cache: &Cache, request: &Request<B>) -> RequestTraits {
    let in_key = |name: &_| extractor.covers_header(name);
    let uncovered_body = !extractor.covers_body() && !request.body().is_end_stream();
    let (method, headers) = (request.method(), request.headers());
    let whole = |key: Option<Key>| key.map(|key| cache.whole_key(key, headers));
    let get_key = || {
        let uri = uri_as_received(request.uri(), request.extensions());
        extractor.get_key_with(uri, headers, request.extensions())
    };
    let keyed = |constraints: RequestConstraints| {
        let key = match extractor.head_key(request) {
            HeadKey::Key(_) if constraints.head => get_key(),
            HeadKey::Key(key) => Some(key),
            HeadKey::NeedsBody => return RequestStanding::Alone("body"),
            HeadKey::Bypass => None,
        };
        whole(key).map_or(RequestStanding::Alone("no key"), |key| {
            RequestStanding::Keyed(key, constraints)
        })
    };
    let standing = match access(method, headers, uncovered_body, in_key, &cache.requests) {
        Access::Bypass(reason) => RequestStanding::Alone(reason.as_str()),
        Access::Change => RequestStanding::Changes(whole(get_key())),
        Access::Share => keyed(RequestConstraints::default()),
        Access::Read(constraints) => keyed(constraints),
    };
    let covered = |name: &_| in_key(name) || cache.requests.key_headers.contains(name);
    RequestTraits::new(request, standing, covered)
}
