//! Shadow mode, on a proxy: what would have been, while nothing is.

mod verify;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;

use super::proxy::Proxy;
use crate::support::{
    Answer, Call, Gate, HttpClient, Node, Origin, RedisServer, Reply, eventually, run_example, within,
};

fn header<'a>(call: &'a Call, name: &str) -> &'a str {
    call.headers
        .get(name)
        .map_or("", |value| value.to_str().expect("ASCII"))
}

/// Each path answers in its own way.
async fn origin(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |call| {
        let gate = gate.clone();
        async move {
            let query = call.uri.query().unwrap_or_default().to_owned();
            match call.uri.path() {
                "/plain" => Reply::fresh("plain").header("x-request-id", &call.number.to_string()),
                "/language" => Reply::fresh(header(&call, "accept-language").to_owned()),
                "/vary" => Reply::fresh(header(&call, "accept-language").to_owned()).header("vary", "accept-language"),
                "/clock" => Reply::fresh(call.number.to_string()),
                "/cookie" => Reply::fresh("hello").header("set-cookie", "id=1"),
                "/user" => Reply::fresh(header(&call, "cookie").to_owned()),
                "/page" => {
                    let page = query.split('&').find(|pair| pair.starts_with("page="));
                    Reply::fresh(page.unwrap_or("none").to_owned())
                }
                "/gated" => {
                    gate.pass().await;
                    Reply::ok("gated")
                }
                path if path.starts_with("/report/") => Reply::fresh(path.to_owned()),
                _ => Reply::ok("no such page").status(404),
            }
        }
    })
    .await
}

async fn watching(origin: &Origin) -> Proxy {
    Proxy::start(origin, &["--shadow"]).await
}

async fn ask(proxy: &Proxy, path: &str, fields: &[(&str, &str)]) -> Answer {
    let request = Request::builder().method(Method::GET).uri(proxy.url(path));
    let request = fields
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    proxy.client.send(request).await.expect("an answer")
}

async fn shadow(proxy: &Proxy) -> Value {
    proxy.state().await["shadow"][0].clone()
}

async fn route(proxy: &Proxy, name: &str) -> Value {
    let shadow = shadow(proxy).await;
    let routes = shadow["routes"].as_array().expect("a list");
    let found = routes.iter().find(|route| route["route"] == name);
    found.unwrap_or_else(|| panic!("{name} in {shadow}")).clone()
}

fn count(route: &Value, name: &str) -> u64 {
    route[name].as_u64().unwrap_or_else(|| panic!("{name} in {route}"))
}

#[tokio::test]
async fn each_request_reaches_the_upstream_and_nothing_is_stored() {
    let gate = Gate::new();
    let (origin, redis) = (origin(&gate).await, RedisServer::start());
    let proxy = Proxy::start(&origin, &["--shadow", "--redis", &redis.url()]).await;
    for number in 1..=12 {
        let answer = ask(&proxy, "/plain", &[]).await;
        assert_eq!(
            (answer.text(), answer.header("x-request-id")),
            ("plain", vec![&*number.to_string()])
        );
        assert!(answer.header("cache-status").is_empty() && answer.header("age").is_empty());
    }
    assert_eq!(redis.keys(), Vec::<String>::new());
    let plain = route(&proxy, "GET /plain").await;
    assert_eq!(
        (count(&plain, "requests"), count(&plain, "led"), count(&plain, "hits")),
        (12, 1, 11)
    );
    assert_eq!((count(&plain, "calls_saved"), count(&plain, "different")), (11, 0));
    assert_eq!(
        (&plain["hit_ratio"], &plain["advice"]),
        (&0.917.into(), &"switch on".into())
    );
    assert!(plain["seconds_saved"].as_f64() > Some(0.0));
    let shadow = shadow(&proxy).await;
    assert_eq!(shadow["switch_on"], serde_json::json!(["GET /plain"]));
    let page = proxy.told("/").await;
    assert!(
        page.text().contains("Switch it on for these routes: GET /plain."),
        "{}",
        page.text()
    );
    let tag = &proxy.state().await["tags"][0];
    assert_eq!((count(tag, "led"), count(tag, "hits")), (0, 0));
}

#[tokio::test]
async fn requests_that_would_have_waited_for_one_are_counted() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let proxy = watching(&origin).await;
    let asked = join_all((0..10).map(|_| ask(&proxy, "/gated", &[])));
    let (_, answers) = tokio::join!(
        async {
            gate.reached_by(10).await;
            gate.open();
        },
        asked
    );
    assert!(answers.iter().all(|answer| answer.text() == "gated"));
    let gated = route(&proxy, "GET /gated").await;
    assert_eq!(
        (count(&gated, "led"), count(&gated, "followed"), count(&gated, "hits")),
        (1, 9, 0)
    );
    assert_eq!((&gated["collapse_ratio"], count(&gated, "compared")), (&0.9.into(), 9));
}

#[tokio::test]
async fn a_field_that_is_missing_in_the_key_is_named() {
    let origin = origin(&Gate::new()).await;
    let proxy = watching(&origin).await;
    for (number, language) in ["en", "de", "en", "fr", "de", "en", "de", "en", "fr", "en", "de", "en"]
        .into_iter()
        .enumerate()
    {
        let id = number.to_string();
        for path in ["/language", "/vary", "/plain"] {
            ask(&proxy, path, &[("accept-language", language), ("x-request-id", &id)]).await;
        }
    }
    let language = route(&proxy, "GET /language").await;
    assert_eq!((count(&language, "compared"), count(&language, "different")), (11, 6));
    let missing = serde_json::json!([{ "field": "accept-language", "different": 6, "same": 0 }]);
    assert_eq!(
        (&language["missing_in_key"], &language["advice"]),
        (&missing, &"extend the key".into())
    );
    assert!(
        language["why"]
            .as_str()
            .is_some_and(|why| why.contains("accept-language")),
        "{language}"
    );
    // What the layer would have told apart by itself is no difference.
    let vary = route(&proxy, "GET /vary").await;
    assert_eq!(
        (count(&vary, "different"), count(&vary, "led"), count(&vary, "hits")),
        (0, 3, 9)
    );
    let shadow = shadow(&proxy).await;
    let mut ready: Vec<_> = shadow["switch_on"]
        .as_array()
        .expect("a list")
        .iter()
        .map(Value::to_string)
        .collect();
    ready.sort_unstable();
    assert_eq!(ready, [r#""GET /plain""#, r#""GET /vary""#]);
}

#[tokio::test]
async fn responses_that_change_by_themselves_are_no_fault_of_a_field() {
    let origin = origin(&Gate::new()).await;
    let proxy = watching(&origin).await;
    for number in 0..12 {
        ask(&proxy, "/clock", &[("x-request-id", &number.to_string())]).await;
        ask(&proxy, "/cookie", &[]).await;
    }
    let clock = route(&proxy, "GET /clock").await;
    assert_eq!((count(&clock, "compared"), count(&clock, "different")), (11, 11));
    assert_eq!(
        (&clock["missing_in_key"], &clock["advice"]),
        (&serde_json::json!([]), &"leave off".into()),
        "{clock}"
    );
    let cookie = route(&proxy, "GET /cookie").await;
    assert_eq!(
        (count(&cookie["alone"], "set-cookie"), count(&cookie, "calls_saved")),
        (12, 0)
    );
    assert_eq!(cookie["advice"], "leave off");
    assert!(
        cookie["why"].as_str().is_some_and(|why| why.contains("set-cookie")),
        "{cookie}"
    );
}

#[tokio::test]
async fn credentials_are_counted_and_never_shown() {
    let origin = origin(&Gate::new()).await;
    let proxy = watching(&origin).await;
    for number in 0..6 {
        let session = format!("session=secret-{number}");
        ask(&proxy, "/user", &[("cookie", &session)]).await;
        ask(&proxy, "/plain", &[("authorization", "Bearer top-secret")]).await;
    }
    let user = route(&proxy, "GET /user").await;
    assert_eq!(
        user["credentials"],
        serde_json::json!([{ "field": "cookie", "requests": 6 }])
    );
    assert_eq!(
        (count(&user["alone"], "credentials"), count(&user, "calls_saved")),
        (6, 0)
    );
    let plain = route(&proxy, "GET /plain").await;
    assert_eq!(
        plain["credentials"],
        serde_json::json!([{ "field": "authorization", "requests": 6 }])
    );
    for path in ["/", "/state.json", "/metrics"] {
        assert!(!proxy.told(path).await.text().contains("secret"), "{path}");
    }
}

#[tokio::test]
async fn parameters_without_effect_are_named() {
    let origin = origin(&Gate::new()).await;
    let proxy = watching(&origin).await;
    for source in ["a", "b", "c", "d"] {
        for page in 1..=3 {
            ask(&proxy, &format!("/page?page={page}&utm_source={source}"), &[]).await;
        }
    }
    let pages = route(&proxy, "GET /page").await;
    let idle = pages["idle_parameters"].as_array().expect("a list");
    assert_eq!(idle.len(), 1, "{pages}");
    assert_eq!(idle[0]["name"], "utm_source");
    assert!(count(&idle[0], "pairs") >= 3, "{pages}");
}

#[tokio::test]
async fn routes_leave_ids_out_and_are_few() {
    let origin = origin(&Gate::new()).await;
    let proxy = watching(&origin).await;
    for number in 0..20 {
        ask(&proxy, &format!("/report/{number}"), &[]).await;
    }
    assert_eq!(count(&route(&proxy, "GET /report/{}").await, "requests"), 20);
    for number in 0..100 {
        ask(&proxy, &format!("/x{number}/'b'"), &[]).await;
    }
    let state = shadow(&proxy).await;
    let routes = state["routes"].as_array().expect("a list");
    assert_eq!(routes.len(), 65, "64 and what is left");
    assert!(!proxy.told("/").await.text().contains("'b'"));
}

#[tokio::test]
async fn what_changes_a_resource_ends_what_would_have_been_stored() {
    let origin = origin(&Gate::new()).await;
    let proxy = watching(&origin).await;
    for _ in 0..3 {
        ask(&proxy, "/plain", &[]).await;
    }
    let request = Request::post(proxy.url("/plain"))
        .body(Full::<Bytes>::default())
        .expect("a request");
    proxy.client.send(request).await.expect("an answer");
    ask(&proxy, "/plain", &[]).await;
    let plain = route(&proxy, "GET /plain").await;
    assert_eq!((count(&plain, "led"), count(&plain, "hits")), (2, 2));
    assert_eq!(count(&route(&proxy, "POST /plain").await["alone"], "method"), 1);
}

#[tokio::test]
async fn without_an_admin_address_the_report_is_printed_when_asked_for_and_at_the_end() {
    let origin = Origin::start(async |_| Reply::fresh("same")).await;
    for (flags, name, figure) in [
        (&["--shadow"][..], "shadow", "requests"),
        (&["--verify", "1"], "verify", "verified"),
    ] {
        let mut proxy = Node::reverse_proxy(&origin.url(), flags).await;
        let client = HttpClient::http1();
        for _ in 0..10 {
            client.get(&proxy.url("/page")).await.expect("an answer");
        }
        let reports = |stdout: String| {
            let lines = stdout.lines().filter(|line| line.starts_with('{'));
            let reports = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            reports.collect::<Vec<_>>()
        };
        eventually("a report", || {
            proxy.signal("USR1");
            let said = reports(proxy.stdout());
            said.last()
                .is_some_and(|said| said[name][0]["routes"][0][figure].as_u64() >= Some(1))
        })
        .await;
        let before = reports(proxy.stdout()).len();
        proxy.signal("TERM");
        assert!(proxy.ended().await.success());
        eventually("the last report", || reports(proxy.stdout()).len() > before).await;
        let last = reports(proxy.stdout()).pop().expect("a report");
        assert_eq!(last[name][0]["tag"], "proxy", "{last}");
    }
    let mut silent = Node::reverse_proxy(&origin.url(), &[]).await;
    silent.signal("TERM");
    assert!(silent.ended().await.success());
    assert_eq!(silent.stdout(), "");
}
