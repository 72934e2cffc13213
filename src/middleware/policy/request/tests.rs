use super::super::headers;
use super::*;

fn check(method: &str, lines: &[(&'static str, &str)], rules: &RequestRules) -> Access {
    let method = method.parse().unwrap();
    access(&method, &headers(lines), false, |_| false, rules)
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
fn what_is_meant_for_one_client_only_reads() {
    let constraints = RequestConstraints::default();
    let authorized = RequestConstraints {
        authorized: true,
        ..constraints
    };
    let cookies = RequestConstraints {
        cookies: true,
        ..constraints
    };
    let conditional = RequestConstraints {
        conditional: true,
        ..constraints
    };
    let range = RequestConstraints {
        range: true,
        ..constraints
    };
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
                "private-token",
                "authorization-bin",
                "x-forwarded-user",
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
}

#[test]
fn a_head_only_reads_besides_what_else_is_said_of_it() {
    let head = RequestConstraints {
        head: true,
        ..RequestConstraints::default()
    };
    let cookies = RequestConstraints { cookies: true, ..head };
    let conditional = RequestConstraints {
        conditional: true,
        ..head
    };
    for (lines, expected) in [
        (&[][..], head),
        (&[("cookie", "x")], cookies),
        (&[("if-none-match", "x")], conditional),
    ] {
        assert_eq!(
            check("HEAD", lines, &RequestRules::default()),
            Access::Read(expected),
            "{lines:?}"
        );
    }
}

#[test]
fn what_a_stored_response_cannot_answer_bypasses() {
    for (expected, names) in [
        (Reason::Conditional, &["if-match"][..]),
        (Reason::Conditional, &["if-unmodified-since", "if-schedule-tag-match"]),
        (Reason::Protocol, &["upgrade", "expect"]),
        (
            Reason::MethodOverride,
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
        assert_eq!(found, Access::Bypass(Reason::RequestNoStore), "{value}");
    }
    let found = access(&Method::GET, &headers(&[]), true, |_| false, &RequestRules::default());
    assert_eq!(found, Access::Bypass(Reason::BodyNotInKey));
}

#[test]
fn only_if_cached_counts_where_that_is_wanted() {
    for (value, wanted, found) in [
        ("only-if-cached", false, Access::Share),
        (
            "only-if-cached, no-store",
            false,
            Access::Bypass(Reason::RequestNoStore),
        ),
        (
            "only-if-cached",
            true,
            Access::Read(RequestConstraints {
                only_if_cached: true,
                ..RequestConstraints::default()
            }),
        ),
        (
            "only-if-cached, no-store",
            true,
            Access::Read(RequestConstraints {
                only_if_cached: true,
                ..RequestConstraints::default()
            }),
        ),
        ("max-age=0", true, Access::Share),
    ] {
        let rules = RequestRules {
            only_if_cached: wanted,
            ..RequestRules::default()
        };
        assert_eq!(check("GET", &[("cache-control", value)], &rules), found, "{value}");
    }
}

#[test]
fn unsafe_methods_change_and_others_bypass() {
    let rules = RequestRules::default();
    for method in ["POST", "PUT", "DELETE", "get"] {
        assert_eq!(check(method, &[], &rules), Access::Change, "{method}");
    }
    for method in ["OPTIONS", "CONNECT", "QUERY"] {
        assert_eq!(check(method, &[], &rules), Access::Bypass(Reason::Method), "{method}");
    }
    let grpc = [("content-type", "application/grpc")];
    assert_eq!(check("POST", &grpc, &rules), Access::Bypass(Reason::Method));
    let rules = RequestRules {
        invalidates: false,
        ..rules
    };
    assert_eq!(check("POST", &[], &rules), Access::Bypass(Reason::Method));
}

#[test]
fn a_layer_adds_credentials_and_excepts_them() {
    let names = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect();
    let rules = RequestRules {
        more_credentials: names(&["x-tenant", "x-device", "x-both", "x-secret-both"]),
        not_credentials: names(&["x-session-hint", "x-token", "authorization", "x-both", "x-secret-both"]),
        key_headers: names(&["x-device", "x-api-key"]),
        ..RequestRules::default()
    };
    let cookies = Access::Read(RequestConstraints {
        cookies: true,
        ..RequestConstraints::default()
    });
    for (name, expected) in [
        ("x-tenant", cookies),
        ("x-both", cookies),
        ("x-secret-both", cookies),
        ("x-secret", cookies),
        ("x-api-key", Access::Share),
        ("x-token", Access::Share),
        ("x-device", Access::Share),
        ("x-session-hint", Access::Share),
        ("authorization", Access::Share),
        ("accept", Access::Share),
    ] {
        assert_eq!(check("GET", &[(name, "1")], &rules), expected, "{name}");
        // No other field takes that back.
        let lines = [(name, "1"), ("accept", "*/*"), ("x-token", "1")];
        assert_eq!(check("GET", &lines, &rules), expected, "{name}");
        // What the extractor has put into the key sets no request apart.
        let found = access(&Method::GET, &headers(&[(name, "1")]), false, |_| true, &rules);
        assert_eq!(found, Access::Share, "{name}");
    }
}

#[test]
fn a_credential_in_the_key_sets_no_request_apart() {
    let rules = RequestRules::default();
    for name in ["authorization", "cookie"] {
        let in_key = |field: &HeaderName| field == name;
        let found = access(&Method::GET, &headers(&[(name, "1")]), false, in_key, &rules);
        assert_eq!(found, Access::Share, "{name}");
    }
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
    for name in ["range", "if-none-match"] {
        let found = check("POST", &[(name, "x")], &rules);
        assert_eq!(found, Access::Bypass(Reason::Conditional), "{name}");
    }
    assert_eq!(check("GET", &[], &rules), Access::Bypass(Reason::Method));
    assert_eq!(check("CONNECT", &[], &rules), Access::Bypass(Reason::Protocol));
}

#[test]
fn what_a_request_asks_for_is_why_it_leads_no_computation() {
    let none = RequestConstraints::default();
    let only_if_cached = RequestConstraints {
        only_if_cached: true,
        range: true,
        ..none
    };
    let range = RequestConstraints {
        range: true,
        conditional: true,
        ..none
    };
    let conditional = RequestConstraints {
        conditional: true,
        head: true,
        ..none
    };
    let head = RequestConstraints { head: true, ..none };
    let authorized = RequestConstraints {
        authorized: true,
        ..none
    };
    let cookies = RequestConstraints { cookies: true, ..none };
    for (constraints, reason, has_credentials) in [
        (only_if_cached, Reason::OnlyIfCached, false),
        (range, Reason::Range, false),
        (conditional, Reason::Conditional, false),
        (head, Reason::Head, false),
        (authorized, Reason::Credentials, true),
        (cookies, Reason::Credentials, true),
    ] {
        assert_eq!(constraints.reason(), reason);
        assert_eq!(constraints.has_credentials(), has_credentials, "{reason:?}");
        assert_eq!(constraints.is_for_all_of_it(), has_credentials, "{reason:?}");
    }
    let only_if_cached = RequestConstraints {
        range: false,
        ..only_if_cached
    };
    let range = RequestConstraints {
        conditional: false,
        ..range
    };
    assert!(!only_if_cached.is_for_all_of_it() && !range.is_for_all_of_it());
}
