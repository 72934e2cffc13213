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

/// What an extractor may be told to cover.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    no_authority: bool,
    fields: Vec<&'static str>,
    ignored: Vec<&'static str>,
    query: Option<Vec<&'static str>>,
}

impl Shape {
    fn extractor(&self) -> UriKey {
        let name = |name: &&'static str| HeaderName::from_static(name);
        let mut extractor = UriKey::new().headers(self.fields.iter().map(name));
        for ignored in &self.ignored {
            extractor = extractor.without_header(name(ignored));
        }
        if let Some(names) = &self.query {
            extractor = extractor.query_parameters(names.iter().copied());
        }
        if self.no_authority {
            extractor.without_authority()
        } else {
            extractor
        }
    }

    fn covered(&self, request: &Request<()>) -> Vec<String> {
        let headers = request.headers();
        let uri = request.uri();
        let mut covered = vec![request.method().to_string(), uri.path().to_owned()];
        covered.extend((self.query.is_none()).then(|| format!("{:?}", uri.query())));
        if !self.no_authority {
            let of_uri = uri.authority().map(|authority| authority.as_str().as_bytes());
            let authority = of_uri.or_else(|| headers.get(HOST).map(HeaderValue::as_bytes));
            covered.push(format!("{:?} {authority:?}", uri.scheme_str()));
        }
        let overrides = ["x-host"].into_iter().filter(|name| !self.ignored.contains(name));
        for name in self.fields.iter().copied().chain(overrides) {
            covered.push(format!("{name} {:?}", headers.get_all(name).iter().collect::<Vec<_>>()));
        }
        covered
    }
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let fields = prop::sample::subsequence(vec!["accept", "other", "authorization"], 0..3);
    let ignored = prop::sample::subsequence(vec!["x-host", "accept"], 0..2);
    let query = prop::option::of(prop::sample::subsequence(vec!["a", "b"], 0..2));
    (any::<bool>(), fields, ignored, query).prop_map(|(no_authority, fields, ignored, query)| Shape {
        no_authority,
        fields,
        ignored,
        query,
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
    fn two_extractors_share_a_key_only_where_they_cover_the_same(
        requests in prop::collection::vec(any_request(), 100),
        shapes in prop::collection::vec(any_shape(), 8),
    ) {
        let mut by_key = HashMap::new();
        for shape in &shapes {
            for request in &requests {
                let Some(key) = key(&shape.extractor(), request) else { continue };
                let covered = (shape.clone(), shape.covered(request));
                let other = by_key.entry(key.clone()).or_insert_with(|| covered.clone());
                prop_assert_eq!(&covered, other, "{}", key);
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
