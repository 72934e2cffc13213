use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use http::header::{ACCEPT, ACCEPT_LANGUAGE, FORWARDED, HOST};
use http::{HeaderValue, Method, Version};
use proptest::prelude::*;

use super::*;

fn request(method: &str, uri: &str, fields: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn key(extractor: &UriKey, request: &Request<()>) -> Option<String> {
    match extractor.head_key(request) {
        HeadKey::Key(key) => Some(key.to_string()),
        HeadKey::Bypass => None,
        HeadKey::NeedsBody => panic!("the body is not looked at"),
    }
}

#[test]
fn keys_are_method_and_target() {
    let host = ("host", "example.com");
    for (method, uri, fields, expected) in [
        (
            "GET",
            "http://example.com/report/42?x=1",
            &[][..],
            Some("{GET http://example.com/report/42?x=1}"),
        ),
        ("GET", "http://example.com", &[], Some("{GET http://example.com/}")),
        (
            "GET",
            "https://example.com:8443/a",
            &[],
            Some("{GET https://example.com:8443/a}"),
        ),
        ("HEAD", "/a", &[host], Some("{HEAD //example.com/a}")),
        ("GET", "/a", &[("host", "[::1]:80")], Some("{GET //[::1]:80/a}")),
        (
            "GET",
            "http://example.com/a",
            &[host],
            Some("{GET http://example.com/a}"),
        ),
        ("GET", "/a?", &[host], Some("{GET //example.com/a?}")),
        (
            "GET",
            "//a/%2e%2E/;b",
            &[host],
            Some("{GET //example.com//a/%2e%2E/;b}"),
        ),
        ("GET", "/a", &[], Some("{GET ///a}")),
        ("GET", "//example.com/a", &[], Some("{GET ////example.com/a}")),
        ("GET", "http://example.com/a", &[("host", "other")], None),
        ("GET", "http://example.com/a", &[("host", "EXAMPLE.com")], None),
        ("GET", "http://user@example.com/a", &[], None),
        ("GET", "/a", &[host, host], None),
        ("GET", "/a", &[host, ("host", "other")], None),
        ("GET", "/a", &[("host", "")], None),
        ("GET", "/b", &[("host", "example.com/a")], None),
        ("GET", "/b", &[("host", "example.com?a")], None),
        ("GET", "/b", &[("host", "user@example.com")], None),
        ("GET", "/b", &[("host", "example.com, other")], None),
        ("OPTIONS", "*", &[host], None),
        ("CONNECT", "example.com:80", &[host], None),
    ] {
        let found = key(&UriKey::new(), &request(method, uri, fields));
        assert_eq!(found.as_deref(), expected, "{method} {uri} {fields:?}");
    }
}

#[test]
fn key_of_a_get_is_found_from_other_requests() {
    let extractor = UriKey::new().header(ACCEPT);
    let fields = [("host", "a"), ("accept", "x"), ("x-forwarded-proto", "https")];
    let expected = key(&extractor, &request("GET", "/a?b", &fields));
    for (method, more) in [
        ("HEAD", None),
        ("POST", None),
        ("POST", Some(("x-http-method-override", "PUT"))),
    ] {
        let other = request(method, "/a?b", &Vec::from_iter(fields.into_iter().chain(more)));
        let found = KeyExtractor::<()>::get_key(&extractor, other.uri(), other.headers());
        assert_eq!(found.map(|key| key.to_string()), expected, "{method}");
    }
    let unclear = request("POST", "/a", &[("host", "a"), ("host", "b")]);
    assert_eq!(
        KeyExtractor::<()>::get_key(&extractor, unclear.uri(), unclear.headers()),
        None
    );
}

#[test]
fn chosen_fields_are_told_apart() {
    let extractor = UriKey::new().headers([ACCEPT_LANGUAGE, ACCEPT]);
    let name = "accept-language";
    for (fields, expected) in [
        (&[][..], "{GET ///a}"),
        (&[(name, "")], "{GET ///a accept-language=}"),
        (&[(name, "de")], "{GET ///a accept-language=de}"),
        (&[(name, "de, en")], "{GET ///a accept-language=de,^20en}"),
        (
            &[(name, "de"), (name, "en")],
            "{GET ///a accept-language=de accept-language=en}",
        ),
        (&[("accept", "b"), (name, "a")], "{GET ///a accept-language=a accept=b}"),
        (&[("user-agent", "curl")], "{GET ///a}"),
    ] {
        let found = key(&extractor, &request("GET", "/a", fields));
        assert_eq!(found.as_deref(), Some(expected), "{fields:?}");
    }
}

#[test]
fn overrides_are_part_of_the_key_in_any_order() {
    let fields = [
        ("x-forwarded-host", "evil"),
        ("forwarded", "host=b"),
        ("x-forwarded-for", "::1"),
    ];
    let reversed = [fields[2], fields[1], fields[0]];
    let expected = "{GET ///a forwarded=host=b x-forwarded-host=evil}";
    for fields in [fields, reversed] {
        let found = key(&UriKey::new(), &request("GET", "/a", &fields));
        assert_eq!(found.as_deref(), Some(expected));
    }

    let chosen = UriKey::new().header(FORWARDED);
    assert_eq!(key(&chosen, &request("GET", "/a", &fields)).as_deref(), Some(expected));

    let ignoring = UriKey::new().without_header(FORWARDED);
    assert_eq!(
        key(&ignoring, &request("GET", "/a", &fields)).as_deref(),
        Some("{GET ///a x-forwarded-host=evil}")
    );
}

#[test]
fn without_authority_only_method_and_path_count() {
    let extractor = UriKey::new().without_authority();
    for (uri, fields) in [
        ("http://example.com/a?b", &[][..]),
        ("https://other:1/a?b", &[("host", "third")]),
        ("/a?b", &[("host", "one"), ("host", "two")]),
        ("/a?b", &[]),
    ] {
        let found = key(&extractor, &request("GET", uri, fields));
        assert_eq!(found.as_deref(), Some("{GET /a?b}"), "{uri} {fields:?}");
    }
}

#[test]
fn version_of_the_protocol_does_not_matter() {
    let mut http2 = request("GET", "http://example.com/a", &[]);
    let http1 = http2.clone();
    *http2.version_mut() = Version::HTTP_2;
    assert_eq!(key(&UriKey::new(), &http1), key(&UriKey::new(), &http2));
}

#[test]
fn long_keys_are_bounded_and_distinct() {
    let long = format!("/{}", "a".repeat(8000));
    let one = key(&UriKey::new(), &request("GET", &long, &[])).unwrap();
    let other = key(&UriKey::new(), &request("GET", &format!("{long}b"), &[])).unwrap();
    assert!(one.len() <= 241 && other.len() <= 241);
    assert_ne!(one, other);
}

/// What a key covers, taken from the request in a way that shares nothing with the extractor.
fn covered(request: &Request<()>) -> impl Clone + Eq + Hash + Debug + use<> {
    let headers = request.headers();
    let authority = match (request.uri().authority(), headers.get(HOST)) {
        (Some(authority), _) => Some(authority.as_str().as_bytes().to_vec()),
        (None, host) => host.map(|host| host.as_bytes().to_vec()),
    };
    let values = |name| headers.get_all(name).iter().cloned().collect::<Vec<HeaderValue>>();
    (
        request.method().clone(),
        request.uri().scheme_str().map(str::to_owned),
        authority,
        request.uri().path_and_query().map(|path| path.as_str().to_owned()),
        ["accept", "x-host"].map(values),
    )
}

fn any_request() -> impl Strategy<Value = Request<()>> {
    // Few characters, most of them with a meaning somewhere, so that different requests come close to each other.
    let method = prop_oneof![Just("GET"), Just("^"), Just("G#")];
    let path = prop_oneof![
        "/[a/?]{0,3}".boxed(),
        "/[a{}^%]{0,3}".boxed(),
        Just(String::from("/")).boxed()
    ];
    let scheme = prop_oneof![Just("http"), Just("https")];
    let absolute = prop::option::weighted(0.3, (scheme, "[a:]{1,2}"));
    let host = prop::collection::vec("[a/?]{0,3}", 0..2);
    let name = prop_oneof![4 => Just("accept"), 1 => Just("x-host"), 1 => Just("other")];
    let value = prop_oneof![Just(""), Just("a"), Just("a accept=a")];
    let fields = prop_oneof![Just(vec![]), prop::collection::vec((name, value), 0..3)];
    (method, absolute, path, host, fields).prop_filter_map("not a request", |(method, absolute, path, host, fields)| {
        let prefix = absolute.map_or_else(String::new, |(scheme, authority)| format!("{scheme}://{authority}"));
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).ok()?)
            .uri(format!("{prefix}{path}"));
        for value in host {
            request = request.header(HOST, value);
        }
        for (name, value) in fields {
            request = request.header(name, value);
        }
        request.body(()).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn requests_share_a_key_exactly_where_all_that_is_covered_is_the_same(
        requests in prop::collection::vec(any_request(), 400),
    ) {
        let extractor = UriKey::new().header(ACCEPT);
        let (mut by_key, mut by_covered) = (HashMap::new(), HashMap::new());
        for request in &requests {
            if let Some(key) = key(&extractor, request) {
                let covered = covered(request);
                let other = by_key.entry(key.clone()).or_insert_with(|| covered.clone());
                prop_assert_eq!(&covered, other, "{}", key);
                prop_assert_eq!(&key, by_covered.entry(covered).or_insert_with(|| key.clone()));
            }
        }
    }

    #[test]
    fn keys_are_bounded(path in "/[a-z{}?]{0,300}", value in "[ -~]{0,300}") {
        let extractor = UriKey::new().header(ACCEPT);
        if let Ok(request) = Request::get(path).header(ACCEPT, value).body(()) {
            prop_assert!(key(&extractor, &request).is_none_or(|key| key.len() <= 241));
        }
    }
}
