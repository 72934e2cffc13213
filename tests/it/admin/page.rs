//! What the page, the JSON and the figures show.

use http::Method;
use serde_json::Value;
use tower_memolock::MemoryStore;

use super::site::Site;
use crate::support::{Gate, RedisServer, run_python, until, within};

const TELLS: [&str; 3] = ["/memolock/", "/memolock/state.json", "/memolock/metrics"];

#[tokio::test]
async fn it_stands_where_the_program_mounts_it() {
    let site = Site::start(MemoryStore::new()).await;
    for page in ["/memolock", "/memolock/"] {
        let answer = site.get(page).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, vec!["text/html; charset=utf-8"])
        );
        let (_, link) = answer.text().split_once("<a href=\"").expect("a link");
        let link = &link[..link.find('"').expect("its end")];
        let base = site.url(page);
        let folder = &base[..=base.rfind('/').expect("a slash")];
        let linked = site
            .client
            .get(&format!("{folder}{}", link.trim_start_matches("./")))
            .await;
        assert_eq!(
            linked.expect("an answer").header("content-type"),
            ["application/json"],
            "{page}: {link}"
        );
    }
    for nothing in ["/memolock/nothing", "/memolock/state.json/"] {
        assert_eq!(site.get(nothing).await.status, 404, "{nothing}");
    }
}

#[tokio::test]
async fn a_head_is_that_of_a_get() {
    let site = Site::start(MemoryStore::new()).await;
    for path in [
        "/memolock/nothing",
        "/memolock/",
        "/memolock/metrics",
        "/memolock/state.json",
    ] {
        let got = site.get(path).await;
        let head = site.send(Method::HEAD, path, &[]).await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (got.status, got.header("content-type"))
        );
        assert!(head.body.is_empty());
        assert_eq!(head.header("content-length").len(), 1);
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let site = Site::start(MemoryStore::new()).await;
    for path in TELLS {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = site.send(method, path, &[]).await;
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, vec!["GET, HEAD"]),
                "{path}"
            );
        }
    }
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let answer = site.send(method, "/memolock/invalidate?all=1", &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, vec!["POST"]));
    }
}

#[tokio::test]
async fn it_lets_a_browser_run_nothing_else_and_no_other_site_read_it() {
    let site = Site::start(MemoryStore::new()).await;
    for path in TELLS.into_iter().chain(["/memolock/nothing"]) {
        let answer = site.send(Method::GET, path, &[("origin", "http://evil.example")]).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy[0].starts_with("default-src 'none';") && !policy[0].contains("unsafe"),
            "{policy:?}"
        );
        assert!(answer.header("access-control-allow-origin").is_empty());
        assert_eq!(answer.header("cross-origin-resource-policy"), ["same-origin"]);
        assert_eq!(answer.header("x-content-type-options"), ["nosniff"]);
        assert_eq!(answer.header("cache-control"), ["no-store"]);
    }
}

#[tokio::test]
async fn a_key_is_text_wherever_it_is_shown() {
    let gate = Gate::new();
    let site = Site::gated(MemoryStore::new(), &gate).await;
    let hostile = "/%3Cscript%3Ealert(1)%3C/script%3E?<script>alert('2')</script>&\"'";
    let raw = format!("GET {hostile} HTTP/1.1\r\nHost: <img/src=x>\r\nConnection: close\r\n\r\n");
    let authority = site.url("");
    let asking =
        tokio::spawn(async move { crate::support::exchange(authority.trim_start_matches("http://"), &raw).await });
    let other = site.client.clone();
    let url = site.url("/a?<script>alert(3)</script>");
    // hyper's client would encode it, if its URI took it at all.
    let url = url.replace(['<', '>'], "'");
    let asked = tokio::spawn(async move { other.get(&url).await });
    gate.reached_by(1).await;
    let page = site.text("/memolock/").await;
    assert!(page.contains("leads") && page.contains("<code>site:{GET //"), "{page}");
    let (_, shown) = page.split_once("<main>").expect("what is live");
    let (shown, _) = shown.split_once("</main>").expect("its end");
    assert!(!shown.contains("<script") && !shown.contains("<img"), "{shown}");
    assert!(!shown.contains("alert('"), "{shown}");
    let state = site.state().await;
    assert!(
        state["in_flight"][0]["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("site:{GET //"))
    );
    gate.open();
    within("answers", asked).await.expect("no panic").expect("an answer");
    within("an answer", asking).await.expect("no panic");
}

#[tokio::test]
async fn who_leads_who_follows_and_who_waits_is_shown() {
    let redis = RedisServer::start();
    let gate = Gate::new();
    let leader = Site::gated(redis.store().await, &gate).await;
    let follower = Site::gated(redis.store().await, &gate).await;
    // The nodes of a cluster are asked for one name.
    let ask = |site: &Site| {
        let (client, url) = (site.client.clone(), site.url("/slow"));
        let request = http::Request::get(url).header("host", "example.com");
        let request = request
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .expect("a request");
        tokio::spawn(async move { client.send(request).await })
    };
    let mut asked = vec![ask(&leader)];
    gate.reached_by(1).await;
    asked.extend((0..3).map(|_| ask(&leader)));
    asked.extend((0..5).map(|_| ask(&follower)));
    for (site, role, waiters) in [(&leader, "leader", 3), (&follower, "follower", 5)] {
        let flight = within("what is in flight", async {
            loop {
                let state = site.state().await;
                let flight = &state["in_flight"][0];
                if flight["waiters"] == waiters && flight["role"] == role {
                    return flight.clone();
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        assert_eq!(flight["key"], "site:{GET //example.com/slow}");
        let lease = flight["lease_seconds"].as_f64().expect("a lease");
        assert!(lease > 0.0 && lease <= 5.0, "{flight}");
        assert!(flight["age_seconds"].as_f64().is_some_and(|age| age > 0.0));
        // It asks the store once more, now and then.
        let shown = if role == "leader" { ">leads<" } else { ">follows<" };
        until("a page that shows it", async || {
            let page = site.text("/memolock/").await;
            page.contains(shown) && page.contains("example.com/slow")
        })
        .await;
    }
    gate.open();
    for answer in asked {
        within("an answer", answer).await.expect("no panic").expect("an answer");
    }
    let state = leader.state().await;
    assert_eq!(state["in_flight"], Value::Array(vec![]));
    assert_eq!(state["redis"][0]["connected"], true);
    let tag = &state["tags"][0];
    assert_eq!(
        (&tag["tag"], &tag["led"], &tag["followed"]),
        (&"site".into(), &1.into(), &3.into())
    );
    assert_eq!(tag["collapse_ratio"], 0.75);
    assert_eq!(follower.state().await["tags"][0]["collapse_ratio"], 1.0);
}

#[tokio::test]
async fn the_hottest_keys_and_the_ratios_are_shown() {
    let site = Site::start(MemoryStore::new()).await;
    for (path, requests) in [("/a", 3), ("/b", 9), ("/c", 1)] {
        for _ in 0..requests {
            site.get(path).await;
        }
    }
    let state = site.state().await;
    let hottest: Vec<_> = state["hottest"].as_array().expect("a list").iter().collect();
    let authority = site.url("").replace("http://", "");
    let expected = [("b", 9), ("a", 3), ("c", 1)].map(|(path, requests)| {
        serde_json::json!({ "key": format!("site:{{GET //{authority}/{path}}}"), "requests": requests })
    });
    assert_eq!(hottest, expected.iter().collect::<Vec<_>>());
    let tag = &state["tags"][0];
    assert_eq!(
        (&tag["hits"], &tag["led"], &tag["hit_ratio"]),
        (&10.into(), &3.into(), &0.769.into())
    );
    assert!(site.text("/memolock/").await.contains("76.9 %"));
}

#[tokio::test]
async fn failures_are_shown_without_what_the_program_says_of_them() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    let site = Site::start(store).await;
    redis.cli(&["SET", "site:{GET //example.com/broken}", "what is no response"]);
    let broken = [("host", "example.com")];
    site.send(Method::GET, "/broken", &broken).await;
    let state = site.state().await;
    let failure = &state["failures"][0];
    assert!(
        failure["what"]
            .as_str()
            .is_some_and(|what| what.starts_with("what is stored cannot be used")),
        "{state}"
    );
    assert_eq!(failure["key"], "site:{GET //example.com/broken}");
    assert!(failure["count"].as_u64().is_some_and(|count| count > 0));
    assert!(!state.to_string().contains("no response"));
    assert!(site.text("/memolock/").await.contains("what is stored cannot be used"));
}

#[tokio::test]
async fn a_strict_parser_takes_the_figures() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    let site = Site::start(store).await;
    for _ in 0..3 {
        site.get("/a").await;
    }
    let answer = site.get("/memolock/metrics").await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), [content_type]);
    assert!(answer.text().ends_with("\n# EOF\n"));
    let parsed = run_python(PARSER, &[answer.text()]).await;
    let has = |line: &str| assert!(parsed.lines().any(|parsed| parsed == line), "{line} in\n{parsed}");
    let found = site.state().await["tags"][0]["hits"].as_u64().expect("a number");
    has(&format!("memolock_hits_total {{'tag': 'site'}} {found}.0"));
    has("memolock_led_total {'tag': 'site'} 1.0");
    has("memolock_requests_total {'tag': 'site', 'outcome': 'led', 'reason': 'absent'} 1.0");
    has("memolock_redis_connected {'plane': 'commands'} 1.0");
    has("memolock_computation_seconds_count {'tag': 'site'} 1.0");
    has("memolock_stored_bytes_bucket {'tag': 'site', 'le': '+Inf'} 1.0");
}

/// Prints each sample of the text that it is given, or fails.
pub(super) const PARSER: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
for family in families(sys.argv[1]):
    for sample in family.samples:
        print(sample.name, sample.labels, float(sample.value))
";
