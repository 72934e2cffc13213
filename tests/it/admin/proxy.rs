//! `reverse_proxy --admin`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::Empty;
use serde_json::Value;

use super::page::PARSER;
use super::site::state;
use crate::support::{
    Answer, HttpClient, Node, Origin, RedisCluster, RedisServer, Reply, eventually, exchange, run_example, run_python,
    within,
};

/// A proxy, and where its operators look.
pub(super) struct Proxy {
    node: Node,
    admin: String,
    pub(super) client: HttpClient,
}

impl Proxy {
    pub(super) async fn start(origin: &Origin, flags: &[&str]) -> Self {
        let node = Node::reverse_proxy(
            &origin.url(),
            &[&["--admin", "127.0.0.1:0", "--ttl", "1m"], flags].concat(),
        )
        .await;
        let admin = || {
            node.stdout()
                .lines()
                .find_map(|line| line.strip_prefix("admin on ").map(str::to_owned))
        };
        eventually("where its operators look", || admin().is_some()).await;
        let admin = admin().expect("a URL");
        Self {
            node,
            admin,
            client: HttpClient::http1(),
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        self.node.url(path)
    }

    async fn get(&self, path: &str) -> String {
        let answer = self.client.get(&self.node.url(path)).await;
        answer.expect("an answer").text().to_owned()
    }

    pub(super) async fn told(&self, path: &str) -> Answer {
        self.client
            .get(&format!("{}{path}", self.admin))
            .await
            .expect("an answer")
    }

    pub(super) async fn invalidate(&self, query: &str) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/invalidate?{query}", self.admin));
        let request = request.body(Empty::new()).expect("a request");
        self.client.send(request).await.expect("an answer")
    }

    pub(super) async fn state(&self) -> Value {
        state(&self.client, &format!("{}/state.json", self.admin)).await
    }
}

async fn numbered() -> Origin {
    Origin::start(|call| async move { Reply::ok(call.number.to_string()) }).await
}

#[tokio::test]
async fn what_one_proxy_is_told_to_forget_all_forget() {
    let (origin, redis) = (numbered().await, RedisServer::start());
    let url = redis.url();
    let flags = ["--redis", &url];
    let proxies = [
        Proxy::start(&origin, &flags).await,
        Proxy::start(&origin, &flags).await,
        Proxy::start(&origin, &flags).await,
    ];
    let path = "/report/42?a=b";
    let seen = async || {
        let mut seen = Vec::new();
        for proxy in &proxies {
            seen.push(proxy.get(path).await);
        }
        seen
    };
    assert_eq!(seen().await, ["1", "1", "1"]);
    // Whatever name the operator has for it, and everything.
    let through = proxies[1].node.url(path).replace('?', "%3F");
    let upstream = format!("{}{}", origin.url(), path.replace('?', "%3F"));
    let own = path.replace('?', "%3F");
    let queries = [
        format!("url={own}"),
        format!("url={through}"),
        format!("url={upstream}"),
        "all=1".to_owned(),
    ];
    for (round, query) in queries.iter().enumerate() {
        let answer = proxies[round % 3].invalidate(query).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "Invalidated on every node: proxy.\n"),
            "{query}"
        );
        let new = (round + 2).to_string();
        assert_eq!(seen().await, [&*new, &new, &new], "{query}");
    }
    let state = proxies[0].state().await;
    assert_eq!(state["redis"][0]["connected"], true);
    assert_eq!(state["hottest"][0]["requests"], 5);
    let figures = proxies[0].told("/metrics").await;
    let parsed = run_python(PARSER, &[figures.text()]).await;
    assert!(parsed.contains("memolock_hits_total {'tag': 'proxy'}"), "{parsed}");
    assert!(proxies[0].told("/").await.text().contains("/report/42"));
}

#[tokio::test]
async fn nothing_of_it_is_on_the_address_of_the_proxy() {
    let origin = numbered().await;
    let proxy = Proxy::start(&origin, &[]).await;
    for path in ["/metrics", "/state.json", "/"] {
        assert_eq!(proxy.get(path).await, "1", "{path} is the upstream's");
    }
    assert_eq!(proxy.told("/metrics").await.status, 200);
}

#[tokio::test]
async fn only_names_of_this_machine_are_answered() {
    let origin = numbered().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let authority = proxy.admin.trim_start_matches("http://");
    let (_, port) = authority.split_once(':').expect("a port");
    for (host, status) in [
        (format!("localhost:{port}"), "200"),
        (format!("[::1]:{port}"), "200"),
        (authority.to_owned(), "200"),
        (format!("evil.example:{port}"), "421"),
        ("127.0.0.1.evil.example".to_owned(), "421"),
        (String::new(), "421"),
    ] {
        let request = format!("GET /state.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let response = String::from_utf8(exchange(authority, &request).await).expect("UTF-8");
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{host}: {response}"
        );
    }
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused() {
    for address in [
        "0.0.0.0:0",
        "192.0.2.1:80",
        "[::]:0",
        "127.0.0.1",
        "localhost:1",
        "nowhere",
    ] {
        let flags = [
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            "http://127.0.0.1:9",
            "--admin",
            address,
        ];
        let output = run_example("reverse_proxy", &flags).await;
        assert_eq!(output.status.code(), Some(2), "{address}");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let expected =
            format!("error: --admin takes a loopback address like 127.0.0.1:8081 or [::1]:8081, not {address:?}");
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_shown() {
    let origin = Origin::start(|_| async { Reply::ok("secret").status(500) }).await;
    let proxy = Proxy::start(&origin, &[]).await;
    proxy.get("/broken").await;
    let state = proxy.state().await;
    let failure = &state["failures"][0];
    assert_eq!(
        failure["what"],
        "the inner service failed; one of those who wait takes over"
    );
    assert!(
        failure["key"].as_str().is_some_and(|key| key.ends_with("/broken}")),
        "{state}"
    );
    assert!(!state.to_string().contains("secret"));
}

/// Asks until a near copy answers.
async fn near(proxy: &Proxy, path: &str) -> String {
    within("a near hit", async {
        loop {
            let answer = proxy.client.get(&proxy.url(path)).await.expect("an answer");
            if answer.header("cache-status").join(", ").ends_with("detail=near") {
                return answer.text().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

async fn forgets_near_copies(flags: &[&str]) {
    let now = Arc::new(AtomicUsize::new(0));
    let shown = Arc::clone(&now);
    let origin = Origin::start(move |_| {
        let shown = shown.load(Ordering::SeqCst).to_string();
        async move { Reply::ok(shown) }
    })
    .await;
    let flags = [flags, &["--near", "1048576", "--near-lag", "1s"]].concat();
    let proxies = [
        Proxy::start(&origin, &flags).await,
        Proxy::start(&origin, &flags).await,
        Proxy::start(&origin, &flags).await,
    ];
    let paths = ["/a", "/b", "/c"];
    for (round, query) in ["url=/a", "all=1", "url=/b", "all=1"].iter().enumerate() {
        for path in paths {
            let stored = proxies[0].get(path).await;
            for proxy in &proxies {
                assert_eq!(near(proxy, path).await, stored, "{path}");
            }
        }
        let new = (now.fetch_add(1, Ordering::SeqCst) + 1).to_string();
        let answer = proxies[round % 3].invalidate(query).await;
        assert_eq!(answer.status, 200, "{query}");
        for path in paths.iter().filter(|path| *query == "all=1" || query.ends_with(**path)) {
            for proxy in &proxies {
                assert_eq!(proxy.get(path).await, new, "{query} {path}");
            }
        }
    }
    // A proxy that stands still can serve its copy for as long as the lag.
    let [asked, _, still] = &proxies;
    near(still, "/a").await;
    still.node.stop();
    let since = Instant::now();
    assert_eq!(asked.invalidate("url=/a").await.status, 200);
    assert!(since.elapsed() >= Duration::from_millis(900), "{:?}", since.elapsed());
    still.node.cont();
}

#[tokio::test]
async fn no_proxy_serves_a_near_copy_of_what_an_operator_has_invalidated() {
    let redis = RedisServer::start();
    forgets_near_copies(&["--redis", &redis.url()]).await;
}

#[tokio::test]
async fn no_proxy_over_a_cluster_serves_a_near_copy_of_what_an_operator_has_invalidated() {
    let cluster = RedisCluster::start();
    forgets_near_copies(&["--cluster", "--redis", &cluster.nodes[0].url()]).await;
}
