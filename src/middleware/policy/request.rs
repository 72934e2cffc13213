//! Which requests may share a response with others.

use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, Method};

use super::cache_control::CacheControl;
use super::ending::is_grpc;
use super::invalidation::may_change;
use crate::middleware::key_extractor::is_method_override;
use crate::middleware::stored_response::Meta;

/// What a layer lets collapse.
#[derive(Debug, Clone)]
pub(crate) struct RequestRules {
    /// The methods. Defaults to `GET` and `HEAD`: the responses to others are not cacheable unless the application says
    /// so (RFC 9110, 9.2.3).
    pub(crate) methods: Vec<Method>,
    /// Whether requests with credentials collapse too, which is right where they are part of the key or change nothing
    /// about the response. Defaults to `false`.
    pub(crate) credentials: bool,
    /// Those credentials that are part of the key. Defaults to none.
    pub(crate) identity: Arc<[HeaderName]>,
    /// Whether unsafe requests make what is stored for their target out of date. Defaults to `true`.
    pub(crate) invalidates: bool,
}

impl Default for RequestRules {
    fn default() -> Self {
        Self {
            methods: vec![Method::GET, Method::HEAD],
            credentials: false,
            identity: Arc::default(),
            invalidates: true,
        }
    }
}

impl RequestRules {
    /// Whether these credentials keep no request from sharing.
    fn is_covered(&self, name: &HeaderName) -> bool {
        self.credentials || self.identity.contains(name)
    }
}

/// What a request may have of others' responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// All of it: it may be answered by a stored response, wait for another request, or lead others.
    Share,
    /// A stored response, in parts perhaps. Where there is none it goes to the inner service by itself.
    Read(Narrow),
    /// Nothing, and it may make stored responses out of date.
    Change,
    /// Nothing.
    Bypass(Bypass),
}

/// What narrows the use that a request has for a stored response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Narrow {
    /// Only the head of it (RFC 9110, 9.3.2).
    pub(crate) head: bool,
    /// Nothing if it is a certain one (RFC 9110, 13.1.2 and 13.1.3).
    pub(crate) conditional: bool,
    /// A range of it (RFC 9110, 14.2).
    pub(crate) range: bool,
    /// Only one for requests with `Authorization` (RFC 9111, 3.5).
    pub(crate) authorized: bool,
    /// Only one for requests with other credentials.
    pub(crate) cookies: bool,
}

impl Narrow {
    /// Whether a stored response is for a request like this one, as far as its credentials are concerned.
    pub(crate) fn admits(&self, stored: &Meta) -> bool {
        (!self.authorized || stored.for_authorized) && (!self.cookies || stored.for_cookies)
    }
}

/// Why a request goes to the inner service by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The method is not one to collapse.
    Method,
    /// The response depends on a condition that a cache does not evaluate.
    Conditional,
    /// The request asks for more than a response.
    Protocol,
    /// The method that counts may be another one.
    Override,
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
            Self::Conditional => "conditional",
            Self::Protocol => "protocol",
            Self::Override => "override",
            Self::Body => "body",
            Self::NoStore => "no-store",
        }
    }
}

/// What a request may have, by its head. `uncovered_body` says that it has a body which its key does not cover.
pub(crate) fn access(method: &Method, headers: &HeaderMap, uncovered_body: bool, rules: &RequestRules) -> Access {
    if !rules.methods.contains(method) {
        if rules.invalidates && may_change(method) && !is_grpc(headers) {
            return Access::Change;
        }
        return Access::Bypass(Bypass::Method);
    }
    if *method == Method::CONNECT {
        return Access::Bypass(Bypass::Protocol);
    }
    if uncovered_body {
        return Access::Bypass(Bypass::Body);
    }
    let mut narrow = Narrow {
        head: *method == Method::HEAD,
        ..Narrow::default()
    };
    let mut cache_control = false;
    for name in headers.keys() {
        match classify(name.as_str()) {
            Class::Irrelevant => {}
            Class::CacheControl => cache_control = true,
            Class::Authorization => narrow.authorized |= !rules.is_covered(name),
            Class::Cookies => narrow.cookies |= !rules.is_covered(name),
            Class::Conditional => narrow.conditional = true,
            Class::Range => narrow.range = true,
            Class::Precondition => return Access::Bypass(Bypass::Conditional),
            Class::Protocol => return Access::Bypass(Bypass::Protocol),
            Class::Override => return Access::Bypass(Bypass::Override),
        }
    }
    // RFC 9111, 5.2.1.5. The other directives of a request are advice (5.2.1), which a cache that protects its origin
    // does not take from everybody.
    if cache_control && CacheControl::parse(headers).map_or(true, |directives| directives.no_store) {
        return Access::Bypass(Bypass::NoStore);
    }
    if narrow == Narrow::default() {
        return Access::Share;
    }
    // What conditions and ranges mean for other methods, their stored responses do not tell.
    if (narrow.conditional || narrow.range) && !matches!(*method, Method::GET | Method::HEAD) {
        return Access::Bypass(Bypass::Conditional);
    }
    Access::Read(narrow)
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
    let credentials = match name.as_bytes() {
        [b'a', ..] if name == "authorization" => return Class::Authorization,
        [b'a', ..] => name == "api-key",
        [b'c', ..] if name == "cache-control" => return Class::CacheControl,
        [b'c', ..] => is_credentials_c(name),
        // RFC 9110, 7.8 and 10.1.1.
        [b'e' | b'u', ..] if matches!(name, "expect" | "upgrade") => return Class::Protocol,
        // RFC 9110, 13.1 and 14.2.
        [b'i', b'f', b'-', ..] => {
            return match name {
                "if-none-match" | "if-modified-since" => Class::Conditional,
                "if-range" => Class::Range,
                _ => Class::Precondition,
            };
        }
        [b'r', ..] if name == "range" => return Class::Range,
        [b'p', ..] => name == "proxy-authorization",
        [b'r', ..] => name == "remote-user",
        [b'x', ..] if is_method_override(name.as_bytes()) => return Class::Override,
        [b'x', ..] => is_credentials_x(name),
        _ => false,
    };
    if credentials { Class::Cookies } else { Class::Irrelevant }
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
            | "x-goog-api-key"
            | "x-goog-iam-authorization-token"
            | "x-goog-iap-jwt-assertion"
            | "x-apigateway-api-userinfo"
            | "x-endpoint-api-userinfo"
            | "x-goog-authenticated-user-id"
            | "x-goog-authenticated-user-email"
    ) || name.starts_with("x-amzn-oidc-")
        || name.starts_with("x-ms-client-principal")
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    fn check(method: &str, lines: &[(&'static str, &str)], rules: &RequestRules) -> Access {
        let method = method.parse().unwrap();
        access(&method, &headers(lines), false, rules)
    }

    #[test]
    fn plain_reads_share() {
        for lines in [
            &[][..],
            &[("accept", "*/*"), ("user-agent", "x"), ("te", "trailers")],
            &[("cache-control", "no-cache, max-age=0"), ("pragma", "no-cache")],
            &[("cache-control", "only-if-cached")],
            &[
                ("x-request-id", "1"),
                ("x-amzn-trace-id", "1"),
                ("cf-ray", "1"),
                ("ifs", "1"),
            ],
        ] {
            assert_eq!(
                check("GET", lines, &RequestRules::default()),
                Access::Share,
                "{lines:?}"
            );
        }
    }

    #[test]
    fn whatever_is_meant_for_one_client_only_reads() {
        let narrow = Narrow::default();
        let authorized = Narrow {
            authorized: true,
            ..narrow
        };
        let cookies = Narrow {
            cookies: true,
            ..narrow
        };
        let conditional = Narrow {
            conditional: true,
            ..narrow
        };
        let range = Narrow { range: true, ..narrow };
        for (expected, names) in [
            (authorized, &["authorization"][..]),
            (
                cookies,
                &[
                    "proxy-authorization",
                    "cookie",
                    "x-api-key",
                    "client-cert",
                    "remote-user",
                    "cf-access-jwt-assertion",
                    "x-amzn-oidc-data",
                    "x-ms-client-principal-id",
                ],
            ),
            (conditional, &["if-none-match", "if-modified-since"]),
            (range, &["range", "if-range"]),
        ] {
            for name in names {
                for value in ["", "x"] {
                    let lines = [("accept", "*/*"), (*name, value)];
                    let found = check("GET", &lines, &RequestRules::default());
                    assert_eq!(found, Access::Read(expected), "{name}");
                }
            }
        }
        let head = Narrow { head: true, ..narrow };
        assert_eq!(check("HEAD", &[], &RequestRules::default()), Access::Read(head));
        let both = Narrow { head: true, ..cookies };
        let lines = [("cookie", "x")];
        assert_eq!(check("HEAD", &lines, &RequestRules::default()), Access::Read(both));
    }

    #[test]
    fn what_a_stored_response_cannot_answer_bypasses() {
        for (expected, names) in [
            (Bypass::Conditional, &["if-match"][..]),
            (Bypass::Conditional, &["if-unmodified-since", "if-schedule-tag-match"]),
            (Bypass::Protocol, &["upgrade", "expect"]),
            (
                Bypass::Override,
                &["x-http-method-override", "x-http-method", "x-method-override"],
            ),
        ] {
            for name in names {
                let found = check("GET", &[(*name, "x")], &RequestRules::default());
                assert_eq!(found, Access::Bypass(expected), "{name}");
            }
        }
        for value in ["no-store", "max-age=1, NO-STORE", "max-age="] {
            let lines = [("cache-control", value)];
            let found = check("GET", &lines, &RequestRules::default());
            assert_eq!(found, Access::Bypass(Bypass::NoStore), "{value}");
        }
        let found = access(&Method::GET, &headers(&[]), true, &RequestRules::default());
        assert_eq!(found, Access::Bypass(Bypass::Body));
    }

    #[test]
    fn unsafe_methods_change_and_others_bypass() {
        let rules = RequestRules::default();
        for method in ["POST", "PUT", "DELETE", "get"] {
            assert_eq!(check(method, &[], &rules), Access::Change, "{method}");
        }
        for method in ["OPTIONS", "CONNECT", "QUERY"] {
            assert_eq!(check(method, &[], &rules), Access::Bypass(Bypass::Method), "{method}");
        }
        let grpc = [("content-type", "application/grpc")];
        assert_eq!(check("POST", &grpc, &rules), Access::Bypass(Bypass::Method));
        let rules = RequestRules {
            invalidates: false,
            ..rules
        };
        assert_eq!(check("POST", &[], &rules), Access::Bypass(Bypass::Method));
    }

    #[test]
    fn rules_widen_what_is_shared() {
        let rules = RequestRules {
            methods: vec![Method::POST, Method::CONNECT],
            credentials: true,
            ..RequestRules::default()
        };
        let lines = [("authorization", "x"), ("cookie", "y")];
        assert_eq!(check("POST", &lines, &rules), Access::Share);
        assert_eq!(
            check("POST", &[("range", "x")], &rules),
            Access::Bypass(Bypass::Conditional)
        );
        assert_eq!(check("GET", &[], &rules), Access::Bypass(Bypass::Method));
        assert_eq!(check("CONNECT", &[], &rules), Access::Bypass(Bypass::Protocol));
    }
}
