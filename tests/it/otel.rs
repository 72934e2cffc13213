//! The `otel` example: two processes over one Redis, as a collector of spans sees them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use serde_json::Value;

use crate::support::{HttpClient, Node, Origin, RedisServer, Reply, eventually, within};

const LEADER: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
const FOLLOWER: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

/// Takes OTLP over HTTP, as JSON.
struct Collector {
    origin: Origin,
    exports: Arc<Mutex<Vec<Bytes>>>,
}

#[derive(Debug, Clone)]
struct Span {
    node: String,
    json: Value,
}

impl Span {
    fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        let all = self.json["attributes"].as_array()?;
        all.iter().find(|attribute| attribute["key"] == key)?["value"]["stringValue"].as_str()
    }

    /// What it is linked to: traces and spans.
    fn links(&self) -> Vec<(&str, &str)> {
        let links = self.json["links"].as_array().into_iter().flatten();
        let ids = links.map(|link| ["traceId", "spanId"].map(|name| link[name].as_str().unwrap_or_default()));
        ids.map(|[trace, span]| (trace, span)).collect()
    }
}

impl Collector {
    async fn start() -> Self {
        let exports = Arc::<Mutex<Vec<Bytes>>>::default();
        let taken = Arc::clone(&exports);
        let origin = Origin::start(move |call| {
            let taken = Arc::clone(&taken);
            async move {
                assert_eq!(call.uri.path(), "/v1/traces");
                let (body, _) = call.collect().await;
                taken.lock().unwrap().push(body);
                Reply::ok("{}").header("content-type", "application/json")
            }
        })
        .await;
        Self { origin, exports }
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for export in self.exports.lock().unwrap().iter() {
            let export: Value = serde_json::from_slice(export).expect("JSON");
            for resource in export["resourceSpans"].as_array().expect("resources") {
                let attributes = resource["resource"]["attributes"].as_array().expect("attributes");
                let name = attributes.iter().find(|attribute| attribute["key"] == "service.name");
                let node = name.expect("a name")["value"]["stringValue"].as_str().expect("text");
                let scopes = resource["scopeSpans"].as_array().into_iter().flatten();
                let all = scopes.flat_map(|scope| scope["spans"].as_array().expect("spans"));
                spans.extend(all.map(|json| Span {
                    node: node.to_owned(),
                    json: json.clone(),
                }));
            }
        }
        spans
    }
}

async fn get(node: &Node, context: Option<(&str, &str)>) -> Bytes {
    let mut request = Request::get(node.url("/report/42"));
    if let Some((trace, span)) = context {
        request = request.header("traceparent", format!("00-{trace}-{span}-01"));
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let answer = within("an answer", HttpClient::http1().send(request)).await;
    answer.expect("an answer").body
}

#[tokio::test]
async fn the_collector_sees_followers_and_hits_linked_to_the_lookup_that_led() {
    let (redis, collector) = (RedisServer::start(), Collector::start().await);
    let node = async |name: &str| {
        let (redis, to) = (redis.url(), collector.origin.url());
        let flags = [
            "--listen",
            "127.0.0.1:0",
            "--redis",
            &redis,
            "--collector",
            &to,
            "--node",
            name,
        ];
        Node::start("otel", &flags).await
    };
    let (mut one, mut two) = (node("one").await, node("two").await);
    let following = async {
        eventually("a leader", || {
            redis.keys().iter().any(|key| key.starts_with("report/lock:"))
        })
        .await;
        get(&two, Some(FOLLOWER)).await
    };
    let (led, followed) = tokio::join!(get(&one, Some(LEADER)), following);
    assert_eq!((led, followed), ("report 42\n".into(), "report 42\n".into()));
    assert_eq!(get(&two, None).await, "report 42\n");
    for node in [&mut one, &mut two] {
        node.signal("TERM");
        assert!(node.ended().await.success(), "{}", node.stderr());
    }

    let spans = collector.spans();
    let one_of = |name: &str, outcome: Option<&str>| {
        let alike = spans.iter().filter(|span| span.text("name") == name);
        let mut alike = alike.filter(|span| outcome.is_none_or(|outcome| span.attribute("outcome") == Some(outcome)));
        let found = alike
            .next()
            .unwrap_or_else(|| panic!("no {name} {outcome:?} in {spans:#?}"));
        assert!(alike.next().is_none(), "one {name} {outcome:?} too many in {spans:#?}");
        found
    };
    let led = one_of("memolock_lookup", Some("led"));
    assert_eq!((led.node.as_str(), led.text("traceId")), ("one", LEADER.0));
    assert!(led.links().is_empty(), "{led:?}");
    let computed = one_of("render", None);
    assert_eq!(computed.text("parentSpanId"), led.text("spanId"));

    let linked = [(LEADER.0, led.text("spanId"))];
    let followed = one_of("memolock_lookup", Some("followed"));
    assert_eq!((followed.node.as_str(), followed.text("traceId")), ("two", FOLLOWER.0));
    assert_eq!(followed.links(), linked);
    let hit = one_of("memolock_lookup", Some("hit"));
    assert_eq!(hit.node, "two");
    assert!(![LEADER.0, FOLLOWER.0].contains(&hit.text("traceId")), "{hit:?}");
    assert_eq!(hit.links(), linked);
}

#[test]
fn the_guide_has_the_bridge_of_the_example() {
    let page = include_str!("../../src/docs/guide/tracing.md");
    let example = include_str!("../../examples/otel/bridge.rs");
    let (_, code) = example.split_once("\n\n").expect("a head");
    assert!(page.contains(code), "{code}");
}
