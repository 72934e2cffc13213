//! The default extractor: method and target URI.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};
use http::{Request, Uri};

use super::query::Query;
use super::{HeadKey, KeyExtractor, digest_of_fields};
use crate::key::{Key, KeyBuilder};
use crate::middleware::policy::credential::is_credential;
use crate::middleware::policy::origin::uri_as_received;
use crate::middleware::policy::overrides::{self, is_method_override, is_override};

/// How much longer a key is expected to be where fields are part of it.
const ROOM_FOR_FIELDS: usize = 96;

/// Keys of the method and the target URI: `{GET http://example.com/report/42?x=1}`.
///
/// The URI is taken byte by byte, the order of the query included, so `/a?x=1&y=2` and `/a?y=2&x=1` are two
/// computations. A request in origin form, as HTTP/1.1 has it, says nothing about the scheme and gets its authority
/// from `Host`: `{GET //example.com/report/42}`; without `Host`, which HTTP/1.0 allows, it is `{GET ///report/42}`.
///
/// A request without one clear target bypasses the layer: several `Host` lines, a `Host` that is not a host or not
/// the URI's, user information in the authority, a target that has no path.
///
/// # Overrides
///
/// Fields that frameworks know to replace the method, the target or the user (`Forwarded`, `X-Forwarded-*`,
/// `X-Original-*`, `X-Rewrite-*`, `X-Host`, `X-HTTP-Method-Override` and their like) are part of the key where a
/// request has them. The address of the client (`X-Forwarded-For`) is not. Behind a proxy that sends `Forwarded` with
/// the client's address, every client has keys of its own; [`without_header`](UriKey::without_header) changes that.
///
/// # Beneath axum's `nest`
///
/// `Router::nest` cuts its prefix off before the layers of the nested router, which would see one `/report` for
/// `/anna/report` and `/elsa/report`. With the feature `axum`, a default, the URI is the one that the outermost router
/// received. Without it such a layer answers one of them with the other: put it around the router that nests, or give
/// each nested router a tag of its own.
///
/// # Other fields
///
/// Every other field that the service looks at has to be named with [`header`](UriKey::header) (or in the `Vary` of its
/// response, where the layer heeds that). A field whose name says that it holds a
/// [credential](crate::middleware::Privacy::credentials) stands in the key as a SHA-256.
///
/// # Other keys under the same tag
///
/// A key that covers something else than method, target and overrides says so in itself: `{GET /report/42
/// :-:authority,+accept-language accept-language=de}`. So layers under the same tag that cover different things never
/// share a response.
#[derive(Debug, Clone, Default)]
pub struct UriKey {
    headers: Arc<[HeaderName]>,
    /// How many of these fields, from the first one on, need not be named, because another part of the key tells that
    /// they are covered.
    implied: usize,
    ignored: Arc<[HeaderName]>,
    query: Query,
    no_authority: bool,
    /// What is covered, in the form in which keys name it; empty for the default.
    shape: Arc<str>,
}

impl UriKey {
    /// Keys of the method, the target URI and the overrides.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header field to the key. Defaults to none.
    ///
    /// A field that is part of the key no longer counts as a [credential](crate::middleware::Privacy::credentials):
    /// requests with the same value share with each other.
    ///
    /// The lines of a field are compared byte by byte. No line, an empty line, one line, and several lines with the
    /// same members all make different keys.
    #[must_use]
    pub fn header(self, name: HeaderName) -> Self {
        self.headers([name])
    }

    /// Adds several header fields to the key, like [`header`](UriKey::header).
    #[must_use]
    pub fn headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers = extended(&self.headers, names);
        self.shaped()
    }

    /// Covers these fields. The keys get a part that keys of no other extractor have, so the fields need not be named.
    pub(super) fn implying(names: impl IntoIterator<Item = HeaderName>) -> Self {
        let headers = extended(&[], names);
        Self {
            implied: headers.len(),
            headers,
            ..Self::default()
        }
    }

    /// Leaves an override out of the key. Defaults to none.
    ///
    /// Right only where neither the service nor anything between it and the layer looks at the field, or where the
    /// proxy sets it to the same value for all clients.
    #[must_use]
    pub fn without_header(mut self, name: HeaderName) -> Self {
        self.ignored = extended(&self.ignored, [name]);
        self.shaped()
    }

    /// Leaves all parameters of the query but these out of the key. By default the whole query is in the key.
    ///
    /// For services that look at no other parameters: `utm_source` and its like then make no difference, and a client
    /// cannot have a response computed anew by making a parameter up. The other parameters stand in the key as they
    /// came, in the order in which they came. Services disagree about what a parameter is. So a parameter is left out
    /// only if its name has nothing but letters, digits, `-` and `_` and is none of these in any case, and if its value
    /// has no `;`.
    #[must_use]
    pub fn query_parameters<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.query = Query::only(names.into_iter().map(Into::into));
        self.shaped()
    }

    /// Leaves scheme and authority out of the key. By default both are in the key.
    ///
    /// For a service with several names or ports that mean the same, such as the nodes of a cluster that are addressed
    /// one by one: `{GET /report/42 :-:authority}`. A response that depends on the authority, if only by a link or a
    /// redirect in it, then goes to clients that asked for another authority, too.
    #[must_use]
    pub fn without_authority(mut self) -> Self {
        self.no_authority = true;
        self.shaped()
    }

    /// Names how the coverage differs from the default. No name of a field begins with a `:`, and none has a comma.
    fn shaped(mut self) -> Self {
        let authority = self.no_authority.then(|| "-:authority".to_owned());
        let ignored = self.ignored.iter().map(|name| format!("-{name}"));
        let headers = self.headers.iter().skip(self.implied).map(|name| format!("+{name}"));
        let all: Vec<_> = authority
            .into_iter()
            .chain(self.query.shape())
            .chain(ignored)
            .chain(headers)
            .collect();
        self.shape = if all.is_empty() {
            "".into()
        } else {
            format!(":{}", all.join(",")).into()
        };
        self
    }

    /// Whether a field is part of all keys.
    pub(super) fn covers(&self, name: &HeaderName) -> bool {
        self.headers.contains(name)
    }

    /// The key of a request, to be gone on with.
    pub(super) fn builder<B>(&self, request: &Request<B>) -> Option<KeyBuilder> {
        self.key(&TargetHead::of(request))
    }

    fn key(&self, head: &TargetHead<'_>) -> Option<KeyBuilder> {
        let fields = Fields::scan(head.headers);
        let path = &*match self.query.is_whole() {
            true => Cow::Borrowed(head.uri.path_and_query()?.as_str()),
            false => self.query.of(head.uri.path_and_query()?),
        };
        if !matches!(path.as_bytes(), [b'/' | b'?', ..]) {
            return None;
        }
        let method = head.method;
        let plain = self.shape.is_empty() && self.headers.is_empty() && !fields.overrides;
        let more = if plain { 0 } else { ROOM_FOR_FIELDS + self.shape.len() };
        let begin = |room| {
            let key = KeyBuilder::with_capacity(method.len() + path.len() + room + more);
            match method {
                "GET" => key.begin("GET"),
                _ => key.joined([method]),
            }
        };
        let mut key = if self.no_authority {
            begin(3).joined([path])
        } else {
            // A scheme has nothing to escape, as an authority has not.
            let authority = fields.authority(head.uri)?;
            let key = match head.uri.scheme_str() {
                None => begin(authority.len() + 6).begin("//"),
                Some(scheme) => begin(scheme.len() + authority.len() + 6).begin(scheme).go_on("://", ""),
            };
            key.go_on(authority, path)
        };
        if !self.shape.is_empty() {
            key = key.joined([&self.shape]);
        }
        for name in self.headers.iter() {
            key = lines(key, name, head.headers);
        }
        if fields.overrides {
            key = self.overrides(key, head);
        }
        Some(key)
    }

    fn overrides(&self, mut key: KeyBuilder, head: &TargetHead<'_>) -> KeyBuilder {
        for name in overrides::sorted(head.headers) {
            if head.is_assumed && is_method_override(name.as_str().as_bytes()) {
                continue;
            }
            if !self.headers.contains(name) && !self.ignored.contains(name) {
                key = lines(key, name, head.headers);
            }
        }
        key
    }
}

impl<B: Send> KeyExtractor<B> for UriKey {
    type Body = B;

    fn covers_header(&self, name: &HeaderName) -> bool {
        self.covers(name)
    }

    fn head_key(&self, request: &Request<B>) -> HeadKey {
        self.key(&TargetHead::of(request))
            .map(KeyBuilder::build_with_shape)
            .into()
    }

    fn get_key(&self, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        let key = self.key(&TargetHead {
            method: "GET",
            uri,
            headers,
            is_assumed: true,
        });
        key.map(KeyBuilder::build_with_shape)
    }

    fn pass(&self, request: Request<B>) -> Request<B> {
        request
    }
}

/// The parts of a request that do not depend on the type of its body.
struct TargetHead<'a> {
    method: &'a str,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    /// Whether the method is not the request's own, and so cannot be overridden.
    is_assumed: bool,
}

impl<'a> TargetHead<'a> {
    fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method().as_str(),
            uri: uri_as_received(request.uri(), request.extensions()),
            headers: request.headers(),
            is_assumed: false,
        }
    }
}

/// What one pass over the header fields finds.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    more_hosts: bool,
    overrides: bool,
}

impl<'a> Fields<'a> {
    fn scan(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            let name = name.as_str().as_bytes();
            match name {
                b"host" => {
                    fields.more_hosts = fields.host.is_some();
                    fields.host = Some(value.as_bytes());
                }
                [b'x' | b'f' | b'b' | b'r', ..] => fields.overrides |= is_override(name),
                _ => {}
            }
        }
        fields
    }

    /// The authority of the request, empty where there is none; `None` where there is not one clear authority.
    fn authority(&self, uri: &'a Uri) -> Option<&'a str> {
        let of_uri = uri.authority().map(|a| a.as_str().as_bytes());
        let authority = match (of_uri, self.host) {
            (None, None) => return Some(""),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(one), Some(other)) => (one == other).then_some(one)?,
        };
        let is_host = !authority.is_empty() && authority.iter().all(|byte| IN_HOST[usize::from(*byte)]);
        if is_host && !self.more_hosts {
            str::from_utf8(authority).ok()
        } else {
            None
        }
    }
}

/// The bytes that may stand in a host with a port (RFC 3986, 3.2.2).
static IN_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-.:[]_~%!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// All lines of a field; of a secret, their digest.
fn lines(mut key: KeyBuilder, name: &HeaderName, headers: &HeaderMap) -> KeyBuilder {
    let lines = headers.get_all(name);
    if is_credential(name.as_str()) && lines.iter().next().is_some() {
        return key.digest(name.as_str(), &digest_of_fields(headers, std::slice::from_ref(name)));
    }
    for value in lines {
        key = key.named(name.as_str(), value.as_bytes());
    }
    key
}

fn extended(names: &[HeaderName], more: impl IntoIterator<Item = HeaderName>) -> Arc<[HeaderName]> {
    let mut all = names.to_vec();
    for name in more {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all.into()
}

#[cfg(test)]
mod tests;
