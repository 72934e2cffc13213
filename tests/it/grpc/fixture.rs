//! [`Workshop`]: a gRPC service that does what its orders say, on real sockets.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, Stream, StreamExt};
use http_body::Body;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{BoxError, Layer, Service};
use tower_memolock::middleware::{GrpcKey, GrpcMethod};
use tower_memolock::{MemoLockLayer, MemoryStore, Store};

use super::proto::workshop_client::WorkshopClient;
use super::proto::workshop_server::{self, SERVICE_NAME, WorkshopServer};
use super::proto::{Order, Product};
use super::raw::Raw;
use crate::support::{Gate, eventually, within};

/// What clients call every server: it is in the key, and the servers are one service.
pub(super) const AUTHORITY: &str = "workshop.test";

pub(super) const MAKE: &str = "/memolock.test.v1.Workshop/Make";
pub(super) const BRIEF: &str = "/memolock.test.v1.Workshop/Brief";
pub(super) const PLAIN: &str = "/memolock.test.v1.Workshop/Plain";
pub(super) const PROGRESS: &str = "/memolock.test.v1.Workshop/Progress";

/// The metadata of which a product tells.
const TOLD: [&str; 3] = ["authorization", "grpc-timeout", "x-tenant"];

/// The service; it knows nothing of the layer.
pub(super) struct Workshop {
    executions: AtomicUsize,
    pub(super) gate: Gate,
}

impl Workshop {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            executions: AtomicUsize::new(0),
            gate: Gate::new(),
        })
    }

    /// How often its methods have run.
    pub(super) fn executions(&self) -> usize {
        self.executions.load(Ordering::SeqCst)
    }

    fn execute(&self) -> usize {
        self.executions.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn carry_out(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        let execution = self.execute();
        let seen = seen(request.metadata());
        let order = request.into_inner();
        if order.gated {
            self.gate.pass().await;
        }
        if order.fail_code != 0 {
            let code = i32::try_from(order.fail_code).map_or(Code::Unknown, Code::from_i32);
            let message = format!("order {}: as asked, 100 %\n", order.id);
            let mut status = Status::with_details(code, message, order.details);
            status.metadata_mut().insert("x-execution", execution.into());
            return Err(status);
        }
        let mut response = Response::new(product(&order, execution, seen));
        let metadata = response.metadata_mut();
        metadata.append("x-mark", MetadataValue::from_static("first"));
        metadata.append("x-mark", MetadataValue::from_static("second"));
        metadata.append_bin("x-mark-bin", MetadataValue::from_bytes(&[0, 255, 10]));
        if !order.cache_control.is_empty() {
            metadata.insert("cache-control", order.cache_control.parse().expect("a value"));
        }
        Ok(response)
    }
}

fn seen(metadata: &MetadataMap) -> Vec<String> {
    let told = TOLD.iter().filter_map(|name| Some((name, metadata.get(*name)?)));
    told.map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
        .collect()
}

fn product(order: &Order, execution: usize, seen: Vec<String>) -> Product {
    Product {
        id: order.id.clone(),
        execution: execution as u64,
        content: Bytes::from(vec![b'%'; order.size as usize]),
        seen,
    }
}

type Products = Pin<Box<dyn Stream<Item = Result<Product, Status>> + Send>>;

#[tonic::async_trait]
impl workshop_server::Workshop for Workshop {
    type ProgressStream = Products;
    type TalkStream = Products;

    async fn make(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        self.carry_out(request).await
    }

    async fn brief(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        self.carry_out(request).await
    }

    async fn plain(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        self.carry_out(request).await
    }

    async fn progress(&self, request: Request<Order>) -> Result<Response<Products>, Status> {
        let order = request.into_inner();
        let execution = self.execute();
        let gate = self.gate.clone();
        let products = stream::iter(0..order.count).then(move |_| {
            let (gate, order) = (gate.clone(), order.clone());
            async move {
                gate.pass().await;
                Ok(product(&order, execution, Vec::new()))
            }
        });
        Ok(Response::new(Box::pin(products)))
    }

    async fn collect(&self, request: Request<Streaming<Order>>) -> Result<Response<Product>, Status> {
        let mut orders = request.into_inner();
        let mut ids = Vec::new();
        while let Some(order) = orders.message().await? {
            ids.push(order.id);
        }
        let order = Order {
            id: ids.join(" "),
            ..Order::default()
        };
        Ok(Response::new(product(&order, self.execute(), Vec::new())))
    }

    async fn talk(&self, request: Request<Streaming<Order>>) -> Result<Response<Products>, Status> {
        let execution = self.execute();
        let orders = request.into_inner();
        let products = orders.map(move |order| Ok(product(&order?, execution, Vec::new())));
        Ok(Response::new(Box::pin(products)))
    }
}

/// The services of a server: the workshop, the health of all, and reflection.
pub(super) fn routes(workshop: &Arc<Workshop>) -> Routes {
    let workshop = WorkshopServer::from_arc(Arc::clone(workshop))
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    Routes::new(workshop)
}

/// A server in this process. Gone on drop.
pub(super) struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Serves these routes beneath this layer with tonic.
    pub(super) async fn tonic<L, B>(layer: L, routes: Routes) -> Self
    where
        L: Layer<Routes> + Clone + Send + 'static,
        L::Service: Service<http::Request<tonic::body::Body>, Response = http::Response<B>> + Clone + Send + 'static,
        <L::Service as Service<http::Request<tonic::body::Body>>>::Future: Send,
        <L::Service as Service<http::Request<tonic::body::Body>>>::Error: Into<BoxError> + Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (listener, address) = listen().await;
        let mut tasks = JoinSet::new();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut server = tonic::transport::Server::builder().layer(layer);
        let served = server.add_routes(routes).serve_with_incoming(incoming);
        tasks.spawn(async move { served.await.expect("a server that lasts") });
        Self { address, _tasks: tasks }
    }

    /// Serves a router with axum, which knows nothing of gRPC and its deadlines.
    pub(super) async fn axum(router: axum::Router) -> Self {
        let (listener, address) = listen().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("a server that lasts") });
        Self { address, _tasks: tasks }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection of its own.
    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL");
        let origin = format!("http://{AUTHORITY}").parse().expect("a URL");
        within("a connection", endpoint.origin(origin).connect())
            .await
            .expect("a connection")
    }

    pub(super) async fn client(&self) -> WorkshopClient<Channel> {
        WorkshopClient::new(self.channel().await)
    }

    /// A connection that shows what is sent.
    pub(super) async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its number");
    (listener, address)
}

pub(super) fn order(id: &str) -> Order {
    Order {
        id: id.to_owned(),
        size: 100,
        ..Order::default()
    }
}

/// An order that waits at the gate.
pub(super) fn gated(id: &str) -> Order {
    Order {
        gated: true,
        ..order(id)
    }
}

/// An order that waits at the gate and fails.
pub(super) fn failing(id: &str, code: Code) -> Order {
    Order {
        fail_code: code as u32,
        details: Bytes::from_static(b"\x08\x05\x12\x03why\x00\xff"),
        ..gated(id)
    }
}

/// With a deadline this much later.
pub(super) fn due<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

pub(super) type Made = Result<Response<Product>, Status>;

/// Calls `Make` in the background.
pub(super) fn make(client: &WorkshopClient<Channel>, request: impl tonic::IntoRequest<Order>) -> JoinHandle<Made> {
    let mut client = client.clone();
    let request = request.into_request();
    tokio::spawn(async move { client.make(request).await })
}

/// What each of these calls ends in.
pub(super) async fn ended(calls: impl IntoIterator<Item = JoinHandle<Made>>) -> Vec<Made> {
    let calls = within("the end of all calls", join_all(calls)).await;
    calls.into_iter().map(|call| call.expect("no panic")).collect()
}

/// The one product of all these calls.
pub(super) async fn one_product(calls: impl IntoIterator<Item = JoinHandle<Made>>) -> Product {
    let made = ended(calls).await;
    let mut products = made.into_iter().map(|made| made.expect("a product").into_inner());
    let first = products.next().expect("a call");
    assert!(products.all(|product| product == first));
    first
}

pub(super) type Memoized<St> = MemoLockLayer<St, GrpcKey>;

/// The layer of a node: it memoizes `Make`, and `Brief` with these settings.
pub(super) fn memoized<St: Store>(store: St, brief: impl FnOnce(GrpcMethod) -> GrpcMethod) -> Memoized<St> {
    MemoLockLayer::grpc(store, "workshop")
        .method(GrpcMethod::new(MAKE))
        .method(brief(GrpcMethod::of(SERVICE_NAME, "Brief")))
        .ttl(Duration::from_secs(60))
}

/// The layer of a node that has nothing special about it.
pub(super) fn layer<St: Store>(store: St) -> Memoized<St> {
    memoized(store, |brief| brief)
}

/// Some servers of one service, each with a layer of its own over one store.
pub(super) struct Nodes<St: Store> {
    pub(super) workshop: Arc<Workshop>,
    pub(super) layers: Vec<Memoized<St>>,
    pub(super) servers: Vec<Server>,
    pub(super) clients: Vec<WorkshopClient<Channel>>,
}

impl<St: Store> Nodes<St> {
    /// As many as there are layers.
    pub(super) async fn start(layers: impl IntoIterator<Item = Memoized<St>>) -> Self {
        let workshop = Workshop::new();
        let mut nodes = Self {
            workshop: Arc::clone(&workshop),
            layers: layers.into_iter().collect(),
            servers: Vec::new(),
            clients: Vec::new(),
        };
        for layer in &nodes.layers {
            let server = Server::tonic(layer.clone(), routes(&workshop)).await;
            nodes.clients.push(server.client().await);
            nodes.servers.push(server);
        }
        nodes
    }

    /// Waits until this many calls wait for somebody else's, on all nodes together.
    pub(super) async fn waiting(&self, calls: u64) {
        eventually("calls that wait", || {
            let waiting = self.layers.iter().map(|layer| layer.stats().waiting);
            waiting.sum::<u64>() == calls
        })
        .await;
    }

    /// Waits until nothing is under way any more.
    pub(super) async fn settled(&self) {
        for layer in &self.layers {
            within("the end of all computations", layer.drained()).await;
        }
    }
}

impl Nodes<MemoryStore> {
    /// Two nodes over one store in memory.
    pub(super) async fn pair() -> Self {
        let store = MemoryStore::new();
        Self::start([layer(store.clone()), layer(store)]).await
    }
}

/// Which execution a failure is of.
pub(super) fn execution_of(failure: &Status) -> usize {
    let execution = failure.metadata().get("x-execution").expect("an execution");
    execution.to_str().expect("ASCII").parse().expect("a number")
}
