//! Servers with the workshop beneath the layer, and calls of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body::Body;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tower::{BoxError, Layer, Service};
use tower_memolock::middleware::{GrpcKey, GrpcMethod};
use tower_memolock::{MemoLockLayer, MemoryStore, Store};

use super::proto::workshop_client::WorkshopClient;
use super::proto::workshop_server::{SERVICE_NAME, WorkshopServer};
use super::proto::{Order, Product};
use super::raw::Raw;
pub(super) use super::workshop::Workshop;
use crate::support::{eventually, within};

/// What clients call every server: it is in the key, and the servers are one service.
pub(super) const AUTHORITY: &str = "workshop.test";

pub(super) const MAKE: &str = "/memolock.test.v1.Workshop/Make";
pub(super) const BRIEF: &str = "/memolock.test.v1.Workshop/Brief";
pub(super) const PLAIN: &str = "/memolock.test.v1.Workshop/Plain";
pub(super) const PROGRESS: &str = "/memolock.test.v1.Workshop/Progress";

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

pub(super) type Memoized = MemoLockLayer<GrpcKey>;

/// The layer of a node: it memoizes `Make`, and `Brief` with these settings.
pub(super) fn memoized<St: Store>(store: St, brief: impl FnOnce(GrpcMethod) -> GrpcMethod) -> Memoized {
    MemoLockLayer::grpc(store, "workshop")
        .method(GrpcMethod::new(MAKE))
        .method(brief(GrpcMethod::of(SERVICE_NAME, "Brief")))
        .ttl(Duration::from_secs(60))
}

/// The layer of a node that has nothing special about it.
pub(super) fn layer<St: Store>(store: St) -> Memoized {
    memoized(store, |brief| brief)
}

/// Some servers of one service, each with a layer of its own over one store.
pub(super) struct Nodes {
    pub(super) workshop: Arc<Workshop>,
    pub(super) layers: Vec<Memoized>,
    pub(super) servers: Vec<Server>,
    pub(super) clients: Vec<WorkshopClient<Channel>>,
}

impl Nodes {
    /// As many as there are layers.
    pub(super) async fn start(layers: impl IntoIterator<Item = Memoized>) -> Self {
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

    /// Waits until this many calls wait for another caller's, on all nodes together.
    pub(super) async fn waiting(&self, calls: u64) {
        eventually("calls that wait", || {
            let waiting = self.layers.iter().map(|layer| layer.handle().stats().waiting);
            waiting.sum::<u64>() == calls
        })
        .await;
    }

    /// Waits until nothing is under way any more.
    pub(super) async fn settled(&self) {
        for layer in &self.layers {
            within("the end of all computations", layer.handle().drained()).await;
        }
    }
}

impl Nodes {
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
