//! Unary calls answered from the store, beside those of the bare server, whose method answers at once.
//!
//! tonic's client and server over loopback, one connection each, one call at a time, two workers. Needs `redis-server`
//! on the path.

mod support;

mod demo {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
    include!("../examples/tonic/memolock.demo.v1.rs");
}

use std::hint::black_box;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, SamplingMode};
use demo::reports_client::ReportsClient;
use demo::reports_server::{Reports, ReportsServer, SERVICE_NAME};
use demo::{RenderReply, RenderRequest};
use futures_util::stream::{Empty, empty};
use http_body::Body;
use support::{KEYS, KIB, KIB_64, RedisServer, Rounds, Table, Target, runtime};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tower::layer::util::Identity;
use tower::{BoxError, Layer, Service};
use tower_memolock::middleware::{GrpcKey, GrpcMethod};
use tower_memolock::{MemoLockLayer, MemoryStore, RedisStore, Store};

const TTL: Duration = Duration::from_secs(3600);

/// How many calls the floor and ours get in turn.
const TURN: usize = 256;

/// Answers with a report that is there already.
struct Ready(Bytes);

#[tonic::async_trait]
impl Reports for Ready {
    type WatchStream = Pin<Box<Empty<Result<RenderReply, Status>>>>;

    async fn render(&self, request: Request<RenderRequest>) -> Result<Response<RenderReply>, Status> {
        Ok(Response::new(RenderReply {
            id: request.into_inner().id,
            node: String::new(),
            execution: 1,
            pdf: self.0.clone(),
        }))
    }

    async fn watch(&self, _: Request<RenderRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(empty())))
    }
}

type HttpRequest = http::Request<tonic::body::Body>;

/// A server with reports of this size beneath a layer, and a connection to it.
async fn connect<L, B>(layer: L, size: usize) -> ReportsClient<Channel>
where
    L: Layer<Routes> + Clone + Send + 'static,
    L::Service: Service<HttpRequest, Response = http::Response<B>> + Clone + Send + 'static,
    <L::Service as Service<HttpRequest>>::Future: Send,
    <L::Service as Service<HttpRequest>>::Error: Into<BoxError> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its number");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = ReportsServer::new(Ready(Bytes::from(vec![b'%'; size])));
    let mut server = Server::builder().layer(layer);
    tokio::spawn(server.add_service(service).serve_with_incoming(incoming));
    ReportsClient::connect(format!("http://{address}"))
        .await
        .expect("a connection")
}

/// Makes this many calls, one after the other, and says how long that took.
async fn call(client: &mut ReportsClient<Channel>, calls: usize, size: usize) -> Duration {
    let start = Instant::now();
    for n in 0..calls {
        let request = RenderRequest {
            id: format!("report {}", n % KEYS),
            ..RenderRequest::default()
        };
        let reply = client.render(request).await.expect("a reply").into_inner();
        assert_eq!(reply.pdf.len(), size);
        black_box(reply);
    }
    start.elapsed()
}

/// What is measured: calls of one server and those of another in turns.
struct Case<'a> {
    runtime: &'a Runtime,
    floor: ReportsClient<Channel>,
    ours: ReportsClient<Channel>,
    size: usize,
}

impl Case<'_> {
    fn measure(&self, group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId) -> Rounds {
        let mut rounds = Rounds::default();
        let turn = |client: &ReportsClient<Channel>| {
            self.runtime.block_on(async {
                // On a worker, as a service would.
                let (mut client, size) = (client.clone(), self.size);
                let calls = tokio::spawn(async move { call(&mut client, TURN, size).await });
                calls.await.expect("no panic")
            })
        };
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    let (floor, ours) = rounds.turns(|| turn(&self.floor), || turn(&self.ours));
                    rounds.add(TURN, floor, ours);
                    total += ours;
                }
                total
            });
        });
        rounds
    }
}

fn layer<St: Store>(store: St) -> MemoLockLayer<GrpcKey> {
    MemoLockLayer::grpc(store, "reports").method(GrpcMethod::of(SERVICE_NAME, "Render").ttl(TTL))
}

/// Calls everything until it is stored.
async fn fill(layer: &MemoLockLayer<GrpcKey>, client: &mut ReportsClient<Channel>, size: usize) {
    call(client, KEYS, size).await;
    layer.handle().drained().await;
    assert_eq!(layer.handle().stats().led, KEYS as u64);
}

fn hits<St: Store>(
    (group, table): (&mut BenchmarkGroup<'_, WallTime>, &mut Table),
    runtime: &Runtime,
    (place, store, target): (&str, impl Fn() -> St, Target),
) {
    for (name, size) in [KIB, KIB_64] {
        let layer = layer(store());
        let (floor, mut ours) = runtime.block_on(async {
            let floor = connect(Identity::new(), size).await;
            (floor, connect(layer.clone(), size).await)
        });
        runtime.block_on(fill(&layer, &mut ours, size));
        let case = Case {
            runtime,
            floor,
            ours,
            size,
        };
        let rounds = case.measure(group, BenchmarkId::new(place, name));
        table.row(&format!("hit in {place}, {name}"), &rounds, target);
        assert_eq!(layer.handle().stats().led, KEYS as u64, "not only hits");
    }
}

fn main() {
    let mut criterion = support::criterion();
    let server = RedisServer::start();
    let runtime = runtime();
    let mut table = Table::new("gRPC, per call");
    let mut group = criterion.benchmark_group("grpc");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);

    let memory = || MemoryStore::with_capacity(256 << 20);
    hits(
        (&mut group, &mut table),
        &runtime,
        ("memory", memory, Target::Times(1.2)),
    );
    let redis = || runtime.block_on(RedisStore::connect(&server.url())).expect("a store");
    hits((&mut group, &mut table), &runtime, ("Redis", redis, Target::Times(2.0)));

    let (floor, ours) = runtime.block_on(async {
        let floor = connect(Identity::new(), KIB.1).await;
        let unnamed = MemoLockLayer::grpc(MemoryStore::new(), "reports");
        (floor, connect(unnamed, KIB.1).await)
    });
    let case = Case {
        runtime: &runtime,
        floor,
        ours,
        size: KIB.1,
    };
    let rounds = case.measure(&mut group, BenchmarkId::new("not named", KIB.0));
    table.row("a method that is not named, 1 KiB", &rounds, Target::Times(1.05));
    group.finish();
    criterion.final_summary();
    table.print();
}
