//! A unary call of gRPC whose reply a worker gives.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures_util::future::join_all;
use futures_util::stream::Empty;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tower_memolock::middleware::stored_response::{BinaryHttp, Meta, StoredResponse};
use tower_memolock::middleware::{BodyKey, MemoControl, Promise};
use tower_memolock::{MemoLock, MemoLockLayer};

use self::demo::reports_client::ReportsClient;
use self::demo::reports_server::{Reports, ReportsServer};
use self::demo::{RenderReply, RenderRequest};
use crate::support::{RedisServer, within};

mod demo {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
    include!("../../../examples/tonic/memolock.demo.v1.rs");
}

/// Leaves every report to the worker that takes jobs.
struct Deferring {
    jobs: mpsc::UnboundedSender<(String, Promise)>,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Reports for Deferring {
    type WatchStream = Pin<Box<Empty<Result<RenderReply, Status>>>>;

    async fn render(&self, request: Request<RenderRequest>) -> Result<Response<RenderReply>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let Some(promise) = request.extensions().get::<Promise>().cloned() else {
            return Err(Status::unavailable("no worker could give it"));
        };
        self.jobs.send((request.into_inner().id, promise)).expect("a worker");
        let mut response = Response::new(RenderReply::default());
        response.extensions_mut().insert(MemoControl::new().deferred());
        Ok(response)
    }

    async fn watch(&self, _: Request<RenderRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

struct Cluster {
    redis: RedisServer,
    nodes: Vec<(SocketAddr, JoinHandle<()>)>,
    jobs: mpsc::UnboundedReceiver<(String, Promise)>,
    calls: Arc<AtomicUsize>,
}

/// Three servers over one Redis, whose clients wait so long.
async fn cluster(wait_timeout: Duration) -> Cluster {
    let redis = RedisServer::start();
    let (sender, jobs) = mpsc::unbounded_channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let store = redis.store().await;
        let layer = MemoLockLayer::new(store, "grpc")
            .may_defer()
            .lease(Duration::from_secs(60));
        // The servers are one service to their clients, whatever port they are at.
        let key = BodyKey::over(|request: &http::Request<tonic::body::Body>| {
            Some(tower_memolock::Key::builder().part(request.uri().path()).build())
        });
        let layer = layer.wait_timeout(wait_timeout).methods([Method::POST]).key(key);
        let service = Deferring {
            jobs: sender.clone(),
            calls: Arc::clone(&calls),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = Server::builder().layer(layer).add_service(ReportsServer::new(service));
        let served = async move { drop(server.serve_with_incoming(TcpIncoming::from(listener)).await) };
        nodes.push((address, tokio::spawn(served)));
    }
    Cluster {
        redis,
        nodes,
        jobs,
        calls,
    }
}

impl Cluster {
    /// So many calls to all servers in turn, in the background.
    fn render(&self, id: &'static str, count: usize) -> JoinHandle<Vec<Result<Response<RenderReply>, Status>>> {
        let addresses: Vec<_> = self
            .nodes
            .iter()
            .map(|(address, _)| *address)
            .cycle()
            .take(count)
            .collect();
        tokio::spawn(join_all(addresses.into_iter().map(|address| async move {
            let connected = ReportsClient::connect(format!("http://{address}")).await;
            let mut client = connected.expect("a connection");
            let request = RenderRequest {
                id: id.to_owned(),
                ..RenderRequest::default()
            };
            within("a reply", client.render(request)).await
        })))
    }
}

/// What a server of gRPC would send: a message behind its prefix, and its status in trailers.
fn response(reply: &RenderReply, status: &'static str) -> StoredResponse {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(reply.encoded_len().try_into().expect("a short message"));
    reply.encode(&mut body).expect("room");
    let field = |name, value: &'static str| (HeaderName::from_static(name), value.parse().expect("a value"));
    let headers = HeaderMap::from_iter([field("content-type", "application/grpc")]);
    let trailers = HeaderMap::from_iter([field("grpc-status", status), field("x-cost", "7")]);
    StoredResponse::new(StatusCode::OK, headers, body.freeze(), Some(trailers), Meta::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_calls_get_the_reply_that_a_worker_gives() {
    let mut cluster = cluster(Duration::from_secs(30)).await;
    let calls = cluster.render("monthly", 30);
    let (id, promise) = within("a job", cluster.jobs.recv()).await.expect("one");
    let reply = RenderReply {
        id,
        node: "worker".to_owned(),
        ..RenderReply::default()
    };
    // A program without the layer.
    let store = cluster.redis.store().await;
    let worker = MemoLock::with_codec(store, promise.tag(), BinaryHttp);
    let given = worker.resolve(promise.id(), Arc::new(response(&reply, "0")), Duration::from_secs(60));
    given.await.expect("given");
    for answer in calls
        .await
        .expect("no panic")
        .into_iter()
        .chain(cluster.render("monthly", 3).await.expect("no panic"))
    {
        let answer = answer.expect("a reply");
        assert_eq!(
            answer.metadata().get("x-cost").map(|cost| cost.as_bytes()),
            Some(&b"7"[..])
        );
        assert_eq!(*answer.get_ref(), reply);
    }
    assert_eq!(cluster.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_no_worker_answers_exceed_their_deadline() {
    let cluster = cluster(Duration::from_secs(2)).await;
    for answer in cluster.render("monthly", 12).await.expect("no panic") {
        assert_eq!(answer.expect_err("no reply").code(), Code::DeadlineExceeded);
    }
    assert_eq!(cluster.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_handler_says_so_itself() {
    let mut cluster = cluster(Duration::from_secs(30)).await;
    cluster.redis.kill();
    for answer in cluster.render("monthly", 6).await.expect("no panic") {
        assert_eq!(answer.expect_err("no reply").code(), Code::Unavailable);
    }
    assert!(cluster.jobs.try_recv().is_err());
}
