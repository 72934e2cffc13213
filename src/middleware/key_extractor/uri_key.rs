//! The default extractor: method and target URI.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};
use http::{Request, Uri};

use super::overrides::{self, is_method_override, is_override};
use super::{HeadKey, KeyExtractor};
use crate::key::{Key, KeyBuilder};

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
/// got. Without it such a layer answers one of them with the other: put it around the router that nests, or give
/// each nested router a tag of its own.
///
/// # Other fields
///
/// Whatever else the service looks at has to be named with [`header`](UriKey::header) (or in the `Vary` of its
/// response, where the layer heeds that).
#[derive(Debug, Clone, Default)]
pub struct UriKey {
    headers: Arc<[HeaderName]>,
    ignored: Arc<[HeaderName]>,
    no_authority: bool,
}

impl UriKey {
    /// Keys of the method, the target URI and the overrides.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header field to the key. Defaults to none.
    ///
    /// Its lines are taken byte by byte. No line, an empty one, and one line or several with the same members all make
    /// different keys.
    #[must_use]
    pub fn header(self, name: HeaderName) -> Self {
        self.headers([name])
    }

    /// Adds several header fields to the key, like [`header`](UriKey::header).
    #[must_use]
    pub fn headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers = extended(&self.headers, names);
        self
    }

    /// Leaves an override out of the key. Defaults to none.
    ///
    /// Right only where neither the service nor anything between it and the layer looks at the field, or where its
    /// content is the proxy's and the same for all clients.
    #[must_use]
    pub fn without_header(mut self, name: HeaderName) -> Self {
        self.ignored = extended(&self.ignored, [name]);
        self
    }

    /// Leaves scheme and authority out of the key. Defaults to both being in it.
    ///
    /// For a service with several names or ports that mean the same, such as the nodes of a cluster that are addressed
    /// one by one: `{GET /report/42}`. The authority is not looked at any more, so a response that depends on it, if
    /// only by a link or a redirect it contains, is given to those who asked for another.
    #[must_use]
    pub fn without_authority(mut self) -> Self {
        self.no_authority = true;
        self
    }

    /// The key of a request, to be gone on with.
    pub(super) fn builder<B>(&self, request: &Request<B>) -> Option<KeyBuilder> {
        self.key(&Head::of(request))
    }

    fn key(&self, head: &Head<'_>) -> Option<KeyBuilder> {
        let fields = Fields::scan(head.headers);
        let path = head.uri.path_and_query()?.as_str();
        if !matches!(path.as_bytes(), [b'/' | b'?', ..]) {
            return None;
        }
        let method = head.method;
        let plain = self.headers.is_empty() && !fields.overrides;
        let more = if plain { 0 } else { ROOM_FOR_FIELDS };
        let mut key = if self.no_authority {
            KeyBuilder::with_capacity(method.len() + path.len() + 3 + more)
                .joined([method])
                .joined([path])
        } else {
            let authority = fields.authority(head.uri)?;
            let scheme = head.uri.scheme_str().unwrap_or_default();
            let slashes = if scheme.is_empty() { "//" } else { "://" };
            let len = method.len() + scheme.len() + authority.len() + path.len() + 6 + more;
            KeyBuilder::with_capacity(len)
                .joined([method])
                .joined([scheme, slashes, authority, path])
        };
        for name in self.headers.iter() {
            key = lines(key, name, head.headers);
        }
        if fields.overrides {
            key = self.overrides(key, head);
        }
        Some(key)
    }

    fn overrides(&self, mut key: KeyBuilder, head: &Head<'_>) -> KeyBuilder {
        for (name, value) in overrides::sorted(head.headers) {
            if head.is_assumed && is_method_override(name.as_str().as_bytes()) {
                continue;
            }
            if !self.headers.contains(name) && !self.ignored.contains(name) {
                key = key.named(name.as_str(), value.as_bytes());
            }
        }
        key
    }
}

impl<B: Send> KeyExtractor<B> for UriKey {
    type Body = B;

    fn head_key(&self, request: &Request<B>) -> HeadKey {
        self.key(&Head::of(request)).map(KeyBuilder::build).into()
    }

    fn get_key(&self, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        let key = self.key(&Head {
            method: "GET",
            uri,
            headers,
            is_assumed: true,
        });
        key.map(KeyBuilder::build)
    }

    fn pass(&self, request: Request<B>) -> Request<B> {
        request
    }
}

/// The parts of a request that do not depend on the type of its body.
struct Head<'a> {
    method: &'a str,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    /// Whether the method is another one than the request has, and so not overridden.
    is_assumed: bool,
}

impl<'a> Head<'a> {
    fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method().as_str(),
            uri: uri_as_received(request),
            headers: request.headers(),
            is_assumed: false,
        }
    }
}

/// The URI before a router took a prefix off.
pub(in crate::middleware) fn uri_as_received<B>(request: &Request<B>) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = request.extensions().get() {
        return uri;
    }
    request.uri()
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

fn lines(mut key: KeyBuilder, name: &HeaderName, headers: &HeaderMap) -> KeyBuilder {
    for value in headers.get_all(name) {
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
