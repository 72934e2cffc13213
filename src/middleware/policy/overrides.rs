//! Fields that frameworks take for the method, the target or the client in place of the real ones.
//!
//! A request that carries such a field may get an answer made for the field's content. If the field were not in the
//! key, a client could have a response of its own making stored for all (web cache poisoning).

use http::header::{HeaderMap, HeaderName};

/// Whether a field named `name` may override the method, the target or the client.
pub(crate) fn is_override(name: &[u8]) -> bool {
    match name {
        [b'x', b'-', rest @ ..] => is_extension_override(rest),
        b"forwarded" | b"front-end-https" | b"base-url" | b"request-uri" => true,
        _ => false,
    }
}

/// Whether a field named `name` may override the method.
pub(in crate::middleware) fn is_method_override(name: &[u8]) -> bool {
    name.starts_with(b"x-http-method") || name.starts_with(b"x-method")
}

fn is_extension_override(name: &[u8]) -> bool {
    match name {
        [b'f', ..] => name.starts_with(b"forwarded-") && !matches!(name, b"forwarded-for"),
        [b'o', ..] => name.starts_with(b"original-") && !matches!(name, b"original-for"),
        [b'h', ..] => name.starts_with(b"host") || name.starts_with(b"http-") && name != b"http-version",
        [b'r', ..] => name.starts_with(b"rewrite-") || name == b"request-uri",
        [b'e', ..] => name.starts_with(b"envoy-original-"),
        [b'm', ..] => name.starts_with(b"method"),
        [b'p', ..] => matches!(name, b"proto" | b"protocol" | b"path" | b"port" | b"prefix"),
        [b's', ..] => matches!(name, b"scheme" | b"script-name" | b"server-name"),
        [b'u', ..] => matches!(name, b"uri" | b"url" | b"url-scheme"),
        _ => false,
    }
}

/// The names of the overrides in `headers`, sorted: the order of different fields means nothing.
pub(crate) fn sorted(headers: &HeaderMap) -> Vec<&HeaderName> {
    let mut names: Vec<&HeaderName> = Vec::new();
    for name in headers.keys().filter(|name| is_override(name.as_str().as_bytes())) {
        // Few requests have any, and then only a few: a real sort is not worth its code.
        let at = names.partition_point(|other| other.as_str() < name.as_str());
        names.insert(at, name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_overrides_are_told_from_other_fields() {
        for name in [
            "forwarded",
            "front-end-https",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-forwarded-proto",
            "x-forwarded-scheme",
            "x-forwarded-server",
            "x-forwarded-user",
            "x-host",
            "x-host-override",
            "x-http-host-override",
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "x-original-host",
            "x-original-url",
            "x-rewrite-url",
            "x-url-scheme",
            "base-url",
            "request-uri",
            "x-request-uri",
            "x-envoy-original-path",
            "x-path",
            "x-port",
            "x-prefix",
            "x-proto",
            "x-protocol",
            "x-scheme",
            "x-script-name",
            "x-server-name",
            "x-uri",
            "x-url",
        ] {
            assert!(is_override(name.as_bytes()), "{name}");
        }
        for name in [
            "accept",
            "host",
            "user-agent",
            "x-forwarded-for",
            "x-original-for",
            "x-envoy-attempt-count",
            "x-frame-options",
            "x-http-version",
            "x-origin",
            "x-real-ip",
            "x-request-id",
            "x-requested-with",
            "x-",
            "x",
        ] {
            assert!(!is_override(name.as_bytes()), "{name}");
        }
    }
}
