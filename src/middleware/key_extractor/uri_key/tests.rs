mod injective;

use http::header::{ACCEPT, ACCEPT_LANGUAGE, FORWARDED, HOST};
use http::{HeaderValue, Method, Version};

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
fn what_may_stand_in_a_host_has_nothing_to_escape() {
    for byte in (0..=u8::MAX).filter(|byte| IN_HOST[usize::from(*byte)]) {
        let key = Key::builder().part([byte]).build();
        assert_eq!(key.as_str(), format!("{{{}}}", char::from(byte)));
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
    let shape = ":+accept-language,+accept";
    for (fields, expected) in [
        (&[][..], ""),
        (&[(name, "")], " accept-language="),
        (&[(name, "de")], " accept-language=de"),
        (&[(name, "de, en")], " accept-language=de,^20en"),
        (&[(name, "de"), (name, "en")], " accept-language=de accept-language=en"),
        (&[("accept", "b"), (name, "a")], " accept-language=a accept=b"),
        (&[("user-agent", "curl")], ""),
    ] {
        let found = key(&extractor, &request("GET", "/a", fields));
        let expected = format!("{{GET ///a {shape}{expected}}}");
        assert_eq!(found, Some(expected), "{fields:?}");
    }
}

#[test]
fn secrets_stand_in_the_key_as_a_digest() {
    let extractor = UriKey::new().header(http::header::AUTHORIZATION);
    let of = |fields: &[(&'static str, &str)]| key(&extractor, &request("GET", "/a", fields)).unwrap();
    let one = of(&[("authorization", "hush")]);
    assert!(one.contains(" authorization:sha256=") && !one.contains("hush"), "{one}");
    assert_ne!(one, of(&[("authorization", "hush2")]));
    assert_ne!(one, of(&[("authorization", "hush"), ("authorization", "hush")]));
    assert_eq!(of(&[]), "{GET ///a :+authorization}");
    let user = key(&UriKey::new(), &request("GET", "/a", &[("x-forwarded-user", "anna")])).unwrap();
    assert!(
        user.contains(" x-forwarded-user:sha256=") && !user.contains("anna"),
        "{user}"
    );
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

    for (extractor, expected) in [
        (
            UriKey::new().header(FORWARDED),
            "{GET ///a :+forwarded forwarded=host=b x-forwarded-host=evil}",
        ),
        (
            UriKey::new().without_header(FORWARDED),
            "{GET ///a :-forwarded x-forwarded-host=evil}",
        ),
    ] {
        let found = key(&extractor, &request("GET", "/a", &fields));
        assert_eq!(found.as_deref(), Some(expected));
    }
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
        assert_eq!(found.as_deref(), Some("{GET /a?b :-:authority}"), "{uri} {fields:?}");
    }
}

#[test]
fn parameters_that_are_not_named_make_no_difference() {
    let extractor = UriKey::new().query_parameters(["page", "q"]);
    for (uri, expected) in [
        ("/a?utm_source=x&page=2", "{GET ///a?page=2 :?page&q}"),
        ("/a?utm_source=x", "{GET ///a :?page&q}"),
        ("/a?%70age=2", "{GET ///a?%70age=2 :?page&q}"),
    ] {
        assert_eq!(key(&extractor, &request("GET", uri, &[])).as_deref(), Some(expected));
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
