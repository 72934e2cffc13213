//! The layer around clients: hyper-util's and reqwest's.

mod credentials;

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::util::BoxCloneService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_memolock::middleware::{Failures, Privacy};
use tower_memolock::{MemoLockLayer, MemoryStore};

use crate::support::{Call, Gate, Origin, RedisServer, Reply, command, eventually, run_example, within};

/// A whole response.
#[derive(Debug, Clone)]
struct Whole {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

type Client = BoxCloneService<Request<()>, Whole, BoxError>;

fn client<S, Q, B>(service: S) -> Client
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    Q: Default + Send + 'static,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    BoxCloneService::new(service_fn(move |request: Request<()>| {
        let service = service.clone();
        async move {
            let response = service.oneshot(request.map(|()| Q::default())).await;
            let (head, body) = response.map_err(Into::into)?.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            Ok(Whole {
                status: head.status,
                headers: head.headers,
                body,
            })
        }
    }))
}

fn hyper_client(layer: &MemoLockLayer) -> Client {
    let inner = legacy::Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    client(ServiceBuilder::new().layer(layer.clone()).service(inner))
}

fn reqwest_client(layer: &MemoLockLayer) -> Client {
    let inner = reqwest::Client::new();
    let inner = service_fn(move |request: Request<reqwest::Body>| {
        let inner = inner.clone();
        async move { inner.execute(request.try_into()?).await.map(Response::from) }
    });
    client(ServiceBuilder::new().layer(layer.clone()).service(inner))
}

fn both(layer: &MemoLockLayer) -> [Client; 2] {
    [hyper_client(layer), reqwest_client(layer)]
}

fn get(url: &str, fields: &[(&str, &str)]) -> Request<()> {
    let request = fields.iter().fold(Request::get(url), |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(()).expect("a request")
}

async fn ask(client: &Client, url: &str, fields: &[(&str, &str)]) -> Whole {
    let answer = client.clone().oneshot(get(url, fields));
    within("an answer", answer).await.expect("a response")
}

/// Says which call it was, and with which token.
fn token_of(call: &Call) -> String {
    let token = call.headers.get(AUTHORIZATION);
    let token = token.map_or("none", |token| token.to_str().expect("ASCII"));
    format!("{token} {}", call.number)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_over_redis_make_one_call() {
    let redis = RedisServer::start();
    let gate = Arc::new(Gate::new());
    let behind = Arc::clone(&gate);
    let origin = Origin::start(move |call: Call| {
        let gate = Arc::clone(&behind);
        async move {
            gate.pass().await;
            Reply::ok(token_of(&call)).header("cache-control", "private, max-age=60")
        }
    })
    .await;
    for (name, path) in [("hyper", "/by-hyper"), ("reqwest", "/by-reqwest")] {
        let (url, redis_url) = (format!("{}{path}", origin.url()), redis.url());
        let flags = ["--call", &url, "--redis", &redis_url, "--client", name];
        let start = || tokio::spawn(command("outbound", &flags).output());
        let processes = [start(), start(), start()];
        origin.called(path, 1).await;
        // Two follow the third.
        let channels = || redis.cli(&["PUBSUB", "SHARDCHANNELS"]) + &redis.cli(&["PUBSUB", "CHANNELS"]);
        let waiting = || {
            let names = channels();
            let ours = names.lines().filter(|name| name.contains(path));
            ours.map(|name| redis.cli(&["PUBSUB", "NUMSUB", name])).any(|found| {
                let count = found.lines().nth(1).and_then(|count| count.parse::<usize>().ok());
                count >= Some(2)
            })
        };
        eventually("two processes that wait", waiting).await;
        gate.let_go(1);
        for process in processes {
            let output = within("the end of a process", process).await.expect("no panic");
            let output: Output = output.expect("its output");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(text.starts_with("Bearer demonstration 1"), "{text}");
        }
        assert_eq!(origin.calls(path), 1, "{name}");
    }
}

#[tokio::test]
async fn the_example_shows_all_of_it_with_one_command() {
    let redis = RedisServer::start();
    let url = redis.url();
    for (flags, last) in [
        (&[][..], "3 clients in this process: 1 call of the API"),
        (&["--redis", &url], "3 processes: 1 call of the API"),
        (
            &["--redis", &url, "--client", "reqwest"],
            "3 processes: 1 call of the API",
        ),
    ] {
        let flags = [&["--work", "300ms"], flags].concat();
        let output = run_example("outbound", &flags).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text.lines().last(), Some(last), "{text}");
        assert_eq!(text.matches("with the cookie").count(), 1, "{text}");
    }
}

#[tokio::test]
async fn what_is_stored_by_one_client_answers_the_other() {
    let origin = Origin::start(async |call: Call| Reply::fresh(token_of(&call))).await;
    let layer = MemoLockLayer::client(MemoryStore::new(), "client");
    let url = format!("{}/rates", origin.url());
    for client in &both(&layer) {
        assert_eq!(ask(client, &url, &[]).await.body, "none 1");
    }
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_a_failure_for_all_and_is_not_stored() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its number");
    drop(listener);
    let url = format!("http://{address}/rates");
    let layer = MemoLockLayer::client(MemoryStore::new(), "client").ttl(Duration::from_secs(60));
    let clients = both(&layer);
    let asked: Vec<_> = (0..60)
        .map(|at| tokio::spawn(clients[at % 2].clone().oneshot(get(&url, &[]))))
        .collect();
    for answer in asked {
        match within("an answer", answer).await.expect("no panic") {
            Ok(shared) => assert_eq!((shared.status, shared.body.len()), (StatusCode::BAD_GATEWAY, 0)),
            Err(error) => assert!(format!("{error:?}").contains("Connect"), "{error:?}"),
        }
    }
    let listener = TcpListener::bind(address).await.expect("the same port");
    let api = axum::Router::new().route("/rates", axum::routing::get(|| async { "1.08" }));
    let server = tokio::spawn(async move { axum::serve(listener, api).await });
    let answer = ask(&clients[0], &url, &[]).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"1.08"[..]));
    server.abort();
}

/// Fails behind a gate, as a client does that nothing answers.
fn failing(gate: &Arc<Gate>, layer: &MemoLockLayer) -> Client {
    let gate = Arc::clone(gate);
    let inner = service_fn(move |_: Request<Empty<Bytes>>| {
        let gate = Arc::clone(&gate);
        async move {
            gate.pass().await;
            Err::<Response<Full<Bytes>>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
        }
    });
    client(ServiceBuilder::new().layer(layer.clone()).service(inner))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_client_is_met_by_few_and_reaches_all_others_as_a_response() {
    let redis = RedisServer::start();
    let unavailable = |_: &std::io::Error| Response::builder().status(503).body(Bytes::from("later")).ok();
    for (tag, is_mapped, expected) in [("client", false, (502, "")), ("mapped", true, (503, "later"))] {
        let gate = Arc::new(Gate::new());
        let mut layers = Vec::new();
        for _ in 0..3 {
            let store = redis.store().await;
            let layer = MemoLockLayer::client(store, tag);
            layers.push(if is_mapped {
                layer.failures(Failures::new().share_errors(unavailable))
            } else {
                layer
            });
        }
        let asked: Vec<_> = (0..30)
            .map(|at| {
                let client = failing(&gate, &layers[at % 3]);
                tokio::spawn(client.oneshot(get("http://api.internal/rates", &[])))
            })
            .collect();
        let waiting = || layers.iter().map(|layer| layer.handle().stats().waiting).sum::<u64>();
        eventually("those who wait for the first", || waiting() == 29).await;
        gate.let_go(1);
        gate.reached_by(2).await;
        eventually("those who wait for the second", || waiting() == 28).await;
        gate.open();
        let mut errors = 0;
        for answer in asked {
            match within("an answer", answer).await.expect("no panic") {
                Ok(shared) => assert_eq!(
                    (shared.status.as_u16(), &shared.body[..]),
                    (expected.0, expected.1.as_bytes())
                ),
                Err(error) => {
                    assert!(error.to_string().contains("refused"), "{error}");
                    errors += 1;
                }
            }
        }
        // Each node leads once before it has heard of a failure, and once before it has heard of the one that is shared.
        assert_eq!(errors, gate.reached());
        assert!((2..=2 * layers.len()).contains(&errors), "{errors}");
        let prefix = format!("{tag}:");
        let stored = || redis.keys().into_iter().any(|key| key.starts_with(&prefix));
        assert!(!stored(), "{:?}", redis.keys());
    }
}
