//! Which requests may share a response with others.

use http::{HeaderMap, Method};

use super::cache_control::CacheControl;

/// What a layer lets collapse.
#[derive(Debug, Clone)]
pub(crate) struct RequestRules {
    /// The methods. Defaults to `GET` and `HEAD`: the responses to others are not cacheable unless the application says
    /// so (RFC 9110, 9.2.3).
    pub(crate) methods: Vec<Method>,
    /// Whether requests with credentials collapse too, which is right where they are part of the key or change nothing
    /// about the response. Defaults to `false`.
    pub(crate) credentials: bool,
}

impl Default for RequestRules {
    fn default() -> Self {
        Self {
            methods: vec![Method::GET, Method::HEAD],
            credentials: false,
        }
    }
}

/// Why a request goes to the inner service by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The method is not one to collapse.
    Method,
    /// The response may be meant for the holder of the credentials alone.
    Credentials,
    /// The response depends on a condition or a range.
    Conditional,
    /// The request asks for more than a response.
    Protocol,
    /// There is a body which the key does not cover.
    Body,
    /// The request forbids storing.
    NoStore,
}

impl Bypass {
    /// A word for it, for logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Credentials => "credentials",
            Self::Conditional => "conditional",
            Self::Protocol => "protocol",
            Self::Body => "body",
            Self::NoStore => "no-store",
        }
    }
}

/// Whether a request may share a response, by its head. `uncovered_body` says that it has a body which its key does
/// not cover.
pub(crate) fn may_collapse(
    method: &Method,
    headers: &HeaderMap,
    uncovered_body: bool,
    rules: &RequestRules,
) -> Result<(), Bypass> {
    if !rules.methods.contains(method) {
        return Err(Bypass::Method);
    }
    if *method == Method::CONNECT {
        return Err(Bypass::Protocol);
    }
    if uncovered_body {
        return Err(Bypass::Body);
    }
    let mut cache_control = false;
    for name in headers.keys() {
        match classify(name.as_str()) {
            Class::Irrelevant => {}
            Class::CacheControl => cache_control = true,
            Class::Credentials if rules.credentials => {}
            Class::Credentials => return Err(Bypass::Credentials),
            Class::Conditional => return Err(Bypass::Conditional),
            Class::Protocol => return Err(Bypass::Protocol),
        }
    }
    // RFC 9111, 5.2.1.5. The other directives of a request are advice (5.2.1), which a cache that protects its origin
    // does not take from everybody.
    if cache_control && CacheControl::parse(headers).map_or(true, |directives| directives.no_store) {
        return Err(Bypass::NoStore);
    }
    Ok(())
}

/// What a header field means for sharing.
enum Class {
    Irrelevant,
    CacheControl,
    Credentials,
    Conditional,
    Protocol,
}

/// Most names are told apart by their first letter, which saves the path of a hit some thirty comparisons a field.
fn classify(name: &str) -> Class {
    let credentials = match name.as_bytes() {
        [b'a', ..] => matches!(name, "authorization" | "api-key"),
        [b'c', ..] if name == "cache-control" => return Class::CacheControl,
        [b'c', ..] => is_credentials_c(name),
        // RFC 9110, 7.8 and 10.1.1.
        [b'e' | b'u', ..] if matches!(name, "expect" | "upgrade") => return Class::Protocol,
        // RFC 9110, 13.1 and 14.2.
        [b'i', b'f', b'-', ..] => return Class::Conditional,
        [b'r', ..] if name == "range" => return Class::Conditional,
        [b'p', ..] => name == "proxy-authorization",
        [b'r', ..] => name == "remote-user",
        [b'x', ..] => is_credentials_x(name),
        _ => false,
    };
    if credentials {
        Class::Credentials
    } else {
        Class::Irrelevant
    }
}

/// RFC 9111, 3.5 and 7.3; RFC 9440, 2.2; Cloudflare Access.
fn is_credentials_c(name: &str) -> bool {
    matches!(
        name,
        "cookie" | "cookie2" | "client-cert" | "client-cert-chain" | "cf-access-jwt-assertion"
    )
}

/// What API gateways and identity-aware proxies use.
fn is_credentials_x(name: &str) -> bool {
    matches!(
        name,
        "x-api-key"
            | "x-access-token"
            | "x-auth-token"
            | "x-authorization"
            | "x-client-cert"
            | "x-remote-user"
            | "x-amz-security-token"
            | "x-goog-iap-jwt-assertion"
            | "x-goog-authenticated-user-id"
            | "x-goog-authenticated-user-email"
    ) || name.starts_with("x-amzn-oidc-")
        || name.starts_with("x-ms-client-principal")
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    fn check(
        method: &str,
        lines: &[(&'static str, &str)],
        uncovered_body: bool,
        rules: &RequestRules,
    ) -> Result<(), Bypass> {
        let method = method.parse().unwrap();
        may_collapse(&method, &headers(lines), uncovered_body, rules)
    }

    #[test]
    fn plain_reads_collapse() {
        for (method, lines) in [
            ("GET", &[][..]),
            ("HEAD", &[]),
            ("GET", &[("accept", "*/*"), ("user-agent", "x"), ("te", "trailers")]),
            (
                "GET",
                &[("cache-control", "no-cache, max-age=0"), ("pragma", "no-cache")],
            ),
            ("GET", &[("cache-control", "only-if-cached")]),
            (
                "GET",
                &[
                    ("x-request-id", "1"),
                    ("x-amzn-trace-id", "1"),
                    ("cf-ray", "1"),
                    ("ifs", "1"),
                ],
            ),
        ] {
            let found = check(method, lines, false, &RequestRules::default());
            assert_eq!(found, Ok(()), "{method} {lines:?}");
        }
    }

    #[test]
    fn whatever_may_be_meant_for_one_client_bypasses() {
        for (expected, names) in [
            (
                Bypass::Credentials,
                &[
                    "authorization",
                    "proxy-authorization",
                    "cookie",
                    "x-api-key",
                    "client-cert",
                    "remote-user",
                    "cf-access-jwt-assertion",
                    "x-amzn-oidc-data",
                    "x-ms-client-principal-id",
                ][..],
            ),
            (
                Bypass::Conditional,
                &[
                    "range",
                    "if-match",
                    "if-none-match",
                    "if-modified-since",
                    "if-unmodified-since",
                    "if-range",
                ],
            ),
            (Bypass::Protocol, &["upgrade", "expect"]),
        ] {
            for name in names {
                for value in ["", "x"] {
                    let lines = [("accept", "*/*"), (*name, value)];
                    let found = check("GET", &lines, false, &RequestRules::default());
                    assert_eq!(found, Err(expected), "{name}");
                }
            }
        }
    }

    #[test]
    fn methods_bodies_and_no_store_bypass() {
        let rules = RequestRules::default();
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "QUERY", "get"] {
            assert_eq!(check(method, &[], false, &rules), Err(Bypass::Method), "{method}");
        }
        assert_eq!(check("GET", &[], true, &rules), Err(Bypass::Body));
        for value in ["no-store", "max-age=1, NO-STORE", "max-age="] {
            let lines = [("cache-control", value)];
            assert_eq!(check("GET", &lines, false, &rules), Err(Bypass::NoStore), "{value}");
        }
    }

    #[test]
    fn rules_widen_what_collapses() {
        let rules = RequestRules {
            methods: vec![Method::POST, Method::CONNECT],
            credentials: true,
        };
        let lines = [("authorization", "x"), ("cookie", "y")];
        assert_eq!(check("POST", &lines, false, &rules), Ok(()));
        assert_eq!(check("GET", &[], false, &rules), Err(Bypass::Method));
        assert_eq!(check("CONNECT", &[], false, &rules), Err(Bypass::Protocol));
    }
}
