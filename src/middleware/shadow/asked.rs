//! [`RequestTraits`]: the parts of a request that count.

use std::hash::BuildHasher;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, Method, Request};

use super::route::route_of;
use crate::key::Key;
use crate::middleware::policy::credential::is_credential;
use crate::middleware::policy::origin::uri_as_received;
use crate::middleware::policy::request::RequestConstraints;

/// The most parameters of a query that count.
const MOST_PARAMETERS: usize = 16;

/// What the layer would have to do with a request.
pub(crate) enum RequestStanding {
    /// It has a key.
    Keyed(Key, RequestConstraints),
    /// It makes the response under this key out of date, if it has a key.
    Changes(Option<Key>),
    /// It is for the inner service alone, for this reason.
    Alone(&'static str),
}

pub(crate) struct RequestTraits {
    pub(super) route: String,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) standing: RequestStanding,
    /// Fields that are credentials, and in no key.
    pub(super) credentials: Vec<HeaderName>,
    /// The target without its query.
    pub(super) page: String,
    pub(super) query: Vec<(String, String)>,
}

impl RequestTraits {
    pub(crate) fn new<B>(
        request: &Request<B>,
        standing: RequestStanding,
        in_key: impl Fn(&HeaderName) -> bool,
    ) -> Self {
        let uri = uri_as_received(request.uri(), request.extensions());
        let is_met = |name: &&HeaderName| (**name == AUTHORIZATION || is_credential(name.as_str())) && !in_key(name);
        let headers = request.headers();
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let host = || headers.get(http::header::HOST)?.to_str().ok();
        let pairs = uri.query().unwrap_or_default().split('&');
        let pairs = pairs.filter(|pair| !pair.is_empty()).take(MOST_PARAMETERS);
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self {
            route: route_of(request.method(), uri.path(), request.extensions()),
            method: request.method().clone(),
            headers: headers.clone(),
            standing,
            credentials: headers.keys().filter(is_met).cloned().collect(),
            page: [authority.or_else(host).unwrap_or_default(), uri.path()].concat(),
            query: query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// A digest of each field, which is of use with the seed only.
    pub(super) fn field_digests<'a>(&'a self, seed: &'a impl BuildHasher) -> impl Iterator<Item = (&'a str, u64)> {
        self.headers.keys().map(move |name| {
            let lines: Vec<_> = self.headers.get_all(name).iter().map(|line| line.as_bytes()).collect();
            (name.as_str(), seed.hash_one(lines))
        })
    }

    /// A digest of the values of each parameter.
    pub(super) fn parameter_digests<'a>(&'a self, seed: &'a impl BuildHasher) -> impl Iterator<Item = (&'a str, u64)> {
        let is_first = |at: usize| !self.query[..at].iter().any(|(name, _)| *name == self.query[at].0);
        let first = (0..self.query.len()).filter(move |at| is_first(*at));
        first.map(move |at| {
            let name = &self.query[at].0;
            let values = self.query.iter().filter(|(other, _)| other == name);
            let values: Vec<_> = values.map(|(_, value)| value).collect();
            (&**name, seed.hash_one(values))
        })
    }
}
