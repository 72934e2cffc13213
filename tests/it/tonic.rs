//! Three `tonic` processes over one Redis, as gRPC clients see them.

mod leaders;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::{join_all, try_join_all};
use http::{HeaderMap, Request};
use http_body_util::Full;
use prost::Message;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;
use tower::BoxError;

use self::demo::reports_client::ReportsClient;
use self::demo::{RenderReply, RenderRequest};
use crate::support::{Answer, HttpClient, Node, RedisServer, eventually, within};

pub(crate) mod demo {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
    include!("../../examples/tonic/memolock.demo.v1.rs");
}

/// What the layer uses unless told otherwise, as the example does.
const LEASE: Duration = Duration::from_secs(5);

async fn node(name: &str, redis: &RedisServer) -> Node {
    let flags = ["--listen", "127.0.0.1:0", "--node", name, "--redis", &redis.url()];
    Node::start("tonic", &flags).await
}

async fn nodes(redis: &RedisServer) -> [Node; 3] {
    [node("a", redis).await, node("b", redis).await, node("c", redis).await]
}

/// A report that takes long enough for all clients to ask for it.
fn report(id: &str) -> RenderRequest {
    RenderRequest {
        id: id.to_owned(),
        work_ms: 500,
        fail_code: 0,
        size: 1000,
    }
}

/// Calls `Render` with a plain HTTP/2 client, which hides nothing of the response.
async fn call(client: HttpClient, url: String, message: RenderRequest) -> Result<Answer, BoxError> {
    client.send(http_request(&url, &message)).await
}

fn http_request(url: &str, message: &RenderRequest) -> Request<Full<Bytes>> {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(message.encoded_len().try_into().expect("a short message"));
    message.encode(&mut body).expect("room");
    let request = Request::post(url)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    request.body(Full::new(body.freeze())).expect("a request")
}

fn url(node: &Node) -> String {
    node.url("/memolock.demo.v1.Reports/Render")
}

/// Makes `each` calls on each of the nodes at the same time, in the background.
fn call_all(nodes: &[Node], each: usize, message: &RenderRequest) -> JoinHandle<Vec<Result<Answer, BoxError>>> {
    let client = HttpClient::http2();
    let urls = nodes.iter().map(url).cycle().take(each * nodes.len());
    let calls: Vec<_> = urls.map(|url| call(client.clone(), url, message.clone())).collect();
    tokio::spawn(join_all(calls))
}

/// The message of a call that succeeded with all that belongs to it.
fn reply(answer: &Answer) -> RenderReply {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), ["application/grpc"]);
    assert_eq!(field(&answer.trailers, "grpc-status"), ["0"], "{:?}", answer.trailers);
    let (prefix, message) = answer.body.split_at_checked(5).expect("a message");
    let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes"));
    assert_eq!((prefix[0], length as usize), (0, message.len()));
    RenderReply::decode(message).expect("a message that decodes")
}

fn field<'a>(fields: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = fields.get_all(name).iter();
    values.map(|value| value.to_str().expect("ASCII")).collect()
}

/// Header fields without those that tell the time.
fn timeless(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    headers.remove("age");
    headers
}

/// The one reply of all, with the one metadata of all.
fn one_reply(answers: Vec<Result<Answer, BoxError>>) -> RenderReply {
    let answers: Vec<Answer> = answers.into_iter().map(|a| a.expect("an answer")).collect();
    let first = &answers[0];
    for answer in &answers {
        assert!(answer.body == first.body, "{answer} and {first}");
        assert_eq!(timeless(answer), timeless(first));
        assert_eq!(answer.trailers, first.trailers);
    }
    reply(first)
}

async fn grpc_client(node: &Node) -> ReportsClient<Channel> {
    let client = ReportsClient::connect(node.url("")).await.expect("a connection");
    client.max_decoding_message_size(usize::MAX)
}

/// How many executions a node has seen so far, `probe` included: a call that is not shared.
async fn executions(node: &Node, probe: &str) -> u64 {
    let message = RenderRequest {
        work_ms: 0,
        ..report(probe)
    };
    let answer = call(HttpClient::http2(), url(node), message).await;
    reply(&answer.expect("an answer")).execution
}

/// Waits until a computation has begun.
async fn led(redis: &RedisServer) {
    let locked = || !redis.cli(&["KEYS", "reports/lock:*"]).is_empty();
    eventually("a leader", locked).await;
}

/// Waits until this many processes wait for the one promise there is.
async fn waiting(redis: &RedisServer, processes: usize) {
    eventually("waiting processes", || {
        let channel = redis.cli(&["PUBSUB", "CHANNELS", "reports/notif:*"]);
        let subscribers = redis.cli(&["PUBSUB", "NUMSUB", &channel]);
        subscribers.lines().last() == Some(processes.to_string().as_str())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_calls_of_three_processes_are_one_execution() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    let answers = call_all(&nodes, 30, &report("monthly")).await.expect("no panic");
    let cost = answers.iter().flatten().map(|a| field(&a.trailers, "x-cost"));
    assert!(
        cost.clone().all(|cost| cost == ["500"]),
        "{:?}",
        cost.collect::<Vec<_>>()
    );
    let shared = one_reply(answers);
    assert_eq!((shared.id.as_str(), shared.execution), ("monthly", 1));
    assert!(["a", "b", "c"].contains(&shared.node.as_str()));
    assert_eq!(shared.pdf.len(), 1000);

    for node in &nodes {
        let hit = call(HttpClient::http2(), url(node), report("monthly")).await;
        let hit = hit.expect("an answer");
        assert_eq!(field(&hit.trailers, "x-cost"), ["500"]);
        assert_eq!(reply(&hit), shared);
    }
    let mut all = 0;
    for (node, probe) in nodes.iter().zip(["1", "2", "3"]) {
        all += executions(node, probe).await;
    }
    assert_eq!(all, 1 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_ninety_calls_of_one_process_are_one_execution() {
    let node = Node::start("tonic", &["--listen", "127.0.0.1:0"]).await;
    let nodes = [node];
    for _ in ["collapsed", "stored"] {
        let answers = call_all(&nodes, 90, &report("monthly")).await.expect("no panic");
        let trailers = answers[0].as_ref().expect("an answer").trailers.clone();
        assert_eq!(field(&trailers, "x-cost"), ["500"]);
        let shared = one_reply(answers);
        assert_eq!((shared.node.as_str(), shared.execution), (nodes[0].authority(), 1));
    }
    assert_eq!(executions(&nodes[0], "probe").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_tonic_gets_what_was_rendered_once() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    for _ in ["collapsed", "stored"] {
        let calls = nodes.iter().map(async |node| {
            let client = grpc_client(node).await;
            let calls = (0..30).map(|_| {
                let mut client = client.clone();
                async move { client.render(report("monthly")).await }
            });
            try_join_all(calls).await
        });
        let answers = within("the answers", try_join_all(calls)).await.expect("no error");
        let mut replies = HashSet::new();
        for answer in answers.into_iter().flatten() {
            assert_eq!(answer.metadata().get("x-cost").expect("a cost"), "500");
            replies.insert(answer.into_inner());
        }
        assert_eq!(replies.len(), 1, "{replies:?}");
        assert_eq!(replies.iter().next().expect("a reply").execution, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_messages_share_nothing() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    let base = report("monthly");
    let messages = [
        base.clone(),
        RenderRequest {
            id: "yearly".into(),
            ..base.clone()
        },
        RenderRequest {
            size: 1001,
            ..base.clone()
        },
        RenderRequest { work_ms: 501, ..base },
    ];
    let asked: Vec<_> = messages.iter().map(|message| call_all(&nodes, 5, message)).collect();
    let mut rendered = HashSet::new();
    for (message, answers) in messages.iter().zip(asked) {
        let answers = answers.await.expect("no panic");
        let cost = answers[0].as_ref().expect("an answer").trailers["x-cost"].clone();
        assert_eq!(cost, message.work_ms.to_string());
        let reply = one_reply(answers);
        assert_eq!((&reply.id, reply.pdf.len()), (&message.id, message.size as usize));
        rendered.insert((reply.node, reply.execution));
    }
    assert_eq!(rendered.len(), messages.len(), "{rendered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_reply_reaches_all_clients_whole() {
    let redis = RedisServer::start();
    let nodes = nodes(&redis).await;
    let long = RenderRequest {
        size: 900_000,
        ..report("long")
    };
    for _ in ["collapsed", "stored"] {
        let shared = one_reply(call_all(&nodes, 20, &long).await.expect("no panic"));
        assert_eq!(shared.execution, 1);
        assert_eq!(shared.pdf.len(), 900_000);
        assert!(shared.pdf.iter().all(|byte| *byte == b'%'));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_streams_three_replies_of_its_own_to_each_caller() {
    let redis = RedisServer::start();
    let nodes = [node("a", &redis).await];
    let request = RenderRequest {
        work_ms: 50,
        ..report("live")
    };
    let watch = async |_| {
        let mut client = grpc_client(&nodes[0]).await;
        let stream = client.watch(request.clone()).await.expect("a stream");
        let mut stream = stream.into_inner();
        let mut executions = Vec::new();
        while let Some(reply) = stream.message().await.expect("no error") {
            assert_eq!((reply.id.as_str(), reply.pdf.len()), ("live", 1000));
            executions.push(reply.execution);
        }
        executions
    };
    let together = within("the streams", join_all((0..3).map(watch))).await;
    let mut all = together;
    all.push(within("one more stream", watch(0)).await);
    all.sort();
    assert_eq!(all, [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]);
    assert_eq!(redis.keys(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_credentials_share_nothing() {
    let redis = RedisServer::start();
    let nodes = [node("a", &redis).await];
    let client = HttpClient::http2();
    let authorized = (0..5).map(async |_| {
        let mut request = http_request(&url(&nodes[0]), &report("private"));
        request
            .headers_mut()
            .insert("authorization", "Bearer same".parse().expect("a value"));
        client.send(request).await
    });
    let mut executions: Vec<u64> = try_join_all(authorized)
        .await
        .expect("answers")
        .iter()
        .map(|answer| {
            assert_eq!(field(&answer.trailers, "x-cost"), ["500"]);
            reply(answer).execution
        })
        .collect();
    executions.sort_unstable();
    assert_eq!(executions, [1, 2, 3, 4, 5]);
    assert_eq!(redis.keys(), [""; 0]);
    let open = one_reply(call_all(&nodes, 10, &report("private")).await.expect("no panic"));
    assert_eq!(open.execution, 6);
}
