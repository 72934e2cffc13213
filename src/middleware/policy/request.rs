//! Which requests may share a response with others.

use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, Method};

use super::cache_control::CacheControl;
use super::credential::is_credential;
use super::ending::is_grpc;
use super::invalidation::may_change;
use super::meta::Meta;
use super::overrides::is_method_override;
use super::permission::Permission;
use super::reason::Reason;

/// What a layer lets collapse.
#[derive(Debug, Clone)]
pub(crate) struct RequestRules {
    /// The methods. Defaults to `GET` and `HEAD`: the responses to others are not cacheable unless the application says
    /// so (RFC 9110, 9.2.3).
    pub(crate) methods: Vec<Method>,
    /// Whether requests with credentials collapse too, which is right where they are part of the key or change nothing
    /// about the response. Defaults to `false`.
    pub(crate) credentials: bool,
    /// Fields that are part of the key besides what the extractor makes, so that they count as no credentials. Defaults
    /// to none.
    pub(crate) key_headers: Arc<[HeaderName]>,
    /// Fields that count as no credentials. Defaults to none.
    pub(crate) not_credentials: Arc<[HeaderName]>,
    /// Fields that count as credentials whatever they are called, before `not_credentials`. Defaults to none.
    pub(crate) more_credentials: Arc<[HeaderName]>,
    /// Whether a request may say that it is not to reach the inner service (RFC 9111, 5.2.1.7). Defaults to `false`.
    pub(crate) only_if_cached: bool,
    /// Whether unsafe requests make what is stored for their target out of date. Defaults to `true`.
    pub(crate) invalidates: bool,
    /// Whether receipts are given to clients, and heeded.
    pub(crate) receipts: bool,
}

impl Default for RequestRules {
    fn default() -> Self {
        Self {
            methods: vec![Method::GET, Method::HEAD],
            credentials: false,
            key_headers: Arc::default(),
            not_credentials: Arc::default(),
            more_credentials: Arc::default(),
            only_if_cached: false,
            invalidates: true,
            receipts: false,
        }
    }
}

impl RequestRules {
    /// Whether these credentials keep no request from sharing.
    fn is_covered(&self, name: &HeaderName) -> bool {
        let is_excepted = || self.not_credentials.contains(name) && !self.more_credentials.contains(name);
        self.credentials || self.key_headers.contains(name) || is_excepted()
    }

    /// Whether the layer is told that it is a credential, whatever it is called.
    fn is_added(&self, name: &HeaderName) -> bool {
        self.more_credentials.contains(name) && !self.key_headers.contains(name)
    }
}

/// What a request may have of others' responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything: it may be answered by a stored response, wait for another request, or lead others.
    Share,
    /// A stored response that is for such requests, in parts perhaps. Where there is none it goes to the inner service by
    /// itself.
    Read(RequestConstraints),
    /// Nothing, and it may make stored responses out of date.
    Change,
    /// Nothing, for this reason.
    Bypass(Reason),
}

/// What limits the use that a request has for a stored response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RequestConstraints {
    /// Only the head of it (RFC 9110, 9.3.2).
    pub(crate) head: bool,
    /// Nothing of it if the client has it already (RFC 9110, 13.1.2 and 13.1.3).
    pub(crate) conditional: bool,
    /// A range of it (RFC 9110, 14.2).
    pub(crate) range: bool,
    /// Only one for requests with `Authorization` (RFC 9111, 3.5).
    pub(crate) authorized: bool,
    /// Only one for requests with other credentials.
    pub(crate) cookies: bool,
    /// Only a stored response (RFC 9111, 5.2.1.7).
    pub(crate) only_if_cached: bool,
}

impl RequestConstraints {
    /// Whether a stored response is for a request like this one, as far as its credentials are concerned.
    pub(crate) fn admits(&self, stored: &Meta) -> bool {
        Permission::stored(stored).covers(self)
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.authorized || self.cookies
    }

    /// Why a request with these leads no computation where nothing is stored for it.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self {
                only_if_cached: true, ..
            } => Reason::OnlyIfCached,
            Self { range: true, .. } => Reason::Range,
            Self { conditional: true, .. } => Reason::Conditional,
            Self { head: true, .. } => Reason::Head,
            _ => Reason::Credentials,
        }
    }

    /// Whether it asks for a plain response, wherever that comes from.
    pub(crate) fn is_for_all_of_it(&self) -> bool {
        !(self.head || self.conditional || self.range || self.only_if_cached)
    }
}

/// What a request may have, by its head. `uncovered_body` says that it has a body which its key does not cover, and
/// `in_key` which fields it does.
pub(crate) fn access(
    method: &Method,
    headers: &HeaderMap,
    uncovered_body: bool,
    in_key: impl Fn(&HeaderName) -> bool,
    rules: &RequestRules,
) -> Access {
    if !rules.methods.contains(method) {
        if rules.invalidates && may_change(method) && !is_grpc(headers) {
            return Access::Change;
        }
        return Access::Bypass(Reason::Method);
    }
    if *method == Method::CONNECT {
        return Access::Bypass(Reason::Protocol);
    }
    if uncovered_body {
        return Access::Bypass(Reason::BodyNotInKey);
    }
    let mut constraints = RequestConstraints {
        head: *method == Method::HEAD,
        ..RequestConstraints::default()
    };
    let mut cache_control = false;
    for name in headers.keys() {
        match classify(name.as_str()) {
            Class::Irrelevant => constraints.cookies |= rules.is_added(name) && !in_key(name),
            Class::CacheControl => cache_control = true,
            Class::Authorization => constraints.authorized |= !rules.is_covered(name) && !in_key(name),
            Class::Cookies => constraints.cookies |= !rules.is_covered(name) && !in_key(name),
            Class::Conditional => constraints.conditional = true,
            Class::Range => constraints.range = true,
            Class::Precondition => return Access::Bypass(Reason::Conditional),
            Class::Protocol => return Access::Bypass(Reason::Protocol),
            Class::Override => return Access::Bypass(Reason::MethodOverride),
        }
    }
    // RFC 9111, 5.2.1.5. The other directives of a request are advice (5.2.1). A cache that protects its origin does
    // not take advice from every client.
    if cache_control {
        match CacheControl::parse(headers) {
            Ok(directives) if directives.only_if_cached && rules.only_if_cached => constraints.only_if_cached = true,
            Ok(directives) if !directives.no_store => {}
            _ => return Access::Bypass(Reason::RequestNoStore),
        }
    }
    if constraints == RequestConstraints::default() {
        return Access::Share;
    }
    // A stored response does not tell what conditions and ranges mean for other methods.
    if (constraints.conditional || constraints.range) && !matches!(*method, Method::GET | Method::HEAD) {
        return Access::Bypass(Reason::Conditional);
    }
    Access::Read(constraints)
}

/// What a header field means for sharing.
enum Class {
    Irrelevant,
    CacheControl,
    Authorization,
    Cookies,
    Conditional,
    Range,
    Precondition,
    Protocol,
    Override,
}

/// Most names are told apart by their first letter, which saves the path of a hit some thirty comparisons a field.
fn classify(name: &str) -> Class {
    match name.as_bytes() {
        [b'a', ..] if name == "authorization" => Class::Authorization,
        [b'c', ..] if name == "cache-control" => Class::CacheControl,
        // RFC 9110, 7.8 and 10.1.1.
        [b'e' | b'u', ..] if matches!(name, "expect" | "upgrade") => Class::Protocol,
        // RFC 9110, 13.1 and 14.2.
        [b'i', b'f', b'-', ..] => match name {
            "if-none-match" | "if-modified-since" => Class::Conditional,
            "if-range" => Class::Range,
            _ => Class::Precondition,
        },
        [b'r', ..] if name == "range" => Class::Range,
        [b'x', ..] if is_method_override(name.as_bytes()) => Class::Override,
        // RFC 9111, 3.5 and 7.3; and all other fields of this kind.
        _ if is_credential(name) => Class::Cookies,
        _ => Class::Irrelevant,
    }
}

#[cfg(test)]
mod tests;
