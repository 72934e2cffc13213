use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use proptest::prelude::*;

use super::*;

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
